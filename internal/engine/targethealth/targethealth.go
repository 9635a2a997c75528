// Package targethealth gathers what the edges say about their targets and
// themselves, and answers what AWS would say of targets.
//
// Invariants: reports live in memory alone, because every edge sends all it
// knows when it connects. Aggregate is pure. Words are AWS's letter for letter.
package targethealth

import (
	"cmp"
	"slices"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Descriptions that DescribeTargetHealth gives with its reason codes.
const (
	registering      = "Target registration is in progress"
	notUsed          = "Target group is not configured to receive traffic from the load balancer"
	zoneNotEnabled   = "Target is in an Availability Zone that is not enabled for the load balancer"
	notRegistered    = "Target is not registered to the target group"
	deregistering    = "Target deregistration is in progress"
	stopped          = "Target is in the stopped state"
	terminated       = "Target is in the terminated or invalid state"
	noAddress        = "Target IP address is not usable by the load balancer"
	stateStopped     = "stopped"
	stateShuttingOff = "stopping"
)

// NotRegistered is the health of what is no target of the group.
func NotRegistered() lb.TargetHealth {
	return lb.TargetHealth{State: lb.Unused, Reason: lb.NotRegistered, Description: notRegistered}
}

// Reports is what edges said.
type Reports interface {
	// Health is what the edge of a zone said about a target.
	Health(zone string, target lb.TargetKey) (lb.TargetHealth, bool)
}

// Aggregate is the health of a registered target, over all zones that probe it:
// healthy when it is so anywhere.
func Aggregate(g zonal.Group, network *inventory.Index, reports Reports, t state.Target) lb.TargetHealth {
	if !t.DrainUntil.IsZero() {
		return lb.TargetHealth{State: lb.Draining, Reason: lb.DeregistrationInProgress, Description: deregistering}
	}
	if !g.Attached {
		return lb.TargetHealth{State: lb.Unused, Reason: lb.NotInUse, Description: notUsed}
	}
	if !t.PendingUntil.IsZero() {
		return lb.TargetHealth{State: lb.Initial, Reason: lb.RegistrationInProgress, Description: registering}
	}
	if unusable, reason := invalid(g, network, t); unusable {
		return reason
	}
	zones := g.EdgeZones(t)
	if len(zones) == 0 {
		return lb.TargetHealth{State: lb.Unused, Reason: lb.NotInUse, Description: zoneNotEnabled}
	}
	best := lb.TargetHealth{State: lb.Initial, Reason: lb.RegistrationInProgress, Description: registering}
	for _, zone := range zones {
		if h, ok := reports.Health(zone, t.Key()); ok && rank(h) > rank(best) {
			best = h
		}
	}
	return best
}

// invalid tells whether a target cannot serve, whatever edges say of it.
func invalid(g zonal.Group, network *inventory.Index, t state.Target) (bool, lb.TargetHealth) {
	if g.TargetType == lb.InstanceTarget {
		instance, known := network.Instance(t.ID)
		switch {
		case !known:
			return true, lb.TargetHealth{State: lb.Unused, Reason: lb.InvalidState, Description: terminated}
		case instance.State == stateStopped || instance.State == stateShuttingOff:
			return true, lb.TargetHealth{State: lb.Unused, Reason: lb.InvalidState, Description: stopped}
		case !instance.Running():
			return true, lb.TargetHealth{State: lb.Unused, Reason: lb.InvalidState, Description: terminated}
		}
	}
	if !g.Address(t).IsValid() {
		return true, lb.TargetHealth{State: lb.Unused, Reason: lb.IPUnusable, Description: noAddress}
	}
	return false, lb.TargetHealth{}
}

// order lists states from the least to the most telling one: healthy anywhere
// is healthy, and a verdict beats the wait for one.
var order = []lb.HealthState{lb.Unused, lb.Unavailable, lb.Initial, lb.Unhealthy, lb.UnhealthyDraining, lb.Draining, lb.Healthy}

// rank orders reports; of two initial ones the later stage counts more.
func rank(h lb.TargetHealth) int {
	r := 2 * slices.Index(order, h.State)
	if h.Reason == lb.InitialHealthChecking {
		r++
	}
	return r
}

// Registry holds the reports of all edges. Its methods may be called from any
// goroutine.
type Registry struct {
	mu    sync.RWMutex
	zones map[string]map[lb.TargetKey]lb.TargetHealth
	paths map[string]lb.DataPath
	down  map[string]bool
}

// NewRegistry returns a registry without reports.
func NewRegistry() *Registry {
	return &Registry{zones: map[string]map[lb.TargetKey]lb.TargetHealth{}, paths: map[string]lb.DataPath{}, down: map[string]bool{}}
}

// Take keeps a report.
func (x *Registry) Take(report lb.HealthReport) {
	x.mu.Lock()
	defer x.mu.Unlock()
	targets := x.zones[report.Zone]
	if targets == nil || report.Full {
		targets = make(map[lb.TargetKey]lb.TargetHealth, len(report.Targets))
		x.zones[report.Zone] = targets
	}
	delete(x.down, report.Zone)
	x.paths[report.Zone] = cmp.Or(report.DataPath, x.paths[report.Zone])
	for _, t := range report.Targets {
		targets[t.Target] = t.Health
	}
	for _, key := range report.Removed {
		delete(targets, key)
	}
}

// Disconnected marks a zone's reports as possibly stale. They stay in force: an
// edge that lost the engine goes on probing and forwarding.
func (x *Registry) Disconnected(zone string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.down[zone] = true
}

// Connected reports whether the zone's edge has reported and not left since.
func (x *Registry) Connected(zone string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.zones[zone] != nil && !x.down[zone]
}

// DataPath is how the zone's edge takes packets, as it said last; empty while it
// has not.
func (x *Registry) DataPath(zone string) lb.DataPath {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.paths[zone]
}

// Health implements Reports.
func (x *Registry) Health(zone string, target lb.TargetKey) (lb.TargetHealth, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	h, ok := x.zones[zone][target]
	return h, ok
}
