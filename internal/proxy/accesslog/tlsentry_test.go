package accesslog

import (
	"compress/gzip"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const networkBalancer = "arn:aws:elasticloadbalancing:us-east-2:671290407336:loadbalancer/net/my-network-loadbalancer/c6e77e28c25b2234"

func tlsEntry(edit func(*TLSEntry)) *TLSEntry {
	end := time.Date(2020, 4, 1, 8, 51, 42, 999_000_000, time.UTC)
	e := &TLSEntry{
		Start: end.Add(-5 * time.Millisecond), End: end,
		Listener: strings.Replace(networkBalancer, ":loadbalancer", ":listener", 1) + "/g3d4b5e8bb8464cd",
		Client:   netip.MustParseAddrPort("72.21.218.154:51341"), Destination: netip.MustParseAddrPort("172.100.100.185:443"),
		Handshake: 2 * time.Millisecond, Received: 98, Sent: 246,
		CertificateARN: "arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99",
		Cipher:         "ECDHE-RSA-AES128-SHA", TLSVersion: "TLSv1.2", ServerName: "my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com",
	}
	edit(e)
	return e
}

func TestLinesOfTLSListenersAreAsAWSWritesThem(t *testing.T) {
	const (
		begin    = "tls 2.0 2020-04-01T08:51:42 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 72.21.218.154:51341 172.100.100.185:443 5 "
		served   = "arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99 - ECDHE-RSA-AES128-SHA tlsv12 - "
		name     = "my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com "
		creation = "2020-04-01T08:51:42"
	)
	for test, c := range map[string]struct {
		edit func(*TLSEntry)
		want string
	}{
		"without an ALPN policy": {func(*TLSEntry) {}, begin + "2 98 246 - " + served + name + "- - - " + creation},
		"with one": {func(e *TLSEntry) {
			e.Protocol, e.TargetProtocol, e.Offered = "h2", "h2", []string{"h2", "http/1.1"}
		}, begin + `2 98 246 - ` + served + name + `h2 h2 "h2","http/1.1" ` + creation},
		"a handshake that the client refused": {func(e *TLSEntry) {
			e.Handshake, e.Received, e.Sent, e.Alert, e.Cipher, e.TLSVersion = -1, 0, 0, 48, "", ""
		}, begin + "- 0 0 48 arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99 - - - - " + name + "- - - " + creation},
		"no hello": {func(e *TLSEntry) {
			e.Handshake, e.Received, e.Sent, e.Cipher, e.TLSVersion, e.CertificateARN, e.ServerName = -1, 0, 0, "", "", "", ""
		}, begin + "- 0 0 - - - - - - - - - - " + creation},
		"what a client sends cannot end a field or the line": {func(e *TLSEntry) {
			e.ServerName, e.Offered = "a b\n\"\xff", []string{`"`, " ,\n"}
		}, begin + `2 98 246 - ` + served + `a%20b%0A%22%FF - - "%22","%20%2C%0A" ` + creation},
		"long lists of protocols are cut": {func(e *TLSEntry) { e.Offered = []string{strings.Repeat("x", 300)} },
			begin + `2 98 246 - ` + served + name + `- - "` + strings.Repeat("x", 255) + " " + creation},
	} {
		t.Run(test, func(t *testing.T) {
			d := Destination{Balancer: networkBalancer}
			if got := string(tlsEntry(c.edit).Append(nil, d.resource())); got != c.want+"\n" {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestFilesOfNetworkLoadBalancersAreNamedAsAWSNamesThem(t *testing.T) {
	d := Destination{Bucket: "my-bucket", Prefix: "my-prefix", Interval: 5 * time.Minute, Balancer: networkBalancer}
	object, err := d.object(d.ends(time.Date(2020, 5, 1, 23, 57, 0, 0, time.UTC)), "20sg8hgm")
	want := "my-bucket/my-prefix/AWSLogs/671290407336/elasticloadbalancing/us-east-2/2020/05/02/" +
		"671290407336_elasticloadbalancing_us-east-2_net.my-network-loadbalancer.c6e77e28c25b2234_20200502T0000Z_20sg8hgm.log.gz"
	if err != nil || object != want {
		t.Errorf("got %s, %v", object, err)
	}
}

// unzipping reads what it gets as gzip.
type unzipping struct {
	names []string
	text  string
}

func (u *unzipping) Deliver(_ context.Context, bucket, key string, content *os.File) error {
	r, err := gzip.NewReader(content)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(r)
	u.names, u.text = append(u.names, bucket+"/"+key), u.text+string(text)
	return err
}

func TestFilesOfNetworkLoadBalancersAreDeliveredCompressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b := t.TempDir(), &unzipping{}
		if err := os.WriteFile(filepath.Join(dir, unnamed+"1"), nil, 0o600); err != nil { // a crash left it
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir, Deliver: b})
		stop := run(s)
		e := tlsEntry(func(*TLSEntry) {})
		d := Destination{Bucket: "logs", Interval: 5 * time.Minute, Balancer: networkBalancer, Address: netip.MustParseAddr("10.0.0.1")}
		s.Log(d, e)
		time.Sleep(6 * time.Minute)
		s.Log(d, e)
		time.Sleep(time.Second)
		stop() // what is open is delivered by the next run
		stop = run(open(t, Options{Dir: dir, Deliver: b}))
		synctest.Wait()
		stop()
		if line := string(e.Append(nil, d.resource())); b.text != line+line || len(b.names) != 2 {
			t.Errorf("%d files with %q", len(b.names), b.text)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in the spool: %v, %v", left, err)
		}
	})
}
