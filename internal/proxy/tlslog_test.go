package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog/accesslogtest"
)

const webARN = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/0123456789abcdef"

// logged is a TLS listener that keeps a log, before targets that speak TLS.
func logged(t *testing.T) proxy.Listener {
	t.Helper()
	at := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, "t")}, NextProtos: []string{"h2"}}, func(c net.Conn) {
		_, _ = io.ReadAll(c)
		_, _ = io.WriteString(c, "hello")
	})
	l := tlsListener(t, at, certificate(t, "a.example"), certificate(t, "b.example"))
	l.Balancer, l.ARN = webARN, webARN+"/fedcba9876543210"
	l.Forward[0].Protocol, l.TLS.ALPN = lb.TLS, []string{"h2", "http/1.1"}
	l.TLS.CertificateARNs = []string{"arn:a", "arn:b"}
	l.AccessLog = &proxy.AccessLog{Bucket: "logs", Interval: 5 * time.Minute}
	return l
}

// converse says abc, and returns the client's address once the answer is over.
func converse(t *testing.T, l proxy.Listener, config *tls.Config) string {
	t.Helper()
	c := dialTLS(t, l.Address, config)
	_, _ = io.WriteString(c, "abc")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	return c.LocalAddr().String()
}

func TestAccessLogLinesOfTLSListeners(t *testing.T) {
	log := accesslogtest.Open(t)
	l := logged(t)
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{AccessLog: log.Spool, Metrics: reg})
	w.apply(l)
	quiet := func() {
		t.Helper()
		eventually(t, "nobody is left", func() bool { return count(t, reg, "active_flow_count") == 0 })
	}

	config := anyone("b.example")
	config.NextProtos, config.ClientSessionCache = []string{"http/1.0 ", "h2"}, tls.NewLRUClientSessionCache(1)
	first := converse(t, l, config)
	quiet()
	resumed := converse(t, l, config)
	quiet()
	strict := &tls.Config{ServerName: "a.example", RootCAs: x509.NewCertPool(), MaxVersion: tls.VersionTLS12}
	refusing := tls.Client(dial(t, l.Address), strict)
	if err := refusing.Handshake(); err == nil {
		t.Error("a client that trusts nobody is content")
	}
	_ = refusing.Close()
	quiet()
	garbage := dial(t, l.Address)
	_, _ = io.WriteString(garbage, "GET / HTTP/1.1\r\n\r\n")
	_, _ = io.Copy(io.Discard, garbage)
	quiet()
	l.Forward[0].Targets = nil
	w.apply(l)
	nobody := dialTLS(t, l.Address, anyone(""))
	if _, err := io.ReadAll(nobody); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("without a target: %v, want a reset", err)
	}
	w.stop()

	at, ms := `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`, `\d+`
	line := func(client, rest string) string {
		return "^tls 2\\.0 " + at + " net/web/0123456789abcdef fedcba9876543210 " + regexp.QuoteMeta(client+" "+l.Address.String()) + " " + ms + " " + rest + " " + at + "$"
	}
	spoken := ms + ` 3 5 - arn:b - TLS_AES_128_GCM_SHA256 tlsv13 - b\.example h2 h2 "http/1\.0%20","h2"`
	log.Expect(t,
		line(first, spoken),
		line(resumed, spoken),
		line(refusing.LocalAddr().String(), `- 0 0 42 arn:a - - - - a\.example - - -`),
		line(garbage.LocalAddr().String(), `- 0 0 - - - - - - - - - -`),
		line(nobody.LocalAddr().String(), ms+` 0 0 - arn:a - TLS_AES_128_GCM_SHA256 tlsv13 - - - - -`),
	)
}
