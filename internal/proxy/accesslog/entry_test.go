package accesslog

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func received() time.Time {
	return time.Date(2015, 5, 13, 23, 39, 43, 945958000, time.FixedZone("", 3600)).Add(time.Hour)
}

func TestLinesAreAsAWSWritesThem(t *testing.T) {
	client, target := netip.MustParseAddrPort("192.168.131.39:2817"), netip.MustParseAddrPort("10.0.0.1:80")
	micro := time.Microsecond
	for name, c := range map[string]struct {
		entry Entry
		want  string
	}{
		"HTTP": {
			Entry{Time: received(), Client: client, Target: target, RequestTime: 73 * micro, TargetTime: 1048 * micro, ResponseTime: 57 * micro,
				Status: 200, TargetStatus: 200, Sent: 29, Method: "GET", URL: "http://www.example.com:80/", Version: "HTTP/1.1", UserAgent: "curl/7.38.0"},
			`192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -`,
		},
		"TCP": {
			Entry{Time: received(), Client: client, Target: target, RequestTime: 1069 * micro, TargetTime: 28 * micro, ResponseTime: 41 * micro, Received: 82, Sent: 305},
			`192.168.131.39:2817 10.0.0.1:80 0.001069 0.000028 0.000041 - - 82 305 "- - - " "-" - -`,
		},
		"SSL": {
			Entry{Time: received(), Client: client, Target: target, Received: 57, Sent: 502, Cipher: "ECDHE-ECDSA-AES128-GCM-SHA256", TLSVersion: "TLSv1.2"},
			`192.168.131.39:2817 10.0.0.1:80 0.000000 0.000000 0.000000 - - 57 502 "- - - " "-" ECDHE-ECDSA-AES128-GCM-SHA256 TLSv1.2`,
		},
		"a request that no target got": {
			Entry{Time: received(), Client: netip.MustParseAddrPort("[2001:db8::1]:2817"), RequestTime: -1, TargetTime: -1, ResponseTime: -1, Status: 503,
				Method: "GET", URL: "http://h:80/", Version: "HTTP/1.0"},
			`[2001:db8::1]:2817 - -1 -1 -1 503 - 0 0 "GET http://h:80/ HTTP/1.0" "-" - -`,
		},
		"what a client sends cannot end a field or the line": {
			Entry{Time: received(), Client: client, Method: "GET", URL: "http://h:80/\"\n\\", Version: "HTTP/1.1", UserAgent: "a\" \"b\r\n\xff"},
			`192.168.131.39:2817 - 0.000000 0.000000 0.000000 - - 0 0 "GET http://h:80/\x22\x0a\x5c HTTP/1.1" "a\x22 \x22b\x0d\x0a\xff" - -`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := "2015-05-13T23:39:43.945958Z my-loadbalancer " + c.want + "\n"
			if got := string(c.entry.Append(nil, "my-loadbalancer")); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestLongFieldsAreCut(t *testing.T) {
	e := Entry{Time: received(), Method: "GET", URL: strings.Repeat("x", 100_000), Version: "HTTP/1.1", UserAgent: strings.Repeat("\x00", 100_000)}
	if got := len(e.Append(nil, "lb")); got > 5*maxField+1000 {
		t.Errorf("a line of %d bytes", got)
	}
}

func destination() Destination {
	return Destination{
		Bucket: "my-loadbalancer-logs", Prefix: "my-app", Interval: 5 * time.Minute,
		Balancer: "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/my-loadbalancer", Address: netip.MustParseAddr("172.16.1.192"),
	}
}

func TestFilesAreNamedAsAWSNamesThem(t *testing.T) {
	d := destination()
	object, err := d.object(d.ends(time.Date(2014, 2, 15, 23, 37, 1, 0, time.UTC)), "20sg8hgm")
	want := "my-loadbalancer-logs/my-app/AWSLogs/123456789012/elasticloadbalancing/us-west-2/2014/02/15/123456789012_elasticloadbalancing_us-west-2_my-loadbalancer_20140215T2340Z_172.16.1.192_20sg8hgm.log"
	if err != nil || object != want {
		t.Errorf("got %s, %v", object, err)
	}
}

func TestIntervalsEndAtFullHoursAndTheirFractions(t *testing.T) {
	d := destination()
	at := time.Date(2014, 2, 15, 23, 55, 0, 0, time.UTC)
	if got, want := d.ends(at), time.Date(2014, 2, 16, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("5 minutes: got %v, want %v", got, want)
	}
	d.Interval = time.Hour
	if got, want := d.ends(at.Add(-1)), time.Date(2014, 2, 16, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("60 minutes: got %v, want %v", got, want)
	}
}

func TestNamesCannotLeaveTheirBucket(t *testing.T) {
	for _, change := range []func(*Destination){
		func(d *Destination) { d.Prefix = "../../other" },
		func(d *Destination) { d.Bucket = ".." },
		func(d *Destination) { d.Bucket = "" },
		func(d *Destination) { d.Bucket = "/etc" },
		func(d *Destination) { d.Balancer = "no ARN" },
	} {
		d := destination()
		change(&d)
		if object, err := d.object(received(), "x"); err == nil {
			t.Errorf("%+v: got %s and no error", d, object)
		}
	}
}
