package proxy_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// handler is a Handler by one function.
type handler func(context.Context, net.Conn, *proxy.Route)

func (h handler) Serve(ctx context.Context, c net.Conn, r *proxy.Route) { h(ctx, c, r) }

func TestHTTPListenersHaveAHandler(t *testing.T) {
	client := netip.MustParseAddrPort("203.0.113.10:1")
	w := start(t, proxy.Options{HTTP: handler(func(ctx context.Context, c net.Conn, r *proxy.Route) {
		choice, ok := r.Pick(client)
		if !ok {
			return
		}
		defer choice.Done()
		flow := proxy.Flow{Client: client, Local: r.Listener().Address}
		to, err := r.Dial(ctx, choice, flow)
		if err != nil {
			return
		}
		defer to.Close()
		_, secure := c.(*tls.Conn)
		_, _ = io.WriteString(c, map[bool]string{true: "secure ", false: "plain "}[secure])
		_, _ = io.Copy(c, to)
	})})
	l := tcpListener(t, target("a", serve(t, func(c net.Conn) { _, _ = io.WriteString(c, "from the target") })))
	l.Protocol, l.Forward[0].Protocol, l.Forward[0].Balance = lb.HTTP, lb.HTTP, proxy.LeastOutstanding
	secure := l
	secure.Address, secure.Protocol = netlabtest.Address(t), lb.HTTPS
	secure.TLS = &proxy.ServerTLS{Certificates: []tls.Certificate{certificate(t, "a")}, Policy: policy(t, "ELBSecurityPolicy-2016-08")}
	w.apply(l, secure)
	if got, err := io.ReadAll(dial(t, l.Address)); string(got) != "plain from the target" || err != nil {
		t.Errorf("HTTP: got %q, %v", got, err)
	}
	if got, _ := io.ReadAll(dialTLS(t, secure.Address, anyone("a"))); string(got) != "secure from the target" {
		t.Errorf("HTTPS: got %q", got)
	}
}

func TestAHandlerLearnsOfChangesAndOfTheEnd(t *testing.T) {
	serving, ended := make(chan *proxy.Route, 1), make(chan struct{})
	w := start(t, proxy.Options{HTTP: handler(func(ctx context.Context, c net.Conn, r *proxy.Route) {
		serving <- r
		<-ctx.Done()
		close(ended)
	})})
	l := tcpListener(t, target("a", netlabtest.Address(t)))
	l.Protocol, l.Forward[0].Protocol, l.Forward[0].DrainTermination = lb.HTTP, lb.HTTP, true
	w.apply(l)
	dial(t, l.Address)
	r := <-serving
	choice, ok := r.Find("a")
	if !ok || r.Ends(choice) {
		t.Fatalf("the only target: found %v, ends %v", ok, r.Ends(choice))
	}
	choice.Done()
	changed := r.Changed()
	gone := l
	gone.Forward = []proxy.Pool{{Key: "pool", Protocol: lb.HTTP, DrainTermination: true}}
	w.apply(gone)
	<-changed
	if _, ok := r.Find("a"); ok || !r.Ends(choice) {
		t.Errorf("the target has gone: found %v, ends %v", ok, r.Ends(choice))
	}
	w.apply()
	<-r.Retired()
	<-ended
}
