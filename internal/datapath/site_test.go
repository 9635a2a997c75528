package datapath

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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

// exec runs a command in a namespace.
func (s *site) exec(t *testing.T, ns, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := netlab.In(s.prefix+ns, cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out.String())
	}
}

// checkSent checks what the edge's machine sends to a host. What it sends is
// segmented and its checksums finished behind the program, as a device would.
func (s *site) checkSent(t *testing.T, to string) {
	t.Helper()
	s.exec(t, "edge", "", "ethtool", "-K", "eth0", "tx", "off")
	s.checkReceived(t, to)
}

const (
	vip4 = "198.18.0.100"
	vip6 = "2001:db8::100"
)
