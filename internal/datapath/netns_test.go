package datapath

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

func TestConnectionsPassBothWaysWithTheClientsAddress(t *testing.T) {
	s := newSite(t)
	for _, ns := range []string{"client", "t1", "t2"} {
		s.checkReceived(t, ns)
	}
	s.serve(t, "t1", 8080)
	s.serve(t, "t2", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	if d.Mode() != Native {
		t.Errorf("mode = %s, want native", d.Mode())
	}
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	for _, address := range []string{vip4 + ":80", "[" + vip6 + "]:80"} {
		seen := map[string]int{}
		for range 40 {
			c := s.dial(t, "client", address)
			words := c.ask(t, strings.Repeat("x", 9000))
			seen[words[0]]++
			if words[1] != c.LocalAddr().String() {
				t.Fatalf("target saw %s, want the client's own %s", words[1], c.LocalAddr())
			}
			c.Close()
		}
		if len(seen) != 2 {
			t.Errorf("%s: answers from %v, want both targets", address, seen)
		}
	}
	counters, err := d.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if got := counters.Balancers["lb4"].NewFlowCountTCP; got != 40 {
		t.Errorf("NewFlowCount_TCP = %d, want 40", got)
	}
	stop()
}

func TestConnectionsSurviveARestart(t *testing.T) {
	s, d, stop := servingSite(t)
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	var conns []*conn
	var served []string
	for _, address := range []string{vip4 + ":80", "[" + vip6 + "]:80", vip4 + ":80", "[" + vip6 + "]:80"} {
		c := s.dial(t, "client", address)
		conns, served = append(conns, c), append(served, c.ask(t, "before")[0])
	}
	same := func(when string) {
		t.Helper()
		for i, c := range conns {
			if got := c.ask(t, when)[0]; got != served[i] {
				t.Errorf("%s: connection %d answered by %s, was %s", when, i, got, served[i])
			}
		}
	}
	stop()
	same("without a process")
	s.dial(t, "client", vip4+":80").ask(t, "a new one without a process")
	d, stop = s.open(t)
	defer stop()
	same("adopted")
	ids := maps.Clone(d.have.targets)
	apply(t, d, snap, healthy(snap))
	same("applied")
	if diff := cmp.Diff(ids, d.have.targets); diff != "" {
		t.Errorf("targets changed over the restart (-before +after):\n%s", diff)
	}
	snap.TargetGroups[0].Targets = snap.TargetGroups[0].Targets[:1]
	snap.TargetGroups[1].Targets = snap.TargetGroups[1].Targets[:1]
	apply(t, d, snap, healthy(snap))
	same("after a target was deregistered")
}

func TestUnhealthyTargetsConnectionsEndWithAReset(t *testing.T) {
	s, d, stop := servingSite(t)
	defer stop()
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	c := s.dial(t, "client", vip4+":80")
	index := 0
	if c.ask(t, "hello")[0] == "t2" {
		index = 1
	}
	health := healthy(snap)
	health[lb.TargetKey{TargetGroupARN: "tg4", ID: fmt.Sprintf("i-%d", index), Port: 8080}] = lb.Unhealthy
	apply(t, d, snap, health)
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintln(c, "anyone there?")
	if _, err := c.r.ReadString('\n'); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read = %v, want connection reset", err)
	}
	for range 10 {
		if got := s.dial(t, "client", vip4+":80").ask(t, "x")[0]; got != fmt.Sprintf("t%d", 2-index) {
			t.Errorf("new connection answered by %s", got)
		}
	}
}

func TestSourceNATHidesTheClient(t *testing.T) {
	s := newSite(t)
	s.checkReceived(t, "client")
	s.checkReceived(t, "t1")
	s.serve(t, "t1", 8080)
	s.serve(t, "t2", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := snapshot()
	for i := range snap.TargetGroups {
		snap.TargetGroups[i].PreserveClientIP = false
	}
	apply(t, d, snap, healthy(snap))
	for address, vip := range map[string]string{vip4 + ":80": vip4, "[" + vip6 + "]:80": vip6} {
		for range 10 {
			c := s.dial(t, "client", address)
			for range 3 {
				seen := netip.MustParseAddrPort(c.ask(t, strings.Repeat("x", 5000))[1])
				if seen.Addr().String() != vip {
					t.Errorf("target saw %s, want the load balancer's address %s", seen, vip)
				}
			}
		}
	}
	flows, err := d.Flows(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(flows) != 20 {
		t.Errorf("%d flows, want 20", len(flows))
	}
	for _, f := range flows {
		if f.SourceNAT == 0 || f.State != "established" {
			t.Errorf("flow %+v, want established with source NAT", f)
		}
	}
}

func TestTargetReachesItselfThroughTheLoadBalancer(t *testing.T) {
	s := newSite(t)
	s.checkReceived(t, "t1")
	s.serve(t, "t1", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := snapshot()
	for i := range snap.TargetGroups {
		g := &snap.TargetGroups[i]
		g.Targets = g.Targets[:1]
		g.Targets[0].Siblings = []netip.Prefix{netip.MustParsePrefix("198.18.0.21/32"), netip.MustParsePrefix("2001:db8::21/128")}
	}
	apply(t, d, snap, healthy(snap))
	for address, vip := range map[string]string{vip4 + ":80": vip4, "[" + vip6 + "]:80": vip6} {
		seen := netip.MustParseAddrPort(s.dial(t, "t1", address).ask(t, "myself")[1])
		if seen.Addr().String() != vip {
			t.Errorf("target saw %s, want the load balancer's address %s", seen, vip)
		}
	}
}

func TestDatagramsPassBothWays(t *testing.T) {
	s := newSite(t)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := snapshot()
	for i := range snap.LoadBalancers {
		snap.LoadBalancers[i].Listeners[0].Protocol = lb.UDP
		snap.TargetGroups[i].Targets = snap.TargetGroups[i].Targets[:1]
	}
	var server net.PacketConn
	err := netlab.In(s.prefix+"t1", func() (err error) { server, err = net.ListenPacket("udp", ":8080"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(append(buf[:n:n], from.String()...), from)
		}
	}()
	apply(t, d, snap, healthy(snap))
	for _, address := range []string{vip4 + ":80", "[" + vip6 + "]:80"} {
		c, err := netlab.Dial(t.Context(), s.prefix+"client", "udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		for range 3 {
			if _, err := c.Write([]byte("hello ")); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 2000)
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(buf[:n]), "hello "+c.LocalAddr().String(); got != want {
				t.Errorf("answer %q, want %q", got, want)
			}
		}
	}
}

// bringBack takes a program off the uplink behind the data path's back, and has it
// look after that.
func (d *Datapath) bringBack(t *testing.T, l *pinnedLink) {
	t.Helper()
	if err := l.link.Detach(); err != nil {
		t.Fatal(err)
	}
	if l.intact() {
		t.Fatal("the program is still attached")
	}
	if err := d.reattach(); err != nil {
		t.Fatal(err)
	}
}

func TestDetachedProgramComesBack(t *testing.T) {
	s := newSite(t)
	s.serve(t, "t1", 8080)
	s.serve(t, "t2", 8080)
	var log bytes.Buffer
	s.log = &log
	d, stop := s.open(t)
	s.cleanup(t)
	stop = sync.OnceFunc(stop)
	defer stop()
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	c := s.dial(t, "client", vip4+":80")
	c.ask(t, "before")
	d.bringBack(t, &d.at.pinnedLink)
	if d.Mode() != Native {
		t.Errorf("mode = %s, want native", d.Mode())
	}
	c.ask(t, "after")
	stop()
	if want := "the program was detached from the uplink"; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say that %s:\n%s", want, log.String())
	}
}

func TestNothingChangesBeforeTheFirstApply(t *testing.T) {
	s := newSite(t)
	d, stop := s.open(t)
	s.cleanup(t)
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	before := d.have
	stop()
	d, stop = s.open(t)
	defer stop()
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := d.store.load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.keys, after.keys); diff != "" {
		t.Errorf("listeners changed (-before +after):\n%s", diff)
	}
}

func TestTargetThatLeftIsForgottenWithItsLastFlow(t *testing.T) {
	s := newSite(t)
	s.serve(t, "t1", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := snapshot()
	snap.TargetGroups[0].Targets = snap.TargetGroups[0].Targets[:1]
	snap.TargetGroups[1].Targets = nil
	apply(t, d, snap, healthy(snap))
	c := s.dial(t, "client", vip4+":80")
	c.ask(t, "before")
	snap.TargetGroups[0].Targets = nil
	apply(t, d, snap, healthy(snap))
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ask(t, "still served")
	if got := len(d.have.targets); got != 1 {
		t.Errorf("%d targets while a flow lives, want 1", got)
	}
	zeroFlows(t, d.objs.Flows)
	zeroFlows(t, d.objs.HalfOpen)
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(d.have.targets); got != 0 {
		t.Errorf("%d targets after the last flow, want none", got)
	}
}
