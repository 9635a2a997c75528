package http1

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sample is a line of testdata/requests.txt.
type sample struct {
	verdict, reason string
	bytes           []byte
}

func samples(t testing.TB) []sample {
	t.Helper()
	data, err := os.ReadFile("testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		raw, err := strconv.Unquote(f[2])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, sample{f[0], f[1], []byte(raw)})
	}
	return all
}

// verdict says what becomes of a request.
func verdict(r *Request, b []byte) (verdict, reason string) {
	end := End(b, 0)
	if end == 0 {
		return "incomplete", ""
	}
	if refusal, ok := errors.AsType[*Refusal](r.Parse(b[:end])); ok {
		return strconv.Itoa(refusal.Status), refusal.Reason
	}
	return r.Tier.String(), r.Reason
}

func TestRequestsAreRefusedOrClassified(t *testing.T) {
	reused := &Request{} // as a connection does it
	for _, s := range samples(t) {
		got, reason := verdict(reused, bytes.Clone(s.bytes))
		if got != s.verdict {
			t.Errorf("%q: got %s (%s), want %s", s.bytes, got, reason, s.verdict)
		}
		if len(s.verdict) > len("400") && s.reason != "-" && reason != s.reason {
			t.Errorf("%q: got reason %q, want %q", s.bytes, reason, s.reason)
		}
	}
}

func forward() Forward {
	return Forward{For: "192.0.2.1", Proto: "https", Port: "443", Host: "198.18.0.1"}
}

func TestRequestsAreWrittenAnew(t *testing.T) {
	const added = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n"
	for name, c := range map[string]struct{ in, want string }{
		"what the client says of itself stays before what the proxy says": {
			"GET /a HTTP/1.1\r\nx-forwarded-for: 1.1.1.1\r\nHost: h\r\nX-Forwarded-Port: 1\r\nX-Forwarded-For:\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\nX-Forwarded-Proto: gopher\r\n\r\n",
			"GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n\r\n",
		},
		"fields of the connection end here": {
			"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade, x-mine\r\nConnection: X-Other\r\nKeep-Alive: 1\r\nProxy-Connection: a\r\nUpgrade: websocket\r\nTE: trailers, deflate\r\nX-Mine: 1\r\nX-Other: 2\r\nX-Stays: 3\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nX-Stays: 3\r\n" + added + "\r\n",
		},
		"a client cannot have the proxy's fields taken away": {
			"GET / HTTP/1.1\r\nHost: h\r\nConnection: close, host, cookie, x-forwarded-for, content-length\r\nCookie: a=b\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n" + added + "\r\n",
		},
		"Transfer-Encoding drives Content-Length out": {
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: Chunked\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\n" + added + "Transfer-Encoding: chunked\r\n\r\n",
		},
		"equal lengths become one": {
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 05\r\nContent-Length: 5, 5\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\n" + added + "Content-Length: 5\r\n\r\n",
		},
		"what looks like framing is dropped": {
			"POST / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\n" + added + "Content-Length: 5\r\n\r\n",
		},
		"folded lines become one": {
			"GET / HTTP/1.1\r\nHost: h\r\nX: one\r\n\t two\r\n three \r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX: one two three\r\n" + added + "\r\n",
		},
		"an absolute target names the host": {
			"GET http://real:81?q HTTP/1.1\r\nHost: other\r\n\r\n",
			"GET /?q HTTP/1.1\r\nHost: real:81\r\n" + added + "\r\n",
		},
		"HTTP/1.0 gets a Host, not the 100 it cannot take": {
			"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: 198.18.0.1\r\n" + added + "Content-Length: 1\r\n\r\n",
		},
		"Expect goes on with a body": {
			"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n" + added + "Content-Length: 1\r\n\r\n",
		},
		"Expect ends without a body": {
			"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\n" + added + "\r\n",
		},
		"bare LF becomes CRLF": {
			"GET / HTTP/1.1\nHost: h\nX: 1\n\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\n" + added + "\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r Request
			if err := r.Parse([]byte(c.in)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(r.Append(nil, forward()))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConnectionPersistsByVersionAndWish(t *testing.T) {
	for head, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n":                                     true,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n":                false,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, CLOSE\r\n\r\n":    false,
		"GET / HTTP/1.0\r\n\r\n":                                                false,
		"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n":                      true,
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n": false,
	} {
		var r Request
		if err := r.Parse([]byte(head)); err != nil {
			t.Fatal(err)
		}
		if got := r.Persists(); got != want {
			t.Errorf("%q: got %v, want %v", head, got, want)
		}
	}
}

func TestCookies(t *testing.T) {
	var r Request
	if err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1; AWSELB=x=y;b\r\ncookie: c=3\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "1", "AWSELB": "x=y", "c": "3", "b": "-", "A": "-", "AWSELBCORS": "-"} {
		got := "-"
		if v, ok := r.Cookie(name); ok {
			got = string(v)
		}
		if got != want {
			t.Errorf("cookie %s: got %q, want %q", name, got, want)
		}
	}
}

func TestHopelessBeginningsAreRefusedAtOnce(t *testing.T) {
	for head, want := range map[string]int{
		"": 0, "GET": 0, "GET /": 0, "\x16\x03\x01\x02\x00": 400, " GET": 400, "GET\r": 400,
		strings.Repeat("a", 127): 0, strings.Repeat("a", 128): 405, strings.Repeat("a", 127) + " ": 0,
	} {
		got := 0
		if r := Hopeless([]byte(head)); r != nil {
			got = r.Status
		}
		if got != want {
			t.Errorf("%q: got %d, want %d", head, got, want)
		}
	}
}

// TestEndDoesNotDependOnHowBytesArrive feeds heads in pieces.
func TestEndDoesNotDependOnHowBytesArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := "GET / HTTP/1.1" + strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"\r", "\n", "\r\n", "a", "X: y\r\n"})).Draw(t, "rest"), "")
		want := End([]byte(head), 0)
		got, seen := 0, 0
		for i := 1; i <= len(head) && got == 0; i++ {
			if rapid.Bool().Draw(t, "arrives") || i == len(head) {
				got = End([]byte(head[:i]), seen)
				seen = i
			}
		}
		if got != want {
			t.Errorf("%q: in pieces %d, at once %d", head, got, want)
		}
	})
}

// FuzzRequest checks that what is let through is read again as the same request,
// compliant and with the same framing: a target has nothing to misunderstand.
func FuzzRequest(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		end := End(b, 0)
		if end == 0 {
			return
		}
		var r, again Request
		if r.Parse(b[:end]) != nil {
			return
		}
		out := r.Append(nil, forward())
		if got := End(out, 0); got != len(out) {
			t.Fatalf("%q was written as %q, which ends at %d", b, out, got)
		}
		if err := again.Parse(out); err != nil {
			t.Fatalf("%q was written as %q: %v", b, out, err)
		}
		harmless := again.Tier < Ambiguous || strings.HasPrefix(again.Reason, "Undefined")
		if !harmless || again.Chunked != r.Chunked || !r.Chunked && again.Length != r.Length || string(again.Method) != string(r.Method) {
			t.Fatalf("%q was written as %q: %s %s", b, out, again.Tier, again.Reason)
		}
		if n := bytes.Count(out, []byte("\r\n")); n != bytes.Count(out, []byte("\n")) || n != bytes.Count(out, []byte("\r")) {
			t.Fatalf("%q was written as %q, with a bare CR or LF", b, out)
		}
	})
}
