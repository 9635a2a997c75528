package edge_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"
)

// network is a dualstack Network Load Balancer in front of both targets.
type network struct {
	*account
	arn        string
	vip4, vip6 netip.Addr
}

func (a *account) network() *network {
	a.t.Helper()
	n := &network{account: a}
	n.arn = a.aws("elbv2", "create-load-balancer", "--name", "web", "--type", "network", "--ip-address-type", "dualstack", "--subnets", "subnet-a",
		"--query", "LoadBalancers[0].LoadBalancerArn")
	addresses := strings.Fields(a.aws("ec2", "describe-network-interfaces", "--query", "NetworkInterfaces[?contains(Description, 'net/web')].[PrivateIpAddress,Ipv6Addresses[0].Ipv6Address]"))
	if len(addresses) != 2 {
		a.t.Fatalf("addresses of the load balancer: %v, want one of each family", addresses)
	}
	n.vip4, n.vip6 = netip.MustParseAddr(addresses[0]), netip.MustParseAddr(addresses[1])
	return n
}

// group makes a target group with targets, and attributes such as Key=a,Value=b.
func (n *network) group(name, protocol, port string, attributes ...string) string {
	n.t.Helper()
	arn := n.aws("elbv2", "create-target-group", "--name", name, "--protocol", protocol, "--port", port, "--vpc-id", "vpc-1", "--target-type", "instance",
		"--health-check-interval-seconds", "5", "--health-check-timeout-seconds", "2", "--healthy-threshold-count", "2", "--query", "TargetGroups[0].TargetGroupArn")
	if len(attributes) > 0 {
		n.aws(append([]string{"elbv2", "modify-target-group-attributes", "--target-group-arn", arn, "--attributes"}, attributes...)...)
	}
	n.aws("elbv2", "register-targets", "--target-group-arn", arn, "--targets", "Id=i-1", "Id=i-2")
	return arn
}

func (n *network) listener(protocol, port, group string, more ...string) string {
	n.t.Helper()
	return n.aws(append([]string{"elbv2", "create-listener", "--load-balancer-arn", n.arn, "--protocol", protocol, "--port", port,
		"--default-actions", "Type=forward,TargetGroupArn=" + group, "--query", "Listeners[0].ListenerArn"}, more...)...)
}

// waitHealthy waits until both targets of a group are healthy.
func (n *network) waitHealthy(group string) {
	n.t.Helper()
	wait(n.t, "the targets are healthy", func() bool {
		states := n.aws("elbv2", "describe-target-health", "--target-group-arn", group, "--query", "TargetHealthDescriptions[].TargetHealth.State")
		return states == "healthy\thealthy"
	})
}

func at(vip netip.Addr, port uint16) string { return netip.AddrPortFrom(vip, port).String() }

// securedNetwork is a load balancer with listeners of every kind that needs a socket:
//
//	80 TCP to plain    81 TCP to told, with PROXY headers
//	443 TLS to plain   444 TLS to secret, which speaks TLS
type securedNetwork struct {
	*network
	edge     *process
	www, api tls.Certificate
	wwwARN   string
}

func newSecuredNetwork(t *testing.T) *securedNetwork {
	t.Helper()
	a := newAccount(t)
	b := a.bench
	n := &securedNetwork{network: a.network(), www: newCertificate(t, "www.example.com"), api: newCertificate(t, "api.example.com")}
	for _, ns := range []string{"target1", "target2"} {
		go greet(b.listen(t, ns, 30080), ns)
		go greet(&proxyproto.Listener{Listener: b.listen(t, ns, 30081), ConnPolicy: lenient}, ns)
		go greet(tls.NewListener(b.listen(t, ns, 30443), serverConfig(newCertificate(t, ns))), ns)
		b.node(t, ns)
	}
	n.edge = n.loggingEdge(t)
	n.wwwARN = a.importCertificate(n.www, "")
	n.aws("elbv2", "modify-load-balancer-attributes", "--load-balancer-arn", n.arn, "--attributes", "Key=access_logs.s3.enabled,Value=true", "Key=access_logs.s3.bucket,Value=logs", "Key=access_logs.s3.prefix,Value=shop")
	plain, told, secret := n.group("plain", "TCP", "30080"), n.group("told", "TCP", "30081", "Key=proxy_protocol_v2.enabled,Value=true"), n.group("secret", "TLS", "30443")
	n.listener("TCP", "80", plain)
	n.listener("TCP", "81", told)
	n.listener("TLS", "444", secret, "--certificates", "CertificateArn="+n.wwwARN)
	listener := n.listener("TLS", "443", plain, "--certificates", "CertificateArn="+n.wwwARN, "--alpn-policy", "HTTP2Preferred", "--ssl-policy", "ELBSecurityPolicy-TLS13-1-2-2021-06")
	n.aws("elbv2", "add-listener-certificates", "--listener-arn", listener, "--certificates", "CertificateArn="+a.importCertificate(n.api, ""))
	for _, group := range []string{plain, told, secret} {
		n.waitHealthy(group)
	}
	return n
}

func TestListenersInUserSpaceOfANetworkLoadBalancer(t *testing.T) {
	n := newSecuredNetwork(t)
	for _, ns := range []string{"client", "near"} {
		n.checkPeers(t, ns)
		n.checkTLS(t, ns)
	}
	answered := map[string]bool{}
	for range 40 { // a target as client: of itself and of the other
		answered[n.bench.secure(t, "target1", at(n.vip4, 443), "", nil).target] = true
	}
	if diff := cmp.Diff(map[string]bool{"target1": true, "target2": true}, answered); diff != "" {
		t.Errorf("who answers a target (-want +got):\n%s", diff)
	}
	n.checkRenewal(t)
	n.waitLogged(t, "edge/access-logs", plain)
	n.checkRestartWithoutEngine(t)
	n.waitLogged(t, "buckets", unzip) // by the successor of the edge that was killed
}

// checkPeers looks at whom targets see behind listeners without TLS.
func (n *securedNetwork) checkPeers(t *testing.T, ns string) {
	t.Helper()
	b := n.bench
	b.connect(t, ns, at(n.vip4, 80)) // by packets alone
	if c := b.greeting(t, ns, at(n.vip6, 80)); !strings.HasPrefix(c.peer, n.vip4.String()+":") {
		t.Errorf("an IPv4 target sees %s instead of an IPv6 client, want the load balancer's %s", c.peer, n.vip4)
	}
	for _, vip := range []netip.Addr{n.vip4, n.vip6} {
		if c := b.greeting(t, ns, at(vip, 81)); c.peer != c.LocalAddr().String() {
			t.Errorf("the PROXY header tells of %s, want %s", c.peer, c.LocalAddr())
		}
	}
}

func (n *securedNetwork) checkTLS(t *testing.T, ns string) {
	t.Helper()
	b := n.bench
	c := b.secure(t, ns, at(n.vip4, 443), "www.example.com", []string{"http/1.1", "h2"})
	if c.peer != c.LocalAddr().String() {
		t.Errorf("the target behind TLS sees %s, want the client's own address %s", c.peer, c.LocalAddr())
	}
	if c.state.NegotiatedProtocol != "h2" || !bytes.Equal(c.state.PeerCertificates[0].Raw, n.www.Certificate[0]) {
		t.Errorf("TLS: protocol %q and certificate of %v; want h2 and www.example.com", c.state.NegotiatedProtocol, c.state.PeerCertificates[0].DNSNames)
	}
	c.say(t, strings.Repeat("bulk ", 200_000))
	_ = c.Close() // so that it is logged
	if c := b.secure(t, ns, at(n.vip6, 443), "api.example.com", nil); !strings.HasPrefix(c.peer, n.vip4.String()+":") || c.state.PeerCertificates[0].DNSNames[0] != "api.example.com" {
		t.Errorf("TLS over IPv6: the target sees %s, the client a certificate of %v", c.peer, c.state.PeerCertificates[0].DNSNames)
	}
	b.secure(t, ns, at(n.vip4, 444), "www.example.com", nil).say(t, "to a target with TLS")
}

// checkRenewal imports a certificate again under its ARN, with a connection open.
func (n *securedNetwork) checkRenewal(t *testing.T) {
	t.Helper()
	held := n.bench.secure(t, "client", at(n.vip4, 443), "www.example.com", nil)
	n.www = newCertificate(t, "www.example.com")
	n.importCertificate(n.www, n.wwwARN)
	wait(t, "a new handshake shows the renewed certificate", func() bool {
		c := n.bench.secure(t, "client", at(n.vip4, 443), "www.example.com", nil)
		return bytes.Equal(c.state.PeerCertificates[0].Raw, n.www.Certificate[0])
	})
	held.say(t, "the connection from before the renewal")
}

// checkRestartWithoutEngine kills both processes and starts the edge alone.
func (n *securedNetwork) checkRestartWithoutEngine(t *testing.T) {
	t.Helper()
	b := n.bench
	n.engine.end(syscall.SIGKILL)
	n.edge.end(syscall.SIGKILL)
	b.connect(t, "client", at(n.vip4, 80)).say(t, "packets do without either process")
	noKeysOnDisk(t, filepath.Join(b.dir, "edge"), n.www, n.api)
	n.loggingEdge(t)
	wait(t, "sockets are served again", func() bool {
		_, err := b.dial("client", at(n.vip4, 81), patience)
		return err == nil
	})
	c := b.secure(t, "client", at(n.vip4, 443), "www.example.com", nil)
	if !bytes.Equal(c.state.PeerCertificates[0].Raw, n.www.Certificate[0]) || c.peer != c.LocalAddr().String() {
		t.Errorf("after a restart without the engine: certificate of %v, the target sees %s", c.state.PeerCertificates[0].NotBefore, c.peer)
	}
}

// noKeysOnDisk fails when a private key lies readable in a directory.
func noKeysOnDisk(t *testing.T, dir string, certificates ...tls.Certificate) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, c := range certificates {
			if key := marshalKey(t, c); bytes.Contains(data, []byte(base64.StdEncoding.EncodeToString(key))) || bytes.Contains(data, key) {
				t.Errorf("%s holds a private key in clear", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *securedNetwork) loggingEdge(t *testing.T) *process {
	return n.bench.edge(t, "--access-log-dir", filepath.Join(n.bench.dir, "buckets"))
}

// waitLogged waits until a file below a directory has the line of the client's
// connection with bulk in it.
func (n *securedNetwork) waitLogged(t *testing.T, dir string, read func(*testing.T, string) string) {
	t.Helper()
	pattern := filepath.Join(n.bench.dir, dir, "logs", "shop", "AWSLogs", "000000000000", "elasticloadbalancing", "us-west-2", "*", "*", "*", "*_net.web.*.log.gz")
	want := regexp.MustCompile(`(?m)^tls 2\.0 \S+ net/web/[0-9a-f]+ [0-9a-f]+ 203\.0\.113\.10:\d+ ` + regexp.QuoteMeta(at(n.vip4, 443)) +
		` \d+ \d+ \d{7} \d{7} - ` + n.wwwARN + ` - TLS_AES_128_GCM_SHA256 tlsv13 - www\.example\.com h2 - "http/1\.1","h2" \S+$`)
	wait(t, "the line of a connection is in "+dir, func() bool {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(files, func(file string) bool { return want.MatchString(read(t, file)) })
	})
}

// plain reads a file that may be gone by now.
func plain(_ *testing.T, path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

func unzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
