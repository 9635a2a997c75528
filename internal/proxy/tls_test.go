package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// certificate is self-signed for names.
func certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key} // without Leaf: as a program may make it
}

func policy(t *testing.T, name string) proxy.SecurityPolicy {
	t.Helper()
	p, _, err := proxy.PredefinedPolicy(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tlsListener(t *testing.T, at netip.AddrPort, certs ...tls.Certificate) proxy.Listener {
	t.Helper()
	l := tcpListener(t, target("a", at))
	l.Protocol = lb.TLS
	l.TLS = &proxy.ServerTLS{Certificates: certs, Policy: policy(t, "ELBSecurityPolicy-TLS13-1-2-2021-06")}
	return l
}

// anyone trusts whatever certificate comes.
func anyone(name string) *tls.Config { return &tls.Config{InsecureSkipVerify: true, ServerName: name} }

func dialTLS(t *testing.T, at netip.AddrPort, config *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(dial(t, at), config)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLSListenersEndTLS(t *testing.T) {
	for name, to := range map[string]func(*testing.T, *proxy.Listener){
		"TCP targets": func(*testing.T, *proxy.Listener) {},
		"TLS targets": func(t *testing.T, l *proxy.Listener) {
			l.Forward[0].Protocol = lb.TLS
			l.Forward[0].Targets[0].Addr = serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, "whoever")}}, echo)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, proxy.Options{})
			l := tlsListener(t, serve(t, echo), certificate(t, "a.example"))
			to(t, &l)
			w.apply(l)
			c := dialTLS(t, l.Address, anyone("a.example"))
			for _, size := range []int{1, 100, 16 << 10, 17 << 10, 1 << 20} {
				text := make([]byte, size)
				_, _ = rand.Read(text)
				go func() { _, _ = c.Write(text) }()
				got := make([]byte, size)
				if _, err := io.ReadFull(c, got); err != nil || string(got) != string(text) {
					t.Fatalf("%d bytes did not come back: %v", size, err)
				}
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := closed(t, c); !errors.Is(err, io.EOF) {
				t.Errorf("after the client has finished: %v, want EOF", err)
			}
		})
	}
}

// serveTLS is a TLS target that handles each connection with f.
func serveTLS(t *testing.T, config *tls.Config, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	return serve(t, func(c net.Conn) {
		secure := tls.Server(c, config)
		if secure.Handshake() == nil {
			f(secure)
			_ = secure.CloseWrite()
		}
	})
}

func TestTCPListenersSpeakTLSToTargets(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, "t")}}, echo)))
	l.Forward[0].Protocol = lb.SSL
	w.apply(l)
	say(t, dial(t, l.Address), "encrypted behind")
}

func TestCertificatesAreChosenByName(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tlsListener(t, serve(t, echo), certificate(t, "default.example"), certificate(t, "*.wild.example"),
		certificate(t, "exact.wild.example", "other.example"))
	w.apply(l)
	for name, want := range map[string]string{
		"default.example": "default.example", "": "default.example", "unknown.example": "default.example",
		"x.wild.example": "*.wild.example", "X.Wild.Example": "*.wild.example", "a.b.wild.example": "default.example",
		"exact.wild.example": "exact.wild.example", "other.example": "exact.wild.example",
	} {
		c := dialTLS(t, l.Address, anyone(name))
		if got := c.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("%q gets the certificate of %s, want %s", name, got, want)
		}
	}
}

func TestApplicationProtocols(t *testing.T) {
	seen := make(chan string, 1)
	at := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, "t")}, NextProtos: []string{"h2", "http/1.1"}}, func(c net.Conn) {
		seen <- c.(*tls.Conn).ConnectionState().NegotiatedProtocol
	})
	w := start(t, proxy.Options{})
	l := tlsListener(t, at, certificate(t, "a"))
	l.Forward[0].Protocol = lb.TLS
	l.TLS.ALPN = []string{"http/1.1", "h2"}
	w.apply(l)
	for name, test := range map[string]struct {
		offer []string
		want  string
	}{
		"the listener's preference wins": {[]string{"h2", "http/1.1"}, "http/1.1"},
		"what both have":                 {[]string{"h2"}, "h2"},
		"a client without":               {nil, ""},
	} {
		config := anyone("a")
		config.NextProtos = test.offer
		c := dialTLS(t, l.Address, config)
		if front, back := c.ConnectionState().NegotiatedProtocol, <-seen; front != test.want || back != test.want {
			t.Errorf("%s: got %q in front and %q behind, want %q", name, front, back, test.want)
		}
	}
}

func TestPoliciesBoundVersions(t *testing.T) {
	for name, test := range map[string]struct {
		client uint16
		ok     bool
	}{
		"ELBSecurityPolicy-TLS13-1-3-2021-06":     {tls.VersionTLS12, false},
		"ELBSecurityPolicy-TLS13-1-2-2021-06":     {tls.VersionTLS12, true},
		"ELBSecurityPolicy-FS-1-2-Res-2020-10":    {tls.VersionTLS12, true},
		"ELBSecurityPolicy-FS-1-2-Res-2019-08":    {tls.VersionTLS13, false},
		"ELBSecurityPolicy-TLS-1-1-2017-01":       {tls.VersionTLS10, false},
		"ELBSecurityPolicy-2016-08":               {tls.VersionTLS10, true},
		"ELBSecurityPolicy-TLS13-1-2-Res-2021-06": {tls.VersionTLS11, false},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			w := start(t, proxy.Options{Metrics: reg})
			l := tlsListener(t, serve(t, echo), certificate(t, "a"))
			l.TLS.Policy = policy(t, name)
			w.apply(l)
			config := anyone("a")
			config.MinVersion, config.MaxVersion = test.client, test.client
			c := tls.Client(dial(t, l.Address), config)
			err := c.Handshake()
			if refused := (*net.OpError)(nil); (err == nil) != test.ok || err != nil && (!errors.As(err, &refused) || refused.Op != "remote error") {
				t.Errorf("a client of %s: %v; want it served: %v, or an alert", tls.VersionName(test.client), err, test.ok)
			}
			want := map[bool]float64{true: 0, false: 1}[test.ok]
			eventually(t, "the handshake is counted", func() bool { return count(t, reg, "client_tls_negotiation_error_count_total") == want })
		})
	}
}

func TestSessionsAreResumedAcrossConfigs(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tlsListener(t, serve(t, echo), certificate(t, "a"))
	w.apply(l)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := anyone("a")
		config.MaxVersion, config.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
		for i, want := range []bool{false, true, true} {
			c := dialTLS(t, l.Address, config)
			say(t, c, "x") // reads the tickets of TLS 1.3, too
			if got := c.ConnectionState().DidResume; got != want {
				t.Errorf("%s, connection %d: resumed = %v", tls.VersionName(version), i, got)
			}
			l.IdleTimeout += time.Second
			w.apply(l)
		}
	}
}

func TestCertificatesAreRotatedUnderConnections(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tlsListener(t, serve(t, echo), certificate(t, "old"))
	w.apply(l)
	old := dialTLS(t, l.Address, anyone("x"))
	say(t, old, "x")
	l.TLS = &proxy.ServerTLS{Certificates: []tls.Certificate{certificate(t, "new")}, Policy: l.TLS.Policy}
	w.apply(l)
	fresh := dialTLS(t, l.Address, anyone("x"))
	if got := fresh.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "new" {
		t.Errorf("a new connection gets the certificate %s", got)
	}
	say(t, old, "still here")
}

func TestBackendAuthentication(t *testing.T) {
	known, unknown := certificate(t, "known"), certificate(t, "unknown")
	leaf, err := x509.ParseCertificate(known.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cert        tls.Certificate
		authorities []*x509.Certificate
		ok          bool
	}{
		"the key of a policy":                 {known, []*x509.Certificate{leaf}, true},
		"another key":                         {unknown, []*x509.Certificate{leaf}, false},
		"no policy trusts everyone":           {unknown, nil, true},
		"a policy without keys trusts nobody": {known, []*x509.Certificate{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			w := start(t, proxy.Options{Metrics: reg})
			l := tcpListener(t, target("a", serveTLS(t, &tls.Config{Certificates: []tls.Certificate{test.cert}}, echo)))
			l.Forward[0].Protocol, l.Forward[0].Authorities = lb.SSL, test.authorities
			w.apply(l)
			if test.ok {
				say(t, dial(t, l.Address), "x")
				say(t, dial(t, l.Address), "and resumed")
			} else {
				wantReset(t, l.Address)
			}
			want := map[bool]float64{true: 0, false: 1}[test.ok]
			if got := count(t, reg, "target_tls_negotiation_error_count_total"); got != want {
				t.Errorf("counted %v errors, want %v", got, want)
			}
		})
	}
}

func TestGarbageInsteadOfTLSIsCountedAndClosed(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg})
	l := tlsListener(t, serve(t, echo), certificate(t, "a"))
	w.apply(l)
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "\x16\x03\x01\xff\xff" + string(make([]byte, 70_000))} {
		c := dial(t, l.Address)
		_, _ = io.WriteString(c, garbage)
		_, _ = io.Copy(io.Discard, c)
	}
	_ = dial(t, l.Address).Close() // a probe that says nothing is no error
	eventually(t, "three are counted", func() bool { return count(t, reg, "client_tls_negotiation_error_count_total") == 3 })
	eventually(t, "nobody is left", func() bool { return count(t, reg, "active_flow_count") == 0 })
	if got := count(t, reg, "client_tls_negotiation_error_count_total"); got != 3 {
		t.Errorf("counted %v errors, want 3", got)
	}
}

func TestASlowHandshakeIsClosed(t *testing.T) {
	w := start(t, proxy.Options{HandshakeTimeout: 2 * time.Second})
	l := tlsListener(t, serve(t, echo), certificate(t, "a"))
	w.apply(l)
	c := dial(t, l.Address)
	_, _ = io.WriteString(c, "\x16\x03\x01\x02")
	_ = closed(t, c)
	say(t, dialTLS(t, l.Address, anyone("a")), "in time")
}

func TestATargetThatDoesNotShakeHandsIsNotWaitedForForever(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg, ConnectTimeout: 50 * time.Millisecond})
	l := tcpListener(t, target("mute", serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })))
	l.Forward[0].Protocol = lb.TLS
	w.apply(l)
	wantReset(t, l.Address)
	if got := count(t, reg, "target_tls_negotiation_error_count_total"); got != 1 {
		t.Errorf("counted %v errors, want 1", got)
	}
}
