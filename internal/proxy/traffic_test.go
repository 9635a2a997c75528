package proxy_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// closed waits for the proxy to close a client's connection and says how.
func closed(t *testing.T, c net.Conn) error {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	if err == nil {
		t.Fatal("got a byte, want the end of the connection")
	}
	return err
}

// wantReset connects to a listener that does not serve the connection. The reset
// may come before the kernel has told of the connection.
func wantReset(t *testing.T, at netip.AddrPort) {
	t.Helper()
	c, err := net.Dial("tcp", at.String())
	if err == nil {
		defer c.Close()
		if err = c.SetDeadline(time.Now().Add(time.Minute)); err == nil {
			err = closed(t, c)
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

// count is the sum of a metric's values over all of its labels.
func count(t *testing.T, reg *prometheus.Registry, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != "fairlead_proxy_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, l.GetValue())
			}
			if len(labels) > 0 && !strings.Contains(strings.Join(has, " "), strings.Join(labels, " ")) {
				continue
			}
			found = true
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	if !found {
		t.Fatalf("there is no metric %s", name)
	}
	return sum
}

// eventually waits for what happens soon after something a peer has seen.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come true: %s", what)
		}
	}
}

func TestMuchDataArrivesAsItWasSent(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, echo)))
	w.apply(l)
	c := dial(t, l.Address)
	want := make([]byte, 8<<20)
	if _, err := rand.Read(want); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = c.Write(want); _ = c.CloseWrite() })
	time.Sleep(50 * time.Millisecond) // the reader is slow: buffers fill up
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes back, %v; want the %d that were sent", len(got), err, len(want))
	}
}

func TestEachDirectionEndsByItself(t *testing.T) {
	received := make(chan string, 1)
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, func(c net.Conn) {
		b, _ := io.ReadAll(c) // until the client has finished
		received <- string(b)
		_, _ = io.WriteString(c, "goodbye")
	})))
	w.apply(l)
	c := dial(t, l.Address)
	_, _ = io.WriteString(c, "all I have")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if said := <-received; said != "all I have" || string(got) != "goodbye" || err != nil {
		t.Errorf("the target got %q, the client %q, %v", said, got, err)
	}
}

func TestAServerThatFinishesFirstStillHearsTheClient(t *testing.T) {
	received := make(chan string, 1)
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "first")
		_ = c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c)
		received <- string(b)
	})))
	w.apply(l)
	c := dial(t, l.Address)
	if got, err := io.ReadAll(c); string(got) != "first" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	_, _ = io.WriteString(c, "last")
	_ = c.CloseWrite()
	if got := <-received; got != "last" {
		t.Errorf("the target got %q, want last", got)
	}
}

func TestAResetIsPassedOn(t *testing.T) {
	ended := make(chan error, 1)
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, func(c net.Conn) {
		_, _ = io.CopyN(c, c, 2)
		_, err := c.Read(make([]byte, 1))
		ended <- err
	})))
	w.apply(l)
	c := dial(t, l.Address)
	say(t, c, "hi")
	_ = c.SetLinger(0)
	_ = c.Close()
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target's connection ended with %v, want a reset", err)
	}
}

func TestIdleConnectionsAreClosedAndBusyOnesStay(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg})
	l := tcpListener(t, target("a", serve(t, echo)))
	l.IdleTimeout = 10 * time.Second // a hundred times what lies between two words
	w.apply(l)
	idle, busy := dial(t, l.Address), dial(t, l.Address)
	say(t, idle, "x")
	ended := make(chan error, 1)
	go func() { _, err := idle.Read(make([]byte, 1)); ended <- err }()
	for open := true; open; {
		select {
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				t.Errorf("the idle connection ended with %v, want EOF", err)
			}
			open = false
		case <-time.After(100 * time.Millisecond):
		}
		say(t, busy, "x")
	}
	if got := count(t, reg, "idle_timeouts_total"); got != 1 {
		t.Errorf("counted %v idle timeouts, want 1", got)
	}
}

// Keepalives have no data; the client's kernel sends one each second.
func TestKeepalivesCountOnANetworkLoadBalancerOnly(t *testing.T) {
	w := start(t, proxy.Options{})
	nlb, classic := tcpListener(t, target("a", serve(t, echo))), tcpListener(t, target("a", serve(t, echo)))
	nlb.IdleTimeout, classic.IdleTimeout = 3*time.Second, 3*time.Second
	classic.Forward[0].Balance = proxy.RoundRobin
	w.apply(nlb, classic)
	var conns []*net.TCPConn
	for _, l := range []proxy.Listener{nlb, classic} {
		c := dial(t, l.Address)
		if err := c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 9}); err != nil {
			t.Fatal(err)
		}
		say(t, c, "x")
		conns = append(conns, c)
	}
	if err := closed(t, conns[1]); !errors.Is(err, io.EOF) {
		t.Errorf("Classic: the connection ended with %v, want EOF", err)
	}
	if got := say(t, conns[0], "alive"); got != "alive" {
		t.Errorf("NLB: got %q", got)
	}
}

func TestConnectionsEndWithTheirTarget(t *testing.T) {
	at := serve(t, echo)
	for name, change := range map[string]func(*proxy.Pool){
		"unhealthy": func(p *proxy.Pool) { p.Targets[0].Healthy, p.Targets[0].Eligible = false, false },
		"drained":   func(p *proxy.Pool) { p.Targets[0].Eligible, p.Targets[0].DrainUntil = false, time.Now() },
		"drains soon": func(p *proxy.Pool) {
			p.Targets[0].Eligible, p.Targets[0].DrainUntil = false, time.Now().Add(50*time.Millisecond)
		},
		"deregistered": func(p *proxy.Pool) { p.Targets = nil },
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			w := start(t, proxy.Options{Metrics: reg})
			l, neighbour := tcpListener(t, target("a", at)), tcpListener(t, target("a", at))
			l.Forward[0].UnhealthyTermination, l.Forward[0].DrainTermination = true, true
			w.apply(l, neighbour)
			c, other := dial(t, l.Address), dial(t, neighbour.Address)
			say(t, c, "x")
			say(t, other, "x")
			l.Forward = []proxy.Pool{l.Forward[0]}
			l.Forward[0].Targets = []proxy.Target{target("a", at)}
			change(&l.Forward[0])
			w.apply(l, neighbour)
			_ = closed(t, c)
			say(t, other, "still here")
			if got := count(t, reg, "terminated_flows_total"); got != 1 {
				t.Errorf("counted %v terminated connections, want 1", got)
			}
		})
	}
}

func TestADrainingTargetKeepsItsConnectionsAndGetsNoNewOnes(t *testing.T) {
	w := start(t, proxy.Options{})
	old, fresh := serve(t, echo), serve(t, func(c net.Conn) { _, _ = io.WriteString(c, "new") })
	l := tcpListener(t, target("old", old))
	l.Forward[0].DrainTermination = true
	w.apply(l)
	c := dial(t, l.Address)
	say(t, c, "x")
	draining := target("old", old)
	draining.Eligible, draining.DrainUntil = false, time.Now().Add(time.Hour)
	l.Forward = []proxy.Pool{{Key: "pool", Protocol: lb.TCP, DrainTermination: true, Targets: []proxy.Target{draining, target("new", fresh)}}}
	w.apply(l)
	say(t, c, "still here")
	for range 5 {
		if got, err := io.ReadAll(dial(t, l.Address)); string(got) != "new" || err != nil {
			t.Fatalf("a new connection got %q, %v; want the new target", got, err)
		}
	}
}

func TestARemovedListenerEndsAndOthersDoNot(t *testing.T) {
	w := start(t, proxy.Options{})
	at := serve(t, echo)
	gone, stays := tcpListener(t, target("a", at)), tcpListener(t, target("a", at))
	w.apply(gone, stays)
	c1, c2 := dial(t, gone.Address), dial(t, stays.Address)
	say(t, c1, "x")
	say(t, c2, "x")
	w.apply(stays)
	_ = closed(t, c1)
	say(t, c2, "still here")
	if c, err := net.Dial("tcp", gone.Address.String()); err == nil {
		_ = c.Close()
		t.Error("the removed listener accepts connections")
	}
}

func TestAnotherTargetIsTriedAndErrorsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg})
	l := tcpListener(t, target("dead", netlabtest.Address(t)), target("alive", serve(t, echo)))
	l.Forward[0].Balance = proxy.RoundRobin
	w.apply(l)
	for range 4 {
		say(t, dial(t, l.Address), "served")
	}
	if got := count(t, reg, "backend_connection_errors_total"); got != 2 {
		t.Errorf("counted %v errors, want 2: every second connection tries the dead target first", got)
	}
	if got := count(t, reg, "rejected_flow_count_total"); got != 0 {
		t.Errorf("counted %v rejected connections, want none", got)
	}
}

func TestConnectionsWithoutATargetAreResetAndCounted(t *testing.T) {
	for name, targets := range map[string][]proxy.Target{"none": nil, "dead": {target("dead", netlabtest.Address(t))}} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			w := start(t, proxy.Options{Metrics: reg})
			l := tcpListener(t, targets...)
			w.apply(l)
			wantReset(t, l.Address)
			if got := count(t, reg, "rejected_flow_count_total"); got != 1 {
				t.Errorf("counted %v rejected connections, want 1", got)
			}
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg, MaxConnections: 1})
	l := tcpListener(t, target("a", serve(t, echo)))
	w.apply(l)
	first := dial(t, l.Address)
	say(t, first, "x")
	wantReset(t, l.Address)
	_ = first.Close()
	eventually(t, "there is room again", func() bool { return count(t, reg, "active_flow_count") == 0 })
	say(t, dial(t, l.Address), "x")
	if got := count(t, reg, "rejected_flow_count_total"); got != 1 {
		t.Errorf("counted %v rejected connections, want 1", got)
	}
}

func TestOnlyClientsOfTheSecurityGroupsGetIn(t *testing.T) {
	for name, test := range map[string]struct {
		clients []netip.Prefix
		closed  bool
		in      bool
	}{
		"everyone":      {nil, false, true},
		"one of them":   {[]netip.Prefix{netip.MustParsePrefix("198.18.0.0/16"), netip.MustParsePrefix("127.0.0.0/8")}, false, true},
		"none of them":  {[]netip.Prefix{netip.MustParsePrefix("198.18.0.0/16")}, false, false},
		"closed":        {nil, true, false},
		"an empty list": {[]netip.Prefix{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			w := start(t, proxy.Options{Metrics: reg})
			l := tcpListener(t, target("a", serve(t, echo)))
			l.Clients, l.Closed = test.clients, test.closed
			w.apply(l)
			if test.in {
				say(t, dial(t, l.Address), "x")
				return
			}
			wantReset(t, l.Address)
			if got := count(t, reg, "security_group_blocked_flow_count_inbound_total"); got != 1 {
				t.Errorf("counted %v blocked connections, want 1", got)
			}
		})
	}
}
