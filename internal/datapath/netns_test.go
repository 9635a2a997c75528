package datapath

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

// site is a client, an edge and two targets on one bridge. Targets send what
// is for the client to the edge, by a host route: what a node's helper does.
type site struct {
	prefix string
	pins   string
	log    io.Writer // of data paths; nil: the test's own
}

const (
	vip4 = "198.18.0.100"
	vip6 = "2001:db8::100"
)

func newSite(t *testing.T) *site {
	t.Helper()
	p := netlabtest.Prefix(t)
	name := func(s string) string { return p + s }
	sw := name("sw")
	port := func(ns string, host int) netlab.Port {
		return netlab.Port{Namespace: name(ns), Name: "eth0", Addresses: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("198.18.0.%d/16", host)),
			netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/32", host)),
		}}
	}
	bridged := func(n string) netlab.Port { return netlab.Port{Namespace: sw, Name: n, Bridge: "br0"} }
	facingEdge := bridged("edge")
	facingEdge.FacesXDP = true
	back := []netlab.Route{
		{To: netip.MustParsePrefix("198.18.0.10/32"), Via: netip.MustParseAddr("198.18.0.4")},
		{To: netip.MustParsePrefix("2001:db8::10/128"), Via: netip.MustParseAddr("2001:db8::4")},
	}
	topology := netlab.Topology{
		Namespaces: []netlab.Namespace{
			{Name: sw, Bridges: []string{"br0"}}, {Name: name("client")}, {Name: name("edge")},
			{Name: name("t1"), Routes: back}, {Name: name("t2"), Routes: back},
		},
		Cables: []netlab.Cable{
			{A: bridged("client"), B: port("client", 10)}, {A: facingEdge, B: port("edge", 4)},
			{A: bridged("t1"), B: port("t1", 21)}, {A: bridged("t2"), B: port("t2", 22)},
		},
	}
	if err := netlab.Apply(topology); err != nil {
		t.Fatal(err)
	}
	return &site{prefix: p, pins: filepath.Join(t.TempDir(), "pins")}
}

// open opens a data path on the segment's edge and runs it.
func (s *site) open(t *testing.T) (d *Datapath, stop func()) {
	t.Helper()
	return s.openAs(t, Native)
}

func (s *site) openAs(t *testing.T, mode Mode) (d *Datapath, stop func()) {
	t.Helper()
	log := s.log
	if log == nil {
		log = t.Output()
	}
	cfg := Config{Interface: "eth0", PinDir: s.pins, Flows: 4096, Mode: mode, Logger: slog.New(slog.NewTextHandler(log, nil))}
	err := netlab.In(s.prefix+"edge", func() (err error) { d, err = Open(cfg); return err })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }()
	return d, func() {
		cancel()
		<-done
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// explain prints what the data path did when a test has failed.
func explain(t *testing.T, d *Datapath) {
	if !t.Failed() {
		return
	}
	c, err := d.Counters()
	t.Logf("events %v, balancers %+v, error %v", c.Events, c.Balancers, err)
	for name, n := range c.Reasons {
		if n > 0 {
			t.Logf("%s: %d", name, n)
		}
	}
	flows, err := d.Flows(20)
	for _, f := range flows {
		t.Logf("%+v", f)
	}
	t.Log(err)
}

func (s *site) cleanup(t *testing.T) {
	t.Cleanup(func() {
		d, stop := s.open(t)
		explain(t, d)
		if err := d.Detach(); err != nil {
			t.Error(err)
		}
		stop()
		if _, err := os.Stat(s.pins); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("pin directory after Detach: %v", err)
		}
	})
}

// servingSite is a site whose targets serve port 8080, with a data path, which
// is detached after the test; stop ends its process.
func servingSite(t *testing.T) (s *site, d *Datapath, stop func()) {
	t.Helper()
	s = newSite(t)
	s.serve(t, "t1", 8080)
	s.serve(t, "t2", 8080)
	d, stop = s.open(t)
	s.cleanup(t)
	return s, d, stop
}

// serve answers each line with the target's name and the client's address.
func (s *site) serve(t *testing.T, ns string, port int) {
	t.Helper()
	var l net.Listener
	quiet := net.ListenConfig{KeepAlive: -1} // counters move by what tests send alone
	err := netlab.In(s.prefix+ns, func() (err error) { l, err = quiet.Listen(t.Context(), "tcp", fmt.Sprintf(":%d", port)); return err })
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	accepted := make(chan net.Conn, 1000)
	wg.Go(func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
			wg.Go(func() { answer(c, ns) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		for c := range accepted { // the client's FIN may never come any more
			c.Close()
		}
		wg.Wait()
	})
}

func answer(c net.Conn, name string) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintf(c, "%s %s %d\n", name, c.RemoteAddr(), len(lines.Text()))
	}
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

func (s *site) dial(t *testing.T, from, address string) *conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := netlab.Dial(ctx, s.prefix+from, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.(*net.TCPConn).SetKeepAlive(false); err != nil {
		t.Fatal(err)
	}
	return &conn{c, bufio.NewReader(c)}
}

// ask sends a line and returns the answer's words.
func (c *conn) ask(t *testing.T, line string) []string {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
	reply, err := c.r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(reply)
}

func snapshot() lb.ZoneSnapshot {
	group := func(arn string, addrs ...string) lb.ZonalGroup {
		g := lb.ZonalGroup{ARN: arn, Protocol: lb.TCP, PreserveClientIP: true, UnhealthyTermination: true}
		for i, a := range addrs {
			g.Targets = append(g.Targets, lb.ZonalTarget{ID: fmt.Sprintf("i-%d", i), Port: 8080, Addr: netip.MustParseAddr(a)})
		}
		return g
	}
	listener := func(arn string, port uint16, group string) lb.ZonalListener {
		return lb.ZonalListener{ARN: arn, Protocol: lb.TCP, Port: port, IdleTimeout: 350 * time.Second,
			Forward: []lb.WeightedGroup{{TargetGroupARN: group, Weight: 1}}}
	}
	return lb.ZoneSnapshot{
		Revision: 1, Zone: "us-west-2a",
		LoadBalancers: []lb.ZonalBalancer{
			{ARN: "lb4", IPv4: netip.MustParseAddr(vip4), Listeners: []lb.ZonalListener{listener("l4", 80, "tg4")}},
			{ARN: "lb6", IPv6: netip.MustParseAddr(vip6), Listeners: []lb.ZonalListener{listener("l6", 80, "tg6")}},
		},
		TargetGroups: []lb.ZonalGroup{
			group("tg4", "198.18.0.21", "198.18.0.22"),
			group("tg6", "2001:db8::21", "2001:db8::22"),
		},
	}
}

func healthy(s lb.ZoneSnapshot) map[lb.TargetKey]lb.HealthState {
	out := map[lb.TargetKey]lb.HealthState{}
	for _, g := range s.TargetGroups {
		for _, t := range g.Targets {
			out[lb.TargetKey{TargetGroupARN: g.ARN, ID: t.ID, Port: t.Port}] = lb.Healthy
		}
	}
	return out
}

func apply(t *testing.T, d *Datapath, s lb.ZoneSnapshot, health map[lb.TargetKey]lb.HealthState) {
	t.Helper()
	tables := Desired(Input{Snapshot: s, Health: health, Now: time.Now()})
	if err := d.Apply(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
}

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
