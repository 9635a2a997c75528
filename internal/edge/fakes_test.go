package edge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/health"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = "us-west-2a"

// tables is a DataPath that keeps what was applied, with the time.
type tables struct {
	mu      sync.Mutex
	applied []table
	err     error
}

type table struct {
	revision uint64
	serving  map[uint16]bool // by target port: may take new flows
	at       time.Time
}

func (d *tables) Mode() datapath.Mode { return datapath.Native }

func (d *tables) Prepare(context.Context, datapath.Tables) error { return nil }

func (d *tables) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func (d *tables) Occupancy() (datapath.Occupancy, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.applied) == 0 {
		return datapath.Occupancy{}, nil
	}
	return datapath.Occupancy{Targets: len(d.applied[len(d.applied)-1].serving)}, nil
}

func (d *tables) Counters() (datapath.Counters, error) {
	return datapath.Counters{
		Flows: 7, Room: 4096,
		Balancers: map[string]datapath.BalancerCounters{
			"arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/0123456789abcdef": {NewFlowCountTCP: 5, ActiveFlowCountUDP: 2, ProcessedPackets: 90, SecurityGroupBlockedFlowCountOutboundUDP: 3},
		},
		Reasons: map[string]uint64{"sent_to_target": 40},
		Events:  map[string]uint64{"hairpin": 1},
	}, nil
}

func (d *tables) Apply(_ context.Context, wanted datapath.Tables) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := table{revision: wanted.Revision, serving: map[uint16]bool{}, at: time.Now()}
	for _, group := range wanted.Groups {
		for _, target := range group.Targets {
			t.serving[target.Addr.Port()] = target.Selectable
		}
	}
	d.applied = append(d.applied, t)
	return d.err
}

func (d *tables) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *tables) all() []table {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]table{}, d.applied...)
}

func (d *tables) last() table {
	all := d.all()
	if len(all) == 0 {
		return table{}
	}
	return all[len(all)-1]
}

// engine is a Source with one zone; it merges reports as the real one does.
type engine struct {
	snapshots chan lb.ZoneSnapshot
	mu        sync.Mutex
	revision  uint64
	health    map[string]lb.HealthState
	dataPath  lb.DataPath
}

func newEngine() *engine {
	return &engine{snapshots: make(chan lb.ZoneSnapshot), health: map[string]lb.HealthState{}}
}

func (e *engine) Watch(string) (<-chan lb.ZoneSnapshot, func(), error) {
	return e.snapshots, func() {}, nil
}

func (e *engine) Report(r lb.HealthReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision, e.dataPath = r.Revision, r.DataPath
	if r.Full {
		clear(e.health)
	}
	for _, key := range r.Removed {
		delete(e.health, key.ID)
	}
	for _, t := range r.Targets {
		e.health[t.Target.ID] = t.Health.State
	}
}

func (e *engine) Disconnected(string) {}

func (e *engine) path() lb.DataPath {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dataPath
}

func (e *engine) seen() (uint64, map[string]lb.HealthState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.revision, maps.Clone(e.health)
}

// noEngine is a Link that never gets through.
type noEngine struct{}

func (noEngine) Connected() bool { return false }
func (noEngine) Run(ctx context.Context, _ *edgeapi.Outbox, _ func(lb.ZoneSnapshot)) error {
	<-ctx.Done()
	return ctx.Err()
}

// answers is a Prober that passes the targets whose port is in it.
type answers struct {
	mu   sync.Mutex
	open map[uint16]bool
}

func (a *answers) Probe(_ context.Context, t health.Target) health.Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[t.Addr.Port()] {
		return health.Result{Outcome: health.Passed}
	}
	return health.Result{Outcome: health.Failed}
}

func (a *answers) set(port uint16, open bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open[port] = open
}

// group has a target per port, named after it, checked every five seconds.
func group(ports ...uint16) lb.ZonalGroup {
	g := lb.ZonalGroup{
		ARN: "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/web/0123456789abcdef", Protocol: lb.TCP,
		HealthCheck:          lb.HealthCheck{Protocol: lb.TCP, Port: lb.TrafficPort, Interval: 5 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2},
		UnhealthyTermination: true,
	}
	for _, port := range ports {
		g.Targets = append(g.Targets, lb.ZonalTarget{ID: fmt.Sprintf("i-%d", port), Port: port, Addr: netip.MustParseAddr("198.18.16.16")})
	}
	return g
}

// newProxy is a real one; it listens on no address unless a test has a snapshot
// with listeners in user space.
func newProxy(t *testing.T) *proxy.Server {
	t.Helper()
	p, err := proxy.New(proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sealWith is a Sealer with a key made of a text.
func sealWith(secret string) Sealer {
	key := sha256.Sum256([]byte(secret))
	return func() (*sealed.Box, error) { return sealed.New(key[:]) }
}

func snapshot(revision uint64, groups ...lb.ZonalGroup) lb.ZoneSnapshot {
	return lb.ZoneSnapshot{Revision: revision, Zone: zone, TargetGroups: groups}
}

func start(t *testing.T, dir string, cfg Config) (e *Edge, stop func()) {
	t.Helper()
	cfg.Zone, cfg.Log = zone, slog.New(slog.DiscardHandler)
	var err error
	if cfg.Disk, err = OpenDisk(dir, zone, sealWith("the edge's key"), cfg.Log); err != nil {
		t.Fatal(err)
	}
	if cfg.Proxy == nil {
		cfg.Proxy = newProxy(t)
	}
	e, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
		cfg.Disk.Close()
	})
	t.Cleanup(stop)
	return e, stop
}
