package edgeapi

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Outbox holds what an edge has to tell the engine until a session takes it.
// It knows the newest health of every target, so its size is bounded by the
// snapshot's whatever the engine does, and any session can start with a full
// report. All methods may be called concurrently.
type Outbox struct {
	zone  string
	ready chan struct{}

	mu       sync.Mutex
	revision uint64
	dataPath lb.DataPath
	health   map[lb.TargetKey]lb.TargetHealth
	pending  bool                      // something has not been taken yet
	full     bool                      // it must go out as a full report
	changed  map[lb.TargetKey]struct{} // keys of health not yet taken
	removed  map[lb.TargetKey]struct{} // keys gone since the last take
}

// NewOutbox returns an empty outbox for the edge of a zone.
func NewOutbox(zone string) *Outbox {
	return &Outbox{
		zone:    zone,
		ready:   make(chan struct{}, 1),
		health:  map[lb.TargetKey]lb.TargetHealth{},
		changed: map[lb.TargetKey]struct{}{},
		removed: map[lb.TargetKey]struct{}{},
	}
}

// Put merges a report into what waits to be sent. A Full one replaces
// everything. The report's Zone is ignored: an outbox has its own.
func (o *Outbox) Put(report lb.HealthReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.revision, o.pending = report.Revision, true
	o.dataPath = cmp.Or(report.DataPath, o.dataPath)
	if report.Full {
		clear(o.health)
		o.full = true
	}
	for _, key := range report.Removed {
		delete(o.health, key)
		delete(o.changed, key)
		o.removed[key] = struct{}{}
	}
	for _, t := range report.Targets {
		o.health[t.Target] = t.Health
		o.changed[t.Target] = struct{}{}
		delete(o.removed, t.Target)
	}
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// takeFull returns everything that is known, as the first report of a session.
func (o *Outbox) takeFull() lb.HealthReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.take(true)
}

// takeChanged returns what changed since the last take; false when nothing did.
func (o *Outbox) takeChanged() (lb.HealthReport, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.pending {
		return lb.HealthReport{}, false
	}
	return o.take(o.full), true
}

func (o *Outbox) take(full bool) lb.HealthReport {
	report := lb.HealthReport{Zone: o.zone, Revision: o.revision, Full: full, DataPath: o.dataPath}
	keys := o.changed
	if full {
		keys = make(map[lb.TargetKey]struct{}, len(o.health))
		for key := range o.health {
			keys[key] = struct{}{}
		}
	} else {
		report.Removed = sortedKeys(o.removed)
	}
	report.Targets = make([]lb.TargetHealthReport, 0, len(keys))
	for _, key := range sortedKeys(keys) {
		report.Targets = append(report.Targets, lb.TargetHealthReport{Target: key, Health: o.health[key]})
	}
	clear(o.changed)
	clear(o.removed)
	o.pending, o.full = false, false
	return report
}

func sortedKeys(keys map[lb.TargetKey]struct{}) []lb.TargetKey {
	return slices.SortedFunc(maps.Keys(keys), func(a, b lb.TargetKey) int {
		return cmp.Or(cmp.Compare(a.TargetGroupARN, b.TargetGroupARN), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Port, b.Port))
	})
}
