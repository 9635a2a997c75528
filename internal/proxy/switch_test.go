package proxy_test

import (
	"crypto/tls"
	"io"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// A listener that begins or ceases to speak TLS keeps its socket and its
// connections, whoever serves them.
func TestAListenerChangesItsProtocol(t *testing.T) {
	w := start(t, proxy.Options{})
	plain := tcpListener(t, target("a", serve(t, echo)))
	secure := plain
	secure.Protocol = lb.TLS
	secure.TLS = &proxy.ServerTLS{Certificates: []tls.Certificate{certificate(t, "a")}, Policy: policy(t, "ELBSecurityPolicy-2016-08")}
	w.apply(plain)
	first := dial(t, plain.Address)
	say(t, first, "plain")
	w.apply(secure)
	second := dialTLS(t, plain.Address, anyone("a"))
	say(t, second, "secure")
	w.apply(plain)
	third := dial(t, plain.Address)
	say(t, third, "plain again")
	say(t, first, "still here")
	say(t, second, "still here")
	if got := w.server.State(); len(got) != 1 || got[0].Connections != 3 {
		t.Errorf("state %+v, want three connections", got)
	}
	w.apply()
	for _, c := range []io.Reader{first, second, third} {
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("got %q, %v at the end of the listener", b, err)
		}
	}
}

// Targets that speak TLS behind clients that do not, and the reverse, can be had
// in turn, too.
func TestAPoolBeginsToSpeakTLS(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, echo)))
	w.apply(l)
	say(t, dial(t, l.Address), "plain")
	secure := l
	secure.Forward = []proxy.Pool{{Key: "secure", Protocol: lb.SSL, Targets: []proxy.Target{target("b", serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, "b")}}, echo))}}}
	w.apply(secure)
	say(t, dial(t, l.Address), "encrypted behind")
	w.apply(l)
	say(t, dial(t, l.Address), "plain again")
}
