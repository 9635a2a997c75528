package edge_test

import (
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
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

const (
	zone     = "us-west-2a"
	patience = time.Minute // for what must come about
)

// bench is a segment with an edge and two targets, a control host, a neighbour
// and a client behind a router:
//
//	client ── router ── sw ── control, edge, target1, target2, near
type bench struct {
	prefix, binary, dir string
	engine              *engine
}

// newBench is a network with the engine's end of the stream, which says what the
// test tells it.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := newNetwork(t)
	b.serveEngine(t)
	return b
}

// newNetwork builds network and binary.
func newNetwork(t *testing.T) *bench {
	t.Helper()
	b := &bench{prefix: netlabtest.Prefix(t), dir: t.TempDir(), engine: newEngine()}
	b.binary = filepath.Join(b.dir, "fairlead")
	if out, err := exec.Command("go", "build", "-o", b.binary, "../../cmd/fairlead").CombinedOutput(); err != nil {
		t.Fatalf("build the binary: %v\n%s", err, out)
	}
	if err := netlab.Apply(b.topology()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) topology() netlab.Topology {
	p := b.prefix
	port := func(ns, name string, addrs ...string) netlab.Port {
		p := netlab.Port{Namespace: p + ns, Name: name}
		for _, s := range addrs {
			p.Addresses = append(p.Addresses, netip.MustParsePrefix(s))
		}
		return p
	}
	bridged := func(name string) netlab.Port { return netlab.Port{Namespace: p + "sw", Name: name, Bridge: "br0"} }
	toEdge := bridged("edge")
	toEdge.FacesXDP = true
	via := func(s4, s6 string) []netlab.Route {
		return []netlab.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(s4)},
			{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr(s6)},
		}
	}
	routing := []netlab.Sysctl{
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
		{Key: "net/ipv6/conf/default/forwarding", Value: "1"},
	}
	vpc := via("198.18.0.1", "2001:db8::1")
	return netlab.Topology{
		Namespaces: []netlab.Namespace{
			{Name: p + "sw", Bridges: []string{"br0"}},
			{Name: p + "router", Sysctls: routing},
			{Name: p + "client", Routes: via("203.0.113.1", "3fff:0:0:2::1")},
			{Name: p + "control", Routes: vpc},
			{Name: p + "edge", Routes: vpc},
			{Name: p + "target1", Sysctls: routing, Routes: vpc},
			{Name: p + "target2", Sysctls: routing, Routes: vpc},
			{Name: p + "near", Routes: vpc},
		},
		Cables: []netlab.Cable{
			{A: bridged("router"), B: port("router", "eth0", "198.18.0.1/16", "2001:db8::1/32")},
			{A: port("router", "out", "203.0.113.1/24", "3fff:0:0:2::1/64"), B: port("client", "eth0", "203.0.113.10/24", "3fff:0:0:2::10/64")},
			{A: bridged("control"), B: port("control", "eth0", "198.18.0.10/16", "2001:db8::10/32")},
			{A: toEdge, B: port("edge", "eth0", "198.18.16.4/16", "2001:db8:0:1::4/32")},
			{A: bridged("target1"), B: port("target1", "eth0", "198.18.16.16/16", "2001:db8:0:1::10/32")},
			{A: bridged("target2"), B: port("target2", "eth0", "198.18.16.17/16", "2001:db8:0:1::11/32")},
			{A: bridged("near"), B: port("near", "eth0", "198.18.16.99/16", "2001:db8:0:1::99/32")},
		},
	}
}

// serveEngine listens in the control namespace and issues the edge's identity.
func (b *bench) serveEngine(t *testing.T) {
	t.Helper()
	authority, err := edgeapi.OpenAuthority(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	id, err := authority.Issue(zone)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Write(filepath.Join(b.dir, "identity")); err != nil {
		t.Fatal(err)
	}
	server, err := edgeapi.NewServer(b.engine, authority, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var ln net.Listener
	err = netlab.In(b.prefix+"control", func() (err error) { ln, err = net.Listen("tcp", "198.18.0.10:7441"); return err })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// process is a running fairlead.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// start runs fairlead in a namespace.
func (b *bench) start(t *testing.T, ns string, args ...string) *process {
	t.Helper()
	return b.startAs(t, ns, nil, args...)
}

// startAs runs fairlead in a namespace as somebody.
func (b *bench) startAs(t *testing.T, ns string, as *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(b.binary, args...), done: make(chan struct{})}
	p.cmd.SysProcAttr = as
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := netlab.In(b.prefix+ns, p.cmd.Start); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s: fairlead %s\n%s", ns, strings.Join(args, " "), p.log.String())
		}
	})
	return p
}

func (p *process) end(signal os.Signal) {
	p.t.Helper()
	p.cmd.Process.Signal(signal)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the process does not end on %v", signal)
	}
}

func (b *bench) edge(t *testing.T, more ...string) *process {
	return b.start(t, "edge", append([]string{"edge", "--zone", zone, "--interface", "eth0", "--xdp-mode", "native", "--engine", "198.18.0.10:7441",
		"--identity", filepath.Join(b.dir, "identity"), "--state-dir", filepath.Join(b.dir, "edge"), "--pin-dir", b.pins(t, "edge"), "--flows", "4096"}, more...)...)
}

func (b *bench) node(t *testing.T, ns string) *process {
	return b.start(t, ns, "node", "--interface", "eth0", "--pin-dir", b.pins(t, ns), "--max-flows", "4096")
}

// pins returns a directory for pins that is cleared when the test is over.
func (b *bench) pins(t *testing.T, ns string) string {
	dir := filepath.Join(b.dir, "pins-"+ns)
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// run runs fairlead to its end.
func (b *bench) run(t *testing.T, ns string, args ...string) {
	t.Helper()
	p := b.start(t, ns, args...)
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("fairlead %v: exit code %d\n%s", args, code, p.log.String())
	}
}

// serve answers on a target's node port with its name and the peer's address,
// then echoes.
func (b *bench) serve(t *testing.T, ns string) (stop func()) {
	t.Helper()
	ln := b.listen(t, ns, 30080)
	go greet(ln, ns)
	return func() { ln.Close() }
}

// listen listens in a namespace until the test ends.
func (b *bench) listen(t *testing.T, ns string, port int) net.Listener {
	t.Helper()
	var ln net.Listener
	if err := netlab.In(b.prefix+ns, func() (err error) { ln, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// greet tells each client the target's name and the address that it sees, then
// echoes.
func greet(ln net.Listener, name string) {
	for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
		go func() {
			defer conn.Close()
			io.WriteString(conn, name+" "+conn.RemoteAddr().String()+"\n")
			io.Copy(conn, conn)
		}()
	}
}

// engine is the engine's side: a Source for one zone.
type engine struct {
	mu       sync.Mutex
	current  lb.ZoneSnapshot
	watcher  chan lb.ZoneSnapshot
	reported map[lb.TargetKey]lb.TargetHealth
	revision uint64
	sessions int // that there have been
}

func newEngine() *engine { return &engine{reported: map[lb.TargetKey]lb.TargetHealth{}} }

func (e *engine) Watch(string) (<-chan lb.ZoneSnapshot, func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watcher = make(chan lb.ZoneSnapshot, 10)
	e.sessions++
	if e.current.Revision > 0 {
		e.watcher <- e.current
	}
	return e.watcher, func() {}, nil
}

func (e *engine) publish(s lb.ZoneSnapshot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current = s
	if e.watcher != nil {
		e.watcher <- s
	}
}

func (e *engine) Report(r lb.HealthReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision = r.Revision
	if r.Full {
		clear(e.reported)
	}
	for _, key := range r.Removed {
		delete(e.reported, key)
	}
	for _, target := range r.Targets {
		e.reported[target.Target] = target.Health
	}
}

func (e *engine) Disconnected(string) {}

// wait waits until the edge has applied a revision and says that of its targets
// so many are healthy and so many unhealthy.
func (e *engine) wait(t *testing.T, revision uint64, healthy, unhealthy int) {
	t.Helper()
	state := func() (uint64, map[lb.HealthState]int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		counts := map[lb.HealthState]int{}
		for _, h := range e.reported {
			counts[h.State]++
		}
		return e.revision, counts
	}
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(10 * time.Millisecond) {
		have, counts := state()
		if have == revision && counts[lb.Healthy] == healthy && counts[lb.Unhealthy] == unhealthy {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the edge reports revision %d and %v; want revision %d, %d healthy, %d unhealthy", have, counts, revision, healthy, unhealthy)
		}
	}
}

// connection is a client's connection with the target's greeting.
type connection struct {
	net.Conn
	target, peer string
}

// dial connects and reads who answers and whom it sees.
func (b *bench) dial(ns, addr string, timeout time.Duration) (connection, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := netlab.Dial(ctx, b.prefix+ns, "tcp", addr)
	if err != nil {
		return connection{}, err
	}
	return greeted(conn)
}

// greeted reads what a target says first.
func greeted(conn net.Conn) (connection, error) {
	conn.SetDeadline(time.Now().Add(patience))
	line := make([]byte, 0, 128)
	for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\n")); line = append(line, one...) {
		if _, err := io.ReadFull(conn, one); err != nil {
			return connection{}, errors.Join(err, conn.Close())
		}
	}
	target, peer, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	return connection{conn, target, peer}, nil
}

// connect wants a connection whose target sees the client's own address.
func (b *bench) connect(t *testing.T, ns, addr string) connection {
	t.Helper()
	c, err := b.dial(ns, addr, patience)
	if err != nil {
		t.Fatalf("%s to %s: %v", ns, addr, err)
	}
	t.Cleanup(func() { c.Close() })
	if c.peer != c.LocalAddr().String() {
		t.Fatalf("%s sees %s, want the client's own address %s", c.target, c.peer, c.LocalAddr())
	}
	return c
}

// say wants the connection to carry a text both ways.
func (c connection) say(t *testing.T, text string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	go io.WriteString(c, text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("echo of %d bytes through %s: %v", len(text), c.target, err)
	}
}
