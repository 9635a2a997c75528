// Package edge is one load balancer node: it takes the engine's snapshots, asks
// the targets how they are, tells the data path and the proxy, and reports to
// the engine.
//
// Invariants:
//   - A snapshot is on disk before the edge acts on it, and so is, a little
//     later, the targets' health: a new process goes on where the last one
//     stopped, without the engine.
//   - One goroutine owns what is believed (snapshot and health) and is the only
//     one to call DataPath.Apply and Proxy.Apply.
//   - Private keys are on disk sealed, and in nothing that people are shown.
//   - Without a snapshot nothing is applied: what an earlier process left in the
//     data path goes on.
//   - The revision of a health report is in the data path.
package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/edge/userspace"
	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/health"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/mailbox"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// DataPath forwards packets; datapath.Datapath is the real one.
type DataPath interface {
	// Prepare makes the machine ready for the sockets of the listeners in user
	// space that the tables name. It comes before they listen, Apply after.
	Prepare(ctx context.Context, tables datapath.Tables) error

	// Apply makes the data path do what the tables say. After an error it is
	// called again with all there is.
	Apply(ctx context.Context, tables datapath.Tables) error

	// Run does the data path's upkeep until ctx ends.
	Run(ctx context.Context) error

	// Mode says how packets get to it.
	Mode() datapath.Mode

	// Counters reads what the data path counts.
	Counters() (datapath.Counters, error)

	// Occupancy counts what its maps hold.
	Occupancy() (datapath.Occupancy, error)
}

// Proxy serves listeners in user space; proxy.Server is the real one. Whoever
// made it runs it: connections may outlive the edge.
type Proxy interface {
	// Apply makes it serve a configuration. After an error it is called again
	// with all there is.
	Apply(ctx context.Context, cfg proxy.Config) error

	// State says how each listener is.
	State() []proxy.ListenerState
}

// Config is what an edge is made of.
type Config struct {
	Zone     string
	Disk     *Disk // of the same zone; closed by the caller after Run
	Link     edgeapi.Link
	DataPath DataPath
	Proxy    Proxy
	Prober   health.Prober
	Log      *slog.Logger
	Metrics  prometheus.Registerer

	// Ordinary is set where DataPath forwards nothing (NoPackets): the address of
	// this machine at which all TCP listeners are served in user space.
	Ordinary netip.Addr

	// AccessLogs says that the proxy keeps access logs.
	AccessLogs bool
}

// Edge is one load balancer node.
type Edge struct {
	cfg       Config
	outbox    *edgeapi.Outbox
	checker   *health.Checker
	snapshots mailbox.Newest[lb.ZoneSnapshot] // on disk, to be acted on
	changes   changes
	metrics   metrics
	keyring   userspace.Keyring // the loop's

	mu      sync.Mutex
	beliefs beliefs
}

// beliefs are what the edge knows and has done. The loop alone writes.
type beliefs struct {
	snapshot lb.ZoneSnapshot
	served   map[string]tls.Certificate // of the snapshot, parsed
	known    bool                       // there is a snapshot
	health   map[lb.TargetKey]lb.TargetHealth
	applied  bool   // the data path has taken a snapshot
	revision uint64 // of the last one that it took
	err      error  // of the last Apply
	serving  string // what the proxy could not do at the last Apply; empty: nothing
	unserved []string
}

// New returns an edge that goes on from what is on its disk when it runs.
func New(cfg Config) (*Edge, error) {
	e := &Edge{
		cfg:       cfg,
		outbox:    edgeapi.NewOutbox(cfg.Zone),
		snapshots: mailbox.New[lb.ZoneSnapshot](),
		changes:   newChanges(),
		keyring:   userspace.Keyring{},
		metrics:   newMetrics(),
		beliefs:   beliefs{health: map[lb.TargetKey]lb.TargetHealth{}},
	}
	e.checker = health.NewChecker(health.Config{
		Prober: cfg.Prober, Log: cfg.Log, OnChange: e.changes.add, Restored: cfg.Disk.restored.health,
	})
	if cfg.Metrics != nil {
		return e, e.register()
	}
	return e, nil
}

// Run works until ctx ends and returns its error, or the first error that makes
// going on pointless. The data path keeps forwarding. An Edge runs once.
func (e *Edge) Run(ctx context.Context) error {
	received := mailbox.New[lb.ZoneSnapshot]()
	healths := mailbox.New[map[lb.TargetKey]lb.TargetHealth]()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.cfg.DataPath.Run(ctx) })
	group.Go(func() error { e.checker.Run(ctx); return nil })
	group.Go(func() error { return e.cfg.Link.Run(ctx, e.outbox, received.Put) })
	group.Go(func() error { e.keepSnapshots(ctx, received); return nil })
	group.Go(func() error { e.keepHealth(ctx, healths); return nil })
	group.Go(func() error { e.loop(ctx, healths); return nil })
	err := group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// keepSnapshots puts each snapshot on disk, then up for action. When the disk
// fails the edge acts nevertheless: forwarding to where targets were is worse
// than not to know them after the next start.
func (e *Edge) keepSnapshots(ctx context.Context, received mailbox.Newest[lb.ZoneSnapshot]) {
	if e.cfg.Disk.restored.known {
		e.snapshots.Put(e.cfg.Disk.restored.snapshot)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case snapshot := <-received.C:
			if snapshot.Zone != e.cfg.Zone {
				e.cfg.Log.Error("snapshot of another zone ignored", "zone", snapshot.Zone, "revision", snapshot.Revision)
				continue
			}
			if err := e.cfg.Disk.saveSnapshot(snapshot); err != nil {
				e.metrics.diskErrors.Inc()
				e.cfg.Log.Error("snapshot not kept on disk", "revision", snapshot.Revision, "error", err)
			}
			e.snapshots.Put(snapshot)
		}
	}
}

// healthPause is the least time between two writes of the targets' health.
const healthPause = time.Second

// keepHealth puts the targets' health on disk, the last time when ctx ends.
func (e *Edge) keepHealth(ctx context.Context, healths mailbox.Newest[map[lb.TargetKey]lb.TargetHealth]) {
	save := func(health map[lb.TargetKey]lb.TargetHealth) {
		if err := e.cfg.Disk.saveHealth(health); err != nil {
			e.metrics.diskErrors.Inc()
			e.cfg.Log.Error("health of targets not kept on disk", "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			select {
			case health := <-healths.C:
				save(health)
			default:
			}
			return
		case health := <-healths.C:
			save(health)
		}
		select {
		case <-ctx.Done():
		case <-time.After(healthPause):
		}
	}
}

// Ready says whether the edge forwards as its newest snapshot says.
func (e *Edge) Ready() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.beliefs.known:
		return errors.New("no snapshot yet, neither from the engine nor from disk")
	case e.beliefs.err != nil:
		return fmt.Errorf("the data path does not take revision %d: %w", e.beliefs.snapshot.Revision, e.beliefs.err)
	case !e.beliefs.applied:
		return errors.New("the data path has not taken a snapshot yet")
	}
	return nil
}
