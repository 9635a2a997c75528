package httplb

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog/accesslogtest"
)

// secureTarget is an HTTPS server that ends with the test.
func secureTarget(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return s
}

// https makes the listener one of HTTPS, with a certificate of TLS version.
func https(t *testing.T, l *proxy.Listener, version uint16) {
	t.Helper()
	l.Protocol = lb.HTTPS
	l.TLS = &proxy.ServerTLS{
		Certificates: secureTarget(t, hello).TLS.Certificates,
		Policy:       proxy.SecurityPolicy{MinVersion: version, MaxVersion: version},
	}
}

func (w *world) dialTLS() (*tls.Conn, *bufio.Reader) {
	w.t.Helper()
	plain, _ := w.dial()
	c := tls.Client(plain, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func TestHTTPSOnBothSides(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			peers := map[string]bool{}
			back := secureTarget(t, func(rw http.ResponseWriter, r *http.Request) {
				peers[r.RemoteAddr] = true
				_, _ = io.WriteString(rw, r.Header.Get("X-Forwarded-Proto")+" "+r.Header.Get("X-Forwarded-For")+strings.Repeat("x", 100_000))
			})
			w := newWorld(t, func(l *proxy.Listener, _ *Options) {
				https(t, l, version)
				l.Forward[0].Protocol = lb.HTTPS
				l.Forward[0].Authorities = []*x509.Certificate{back.Certificate()}
			}, strings.TrimPrefix(back.URL, "https://"))
			c, r := w.dialTLS()
			for range 4 {
				write(t, c, get)
				if _, got := answer(t, r); got != "https 127.0.0.1"+strings.Repeat("x", 100_000) {
					t.Errorf("got %.40q", got)
				}
			}
			if len(peers) != 1 {
				t.Errorf("the target saw %d connections, want 1", len(peers))
			}
		})
	}
}

func TestTargetsWithoutATrustedKeyGetNothing(t *testing.T) {
	back := secureTarget(t, func(http.ResponseWriter, *http.Request) { t.Error("the target got a request") })
	other := &x509.Certificate{RawSubjectPublicKeyInfo: []byte("another key")}
	w := newWorld(t, func(l *proxy.Listener, _ *Options) {
		l.Forward[0].Protocol, l.Forward[0].Authorities = lb.HTTPS, []*x509.Certificate{other}
	}, strings.TrimPrefix(back.URL, "https://"))
	c, r := w.dial()
	write(t, c, get)
	if res, _ := answer(t, r); res.StatusCode != 503 {
		t.Errorf("got %v, want 503", res.Status)
	}
}

func TestConnectionsOfFormerTrustAreNotUsed(t *testing.T) {
	back := secureTarget(t, hello)
	w := newWorld(t, func(l *proxy.Listener, _ *Options) { l.Forward[0].Protocol = lb.HTTPS }, strings.TrimPrefix(back.URL, "https://"))
	c, r := w.dial()
	write(t, c, get)
	if res, _ := answer(t, r); res.StatusCode != 200 {
		t.Errorf("before: got %v", res.Status)
	}
	w.listener.Forward[0].Authorities = []*x509.Certificate{{RawSubjectPublicKeyInfo: []byte("another key")}}
	w.apply()
	write(t, c, get)
	if res, _ := answer(t, r); res.StatusCode != 503 {
		t.Errorf("after: got %v, want 503", res.Status)
	}
}

func TestAccessLogLinesOfRequests(t *testing.T) {
	log := accesslogtest.Open(t)
	at := httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		hello(rw, r)
	})
	w := newWorld(t, func(l *proxy.Listener, o *Options) {
		https(t, l, tls.VersionTLS12)
		l.AccessLog = &proxy.AccessLog{Bucket: "logs", Interval: time.Hour}
		o.AccessLog = log.Spool
	}, at)
	c, r := w.dialTLS()
	from := c.LocalAddr().String()
	for _, request := range []string{
		"POST /a?b=\"c HTTP/1.1\r\nHost: example.com\r\nUser-Agent: agent \"x\"\r\nContent-Length: 3\r\n\r\nabc",
		"PUT / HTTP/1.1\r\nHost: example.com:8443\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		write(t, c, request)
		if strings.HasPrefix(request, "PUT") {
			write(t, c, "3\r\nabc\r\n0\r\n\r\n")
		}
		answer(t, r)
	}
	write(t, c, "CONNECT x HTTP/1.1\r\n\r\n")
	answer(t, r)
	port := w.addr[strings.LastIndexByte(w.addr, ':'):]
	second := `\d\.\d{6}`
	head := `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z web ` + regexp.QuoteMeta(from) + " "
	timed := regexp.QuoteMeta(at) + " " + strings.Join([]string{second, second, second}, " ")
	tail := ` ECDHE-\S+-AES\S+-GCM-SHA\d+ TLSv1\.2$`
	log.Expect(t,
		head+timed+` 200 200 3 5 "POST https://example\.com`+port+`/a\?b=\\x22c HTTP/1\.1" "agent \\x22x\\x22"`+tail,
		head+timed+` 200 200 13 5 "PUT https://example\.com:8443/ HTTP/1\.1" "-"`+tail,
		head+`- -1 -1 -1 400 - 0 0 "- - - " "-"`+tail,
	)
}
