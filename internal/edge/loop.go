package edge

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/edge/userspace"
	"github.com/fairlead-lb/fairlead/internal/health"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/mailbox"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

const (
	// applyPause is the least time between two Apply calls: a lone change goes
	// through at once, a burst in batches, each within 50 ms.
	applyPause = 20 * time.Millisecond

	// applyRetry is the time until Apply is tried again after an error.
	applyRetry = time.Second
)

// changes collects health that changed until the loop takes it.
type changes struct {
	mu     *sync.Mutex
	health map[lb.TargetKey]lb.TargetHealth
	ready  chan struct{}
}

func newChanges() changes {
	return changes{&sync.Mutex{}, map[lb.TargetKey]lb.TargetHealth{}, make(chan struct{}, 1)}
}

// add merges reports and never waits for the loop.
func (c changes) add(reports []lb.TargetHealthReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range reports {
		c.health[r.Target] = r.Health
	}
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

func (c changes) take() map[lb.TargetKey]lb.TargetHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := maps.Clone(c.health)
	clear(c.health)
	return taken
}

// work is what one pass of the loop still has to do.
type work struct {
	apply    bool // something changed since the last Apply
	notUntil time.Time
	report   lb.HealthReport // what to tell after the next Apply
	targets  map[lb.TargetKey]health.Target
}

// loop turns snapshots, health and time into applied tables and reports.
func (e *Edge) loop(ctx context.Context, healths mailbox.Newest[map[lb.TargetKey]lb.TargetHealth]) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var w work
	for {
		select {
		case <-ctx.Done():
			return
		case snapshot := <-e.snapshots.C:
			e.takeSnapshot(snapshot, &w)
		case <-e.changes.ready:
			e.takeChanges(e.changes.take(), &w)
			healths.Put(maps.Clone(e.beliefs.health))
		case <-timer.C:
			w.apply = w.apply || e.beliefs.known // a deadline has passed
		}
		now := time.Now()
		if w.apply && !now.Before(w.notUntil) {
			e.apply(ctx, &w, now)
		}
		timer.Reset(e.nextWake(w, now).Sub(now))
	}
}

// takeSnapshot makes a snapshot what is believed and probes what it asks for.
func (e *Edge) takeSnapshot(snapshot lb.ZoneSnapshot, w *work) {
	targets, err := health.Desired(snapshot)
	if err != nil {
		e.cfg.Log.Error("health checks with AWS's defaults where the snapshot is not valid", "revision", snapshot.Revision, "error", err)
	}
	served, err := e.keyring.Replace(snapshot.Certificates)
	if err != nil {
		e.cfg.Log.Error("certificates that cannot be served", "revision", snapshot.Revision, "error", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.beliefs.known {
		w.report.Full = true
		maps.Copy(e.beliefs.health, e.cfg.Disk.restored.health)
	}
	for key := range e.beliefs.health {
		if _, kept := targets[key]; !kept {
			delete(e.beliefs.health, key)
			w.report.Removed = append(w.report.Removed, key)
		}
	}
	e.beliefs.snapshot, e.beliefs.served, e.beliefs.known = snapshot, served, true
	w.apply, w.targets = true, targets
	e.checker.Set(targets)
}

// takeChanges makes health what is believed. Of targets that have left
// meanwhile it may still tell.
func (e *Edge) takeChanges(changed map[lb.TargetKey]lb.TargetHealth, w *work) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, h := range changed {
		if _, registered := w.targets[key]; registered {
			e.beliefs.health[key] = h
			w.report.Targets = append(w.report.Targets, lb.TargetHealthReport{Target: key, Health: h})
			w.apply = true
		}
	}
}

// plan is what the data path and the proxy should do by what is believed.
func (e *Edge) plan(now time.Time) (datapath.Tables, userspace.Output) {
	states := states(e.beliefs.health)
	sockets := userspace.Desired(userspace.Input{
		Snapshot: e.beliefs.snapshot, Health: states, Certificates: e.beliefs.served, Ordinary: e.cfg.Ordinary, AccessLogs: e.cfg.AccessLogs,
	})
	if e.cfg.Ordinary.IsValid() {
		return datapath.Tables{Revision: e.beliefs.snapshot.Revision}, sockets
	}
	return datapath.Desired(datapath.Input{
		Snapshot: e.beliefs.snapshot, Health: states, Now: now, Userspace: sockets.Addresses,
	}), sockets
}

// applyAll brings the data path and the proxy to a plan: sockets listen before
// packets are left to them. What the proxy cannot serve, such as a listener whose
// port another program has, is no reason not to forward the rest.
func (e *Edge) applyAll(ctx context.Context, tables datapath.Tables, cfg proxy.Config) (forwarding, serving error) {
	prepared := e.cfg.DataPath.Prepare(ctx, tables)
	serving = e.cfg.Proxy.Apply(ctx, cfg)
	return errors.Join(prepared, e.cfg.DataPath.Apply(ctx, tables)), serving
}

// note keeps what the proxy could not serve, and logs it when that is news.
func (e *Edge) note(serving error) {
	text := ""
	if serving != nil {
		text = serving.Error()
		e.beliefs.unserved = append(e.beliefs.unserved, strings.Split(text, "\n")...)
	}
	if text != "" && text != e.beliefs.serving {
		e.cfg.Log.Error("listeners in user space are not served; trying again", "error", serving)
	}
	e.beliefs.serving = text
}

// apply brings the data path to what is believed and reports what changed.
func (e *Edge) apply(ctx context.Context, w *work, now time.Time) {
	tables, sockets := e.plan(now)
	err, serving := e.applyAll(ctx, tables, sockets.Config)
	done := time.Now()
	e.metrics.applySeconds.Observe(done.Sub(now).Seconds())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.beliefs.err, e.beliefs.unserved = err, append(slices.Clone(tables.Unserved), sockets.Problems...)
	if err != nil {
		e.metrics.applyErrors.Inc()
		e.cfg.Log.Error("the data path does not take what it should forward", "revision", e.beliefs.snapshot.Revision, "error", err)
		w.notUntil = done.Add(applyRetry)
	} else {
		e.applied(len(w.targets))
		w.apply, w.notUntil = false, done.Add(applyPause)
	}
	if e.note(serving); serving != nil {
		w.apply, w.notUntil = true, done.Add(applyRetry)
	}
	if w.report.Full {
		w.report.Targets = reports(e.beliefs.health)
	}
	w.report.Revision, w.report.DataPath = e.beliefs.revision, lb.DataPath(e.cfg.DataPath.Mode())
	e.outbox.Put(w.report)
	w.report = lb.HealthReport{}
}

// applied notes that the data path forwards as is believed.
func (e *Edge) applied(targets int) {
	snapshot := e.beliefs.snapshot
	if !e.beliefs.applied || e.beliefs.revision != snapshot.Revision {
		e.cfg.Log.Info("snapshot applied", "revision", snapshot.Revision, "loadBalancers", len(snapshot.LoadBalancers),
			"targetGroups", len(snapshot.TargetGroups), "targets", targets)
	}
	e.beliefs.applied, e.beliefs.revision = true, snapshot.Revision
}

// nextWake is when the loop has to look again without being told.
func (e *Edge) nextWake(w work, now time.Time) time.Time {
	if w.apply {
		return w.notUntil
	}
	next := now.Add(time.Hour)
	for _, group := range e.beliefs.snapshot.TargetGroups {
		for _, target := range group.Targets {
			if target.DrainUntil.After(now) && target.DrainUntil.Before(next) {
				next = target.DrainUntil
			}
		}
	}
	return next
}

func states(health map[lb.TargetKey]lb.TargetHealth) lb.Health {
	all := make(lb.Health, len(health))
	for key, h := range health {
		all[key] = h.State
	}
	return all
}

// reports renders health in a stable order.
func reports(health map[lb.TargetKey]lb.TargetHealth) []lb.TargetHealthReport {
	all := make([]lb.TargetHealthReport, 0, len(health))
	for key, h := range health {
		all = append(all, lb.TargetHealthReport{Target: key, Health: h})
	}
	slices.SortFunc(all, func(a, b lb.TargetHealthReport) int {
		return cmp.Or(cmp.Compare(a.Target.TargetGroupARN, b.Target.TargetGroupARN),
			cmp.Compare(a.Target.ID, b.Target.ID), cmp.Compare(a.Target.Port, b.Target.Port))
	})
	return all
}
