package http1

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func get(t testing.TB, method string) *Request {
	t.Helper()
	r := &Request{}
	if err := r.Parse([]byte(method + " / HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResponsesAreWrittenAnew(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		with Backward
		want string
	}{
		"fields of the connection end here": {
			"HTTP/1.1 200 Fine\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nServer: s\r\nContent-Length: 2\r\n\r\n", Backward{},
			"HTTP/1.1 200 Fine\r\nServer: s\r\nContent-Length: 2\r\n\r\n",
		},
		"the load balancer's cookies follow the target's": {
			"HTTP/1.0 200\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n", Backward{Connection: "close", SetCookies: [][]byte{[]byte("AWSELB=X;PATH=/")}},
			"HTTP/1.1 200\r\nSet-Cookie: a=b\r\nSet-Cookie: AWSELB=X;PATH=/\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
		},
		"white space before a colon is taken away": {
			"HTTP/1.1 200 OK\r\nX \t: 1\r\nContent-Length : 2\r\n\r\n", Backward{},
			"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\n\r\n",
		},
		"chunks are not for HTTP/1.0": {
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Backward{Dechunk: true, Connection: "close"},
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
		},
		"204 has no length": {
			"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Backward{},
			"HTTP/1.1 204 No Content\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r Response
			if err := r.Parse([]byte(c.in)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(r.Append(nil, get(t, "GET"), c.with))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMalformedResponsesAreABadGateways(t *testing.T) {
	for _, head := range []string{
		"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "hello\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n\r\n",
		"HTTP/1.1 200 O\x00K\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "HTTP/1.1 200 OK\r\nX Y: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	} {
		var r Response
		var refusal *Refusal
		if err := r.Parse([]byte(head)); !errors.As(err, &refusal) || refusal.Status != 502 {
			t.Errorf("%q: got %v, want 502", head, err)
		}
	}
}

func TestATargetsConnectionIsKeptOnlyWhenTheEndIsBeyondDoubt(t *testing.T) {
	for head, want := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n":                                    true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":                           true,
		"HTTP/1.1 204 No Content\r\n\r\n":                                                 true,
		"HTTP/1.1 200 OK\r\n\r\n":                                                         false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n":               false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n":      false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n":               false,
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n":                                    false,
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n":          true,
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n": false,
	} {
		var r Response
		if err := r.Parse([]byte(head)); err != nil {
			t.Fatal(err)
		}
		if got := r.Persists(get(t, "GET")); got != want {
			t.Errorf("%q: got %v, want %v", head, got, want)
		}
	}
}

func TestTheLastSetCookieCounts(t *testing.T) {
	var r Response
	if err := r.Parse([]byte("HTTP/1.1 200 OK\r\nSet-Cookie: sid=1; Path=/\r\nSet-Cookie: other=2\r\nset-cookie: sid=3\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if got, ok := r.SetsCookie("sid"); !ok || string(got) != "sid=3" {
		t.Errorf("got %q, %v", got, ok)
	}
	if got, ok := r.SetsCookie("si"); ok {
		t.Errorf("got %q for a cookie that is not set", got)
	}
}

// FuzzResponse checks that what is let through is read again with the same framing.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 404\r\nX : y\r\n folded\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		end := End(b, 0)
		if end == 0 {
			return
		}
		var r, again Response
		if r.Parse(b[:end]) != nil || r.Status < 200 || r.Status == 204 {
			return
		}
		out := r.Append(nil, get(t, "GET"), Backward{})
		if got := End(out, 0); got != len(out) {
			t.Fatalf("%q was written as %q, which ends at %d", b, out, got)
		}
		if err := again.Parse(out); err != nil || again.Tier == Ambiguous || again.Chunked != r.Chunked || !r.Chunked && again.Length != r.Length || again.Status != r.Status {
			t.Fatalf("%q was written as %q: %v", b, out, err)
		}
	})
}
