package proxy_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func TestAListenerThatCannotBindIsTriedAgainAndOthersServe(t *testing.T) {
	w := start(t, proxy.Options{})
	at := serve(t, echo)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad, good := tcpListener(t, target("a", at)), tcpListener(t, target("a", at))
	bad.Address = taken.Addr().(*net.TCPAddr).AddrPort()
	cfg := proxy.Config{Listeners: []proxy.Listener{bad, good}}
	if err := w.server.Apply(context.Background(), cfg); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), bad.Address.String()) {
		t.Errorf("Apply: %v, want one that names %s", err, bad.Address)
	}
	say(t, dial(t, good.Address), "x")
	for _, l := range w.server.State() {
		if (l.Error != "") != (l.Address == bad.Address) {
			t.Errorf("state %+v", l)
		}
	}
	_ = taken.Close()
	w.apply(bad, good)
	say(t, dial(t, bad.Address), "x")
}

func TestAllProblemsOfAConfigAreReportedAndTheLastGoodOneServes(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, echo)))
	w.apply(l)
	bad, alsoBad := l, tcpListener(t)
	bad.IdleTimeout, bad.Protocol = 0, lb.UDP
	bad.Forward = []proxy.Pool{{Key: "p", Protocol: lb.HTTP, Weight: 1000, ProxyProtocol: 3}}
	alsoBad.Protocol = lb.TLS
	err := w.server.Apply(context.Background(), proxy.Config{Listeners: []proxy.Listener{bad, alsoBad, alsoBad}})
	for _, want := range []string{"idle timeout 0s", `protocol "UDP"`, `protocol "HTTP"`, "weight 1000", "version 3", "needs a certificate", "another listener's"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Apply: %v\nwant it to say %q", err, want)
		}
	}
	say(t, dial(t, l.Address), "served as before")
}

func TestRunLetsConnectionsFinish(t *testing.T) {
	for name, test := range map[string]struct {
		patience time.Duration
		finishes bool
	}{"in time": {time.Minute, true}, "or ends them": {time.Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			w := start(t, proxy.Options{DrainTimeout: test.patience})
			l := tcpListener(t, target("a", serve(t, echo)))
			w.apply(l)
			c := dial(t, l.Address)
			say(t, c, "x")
			stopped := make(chan struct{})
			go func() { w.stop(); close(stopped) }()
			if !test.finishes {
				_ = closed(t, c)
				<-stopped
				return
			}
			eventually(t, "nobody listens", func() bool {
				other, err := net.Dial("tcp", l.Address.String())
				if err == nil {
					_ = other.Close()
				}
				return err != nil
			})
			say(t, c, "still here")
			_ = c.Close()
			<-stopped
		})
	}
}

func TestAStoppedServerTakesNoConfig(t *testing.T) {
	w := start(t, proxy.Options{})
	w.stop()
	if err := w.server.Apply(context.Background(), proxy.Config{Listeners: []proxy.Listener{tcpListener(t)}}); err == nil {
		t.Error("Apply: no error after Run has ended")
	}
}

func TestBytesAndConnectionsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg})
	l := tcpListener(t, target("a", serve(t, echo)))
	w.apply(l)
	c := dial(t, l.Address)
	say(t, c, "12345")
	for name, want := range map[string]float64{"new_flow_count_total": 1, "active_flow_count": 1, "processed_bytes_total": 10} {
		if got := count(t, reg, name, "arn:lb", "TCP"); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if got := w.server.State(); len(got) != 1 || got[0].Connections != 1 || got[0].Protocol != "TCP" || got[0].Balancer != "arn:lb" {
		t.Errorf("state %+v, want one connection", got)
	}
}
