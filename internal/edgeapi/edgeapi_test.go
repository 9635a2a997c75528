package edgeapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/encoding"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is a Source that keeps a log of what happened.
type engine struct {
	snapshots chan lb.ZoneSnapshot
	events    chan string
	reports   chan lb.HealthReport
	unknown   string // a zone that does not exist
}

func newEngine() *engine {
	return &engine{
		snapshots: make(chan lb.ZoneSnapshot),
		events:    make(chan string, 100),
		reports:   make(chan lb.HealthReport, 100),
		unknown:   "us-west-2z",
	}
}

func (e *engine) Watch(zone string) (<-chan lb.ZoneSnapshot, func(), error) {
	if zone == e.unknown {
		return nil, nil, fmt.Errorf("zone %s has no subnet", zone)
	}
	e.events <- "watch " + zone
	return e.snapshots, func() { e.events <- "cancel " + zone }, nil
}

func (e *engine) Report(r lb.HealthReport) { e.reports <- r }
func (e *engine) Disconnected(zone string) { e.events <- "disconnected " + zone }

// serve runs a server for e on loopback until the test ends or stop is called.
func serve(t *testing.T, e Source, a *Authority, addr string) (address string, stop func()) {
	t.Helper()
	s, err := NewServer(e, a, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func identity(t *testing.T, a *Authority, zone string) string {
	t.Helper()
	id, err := a.Issue(zone)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := id.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edge is a running link with what arrived on it.
type edge struct {
	out       *Outbox
	snapshots chan lb.ZoneSnapshot
	stop      func()
}

func run(t *testing.T, l Link, zone string) *edge {
	t.Helper()
	e := &edge{out: NewOutbox(zone), snapshots: make(chan lb.ZoneSnapshot, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx, e.out, func(s lb.ZoneSnapshot) { e.snapshots <- s })
	}()
	e.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(e.stop)
	return e
}

func client(t *testing.T, addr, zone, dir string) *Client {
	t.Helper()
	c, err := NewClient(ClientConfig{Engine: addr, Zone: zone, IdentityDir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func want[T any](t *testing.T, got <-chan T, want T) {
	t.Helper()
	if diff := cmp.Diff(want, <-got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

const zone = "us-west-2a"

var (
	web1 = lb.TargetKey{TargetGroupARN: "arn:web", ID: "i-1", Port: 30080}
	web2 = lb.TargetKey{TargetGroupARN: "arn:web", ID: "i-2", Port: 30080}
)

func report(revision uint64, targets ...lb.TargetHealthReport) lb.HealthReport {
	return lb.HealthReport{Zone: zone, Revision: revision, Targets: append([]lb.TargetHealthReport{}, targets...)}
}

func full(r lb.HealthReport) lb.HealthReport { r.Full = true; return r }

func is(key lb.TargetKey, state lb.HealthState) lb.TargetHealthReport {
	return lb.TargetHealthReport{Target: key, Health: lb.TargetHealth{State: state}}
}

func TestLinksCarrySnapshotsOutAndReportsInFullFirst(t *testing.T) {
	links := map[string]func(t *testing.T, e Source) Link{
		"across the network": func(t *testing.T, e Source) Link {
			a := authority(t)
			addr, _ := serve(t, e, a, "127.0.0.1:0")
			return client(t, addr, zone, identity(t, a, zone))
		},
		"in one process": func(_ *testing.T, e Source) Link { return NewLocal(e, zone) },
	}
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			e := newEngine()
			l := link(t, e)
			edge := run(t, l, zone)
			want(t, e.events, "watch "+zone)
			want(t, e.reports, full(report(0)))

			first := lb.ZoneSnapshot{Revision: 1, Zone: zone, TargetGroups: []lb.ZonalGroup{{ARN: "arn:web"}}}
			e.snapshots <- first
			want(t, edge.snapshots, first)
			if !l.Connected() {
				t.Error("not connected after a snapshot")
			}
			edge.out.Put(report(1, is(web1, lb.Healthy), is(web2, lb.Initial)))
			want(t, e.reports, report(1, is(web1, lb.Healthy), is(web2, lb.Initial)))
			edge.out.Put(report(1, is(web2, lb.Unhealthy)))
			want(t, e.reports, report(1, is(web2, lb.Unhealthy)))

			edge.stop()
			want(t, e.events, "cancel "+zone)
			want(t, e.events, "disconnected "+zone)
			if l.Connected() {
				t.Error("connected after the end")
			}
		})
	}
}

func TestClientReturnsWithFullReportAfterEngineRestart(t *testing.T) {
	e, a := newEngine(), authority(t)
	addr, stop := serve(t, e, a, "127.0.0.1:0")
	edge := run(t, client(t, addr, zone, identity(t, a, zone)), zone)
	want(t, e.reports, full(report(0)))
	edge.out.Put(report(7, is(web1, lb.Healthy)))
	want(t, e.reports, report(7, is(web1, lb.Healthy)))
	stop()
	serve(t, e, a, addr)
	want(t, e.reports, full(report(7, is(web1, lb.Healthy))))
}

func TestNewerSessionReplacesOlderInOrder(t *testing.T) {
	e, a := newEngine(), authority(t)
	addr, _ := serve(t, e, a, "127.0.0.1:0")
	dir := identity(t, a, zone)
	run(t, once{client(t, addr, zone, dir)}, zone)
	want(t, e.events, "watch "+zone)
	newer := run(t, once{client(t, addr, zone, dir)}, zone)
	for _, event := range []string{"cancel ", "disconnected ", "watch "} {
		want(t, e.events, event+zone)
	}
	e.snapshots <- lb.ZoneSnapshot{Revision: 2}
	want(t, newer.snapshots, lb.ZoneSnapshot{Revision: 2})
}

// once is a client that does not reconnect.
type once struct{ *Client }

func (o once) Run(ctx context.Context, out *Outbox, onSnapshot func(lb.ZoneSnapshot)) error {
	return o.session(ctx, out, onSnapshot)
}

func TestRefusals(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	e := newEngine()
	addr, _ := serve(t, e, ours, "127.0.0.1:0")
	cases := map[string]struct {
		zone, dir, want string
	}{
		"another zone than the certificate's": {"us-west-2b", identity(t, ours, zone), "the certificate is for zone us-west-2a, the edge asks for zone \"us-west-2b\""},
		"certificate of another authority":    {zone, identity(t, theirs, zone), "certificate"},
		"zone unknown to the engine":          {e.unknown, identity(t, ours, e.unknown), "zone us-west-2z has no subnet"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := &Client{cfg: ClientConfig{Engine: addr, Zone: c.zone, IdentityDir: c.dir, Log: slog.New(slog.DiscardHandler)}}
			err := client.session(t.Context(), NewOutbox(c.zone), func(lb.ZoneSnapshot) { t.Error("got a snapshot") })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
	select {
	case event := <-e.events:
		t.Errorf("the engine saw %q of a refused edge", event)
	default:
	}
}

func TestEdgeRefusesEngineThatIsAnotherEdge(t *testing.T) {
	a := authority(t)
	id, err := a.Issue("us-west-2b")
	if err != nil {
		t.Fatal(err)
	}
	config, err := id.clientTLS()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
			conn.(*tls.Conn).HandshakeContext(context.Background())
			conn.Close()
		}
	}()
	c := client(t, ln.Addr().String(), zone, identity(t, a, zone))
	err = c.session(t.Context(), NewOutbox(zone), func(lb.ZoneSnapshot) {})
	if err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("error = %v, want a refused certificate", err)
	}
}

func TestServerRefusesReportsForAnotherZone(t *testing.T) {
	e, a := newEngine(), authority(t)
	addr, _ := serve(t, e, a, "127.0.0.1:0")
	out := NewOutbox("us-west-2b") // an outbox of the wrong zone stands for a lying edge
	err := client(t, addr, zone, identity(t, a, zone)).session(t.Context(), out, func(lb.ZoneSnapshot) {})
	if err == nil || !strings.Contains(err.Error(), `the edge of zone us-west-2a reports for zone "us-west-2b"`) {
		t.Errorf("error = %v, want a refusal", err)
	}
	want(t, e.events, "watch "+zone)
	want(t, e.events, "cancel "+zone)
	if len(e.reports) != 0 {
		t.Errorf("the engine took %d reports", len(e.reports))
	}
}

func TestSlowEdgeMissesAllButTheNewestSnapshot(t *testing.T) {
	e, a := newEngine(), authority(t)
	addr, _ := serve(t, e, a, "127.0.0.1:0")
	c := client(t, addr, zone, identity(t, a, zone))
	resume, seen := make(chan struct{}), make(chan uint64, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx, NewOutbox(zone), func(s lb.ZoneSnapshot) { <-resume; seen <- s.Revision })
	}()
	defer func() { cancel(); <-done }()
	const newest = 200
	big := strings.Repeat("x", 256<<10) // far over what the transport buffers
	for i := range uint64(newest) {
		e.snapshots <- lb.ZoneSnapshot{Revision: i + 1, Zone: big}
	}
	close(resume)
	count := 1
	for revision := <-seen; revision != newest; revision = <-seen {
		count++
	}
	if count > newest/2 {
		t.Errorf("a stalled edge was sent %d of %d snapshots", count, newest)
	}
}

func TestNewClientRefusesIdentityOfAnotherZone(t *testing.T) {
	dir := identity(t, authority(t), zone)
	_, err := NewClient(ClientConfig{Zone: "us-west-2b", IdentityDir: dir, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "is for zone us-west-2a, not for zone us-west-2b") {
		t.Errorf("error = %v", err)
	}
}

func TestCodecIsNotRegisteredForOthers(t *testing.T) {
	if c := encoding.GetCodecV2("json"); c != nil {
		t.Errorf("codec %T is registered for the process", c)
	}
}
