package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// publisher cuts the state into a snapshot per zone and hands each edge its
// own. It is the edgeapi.Source of the engine.
//
// Nothing is cut before the first edge asks, so that the API answers sooner.
// From then on only load balancers that a revision touched are cut anew, and a
// zone's edge hears of a revision only when that changed what the edge has to
// know. A burst of revisions is one snapshot: what nobody took yet is replaced.
type publisher struct {
	publisherConfig

	mu       sync.Mutex
	revision *store.Revision
	network  *inventory.Index
	parts    map[string]map[string]zonal.Part // by load balancer ARN and zone; nil before the first edge
	depends  dependents
	keys     keys
	watchers map[string]map[chan lb.ZoneSnapshot]bool
}

// publisherConfig is what a publisher stands on.
type publisherConfig struct {
	health      *targethealth.Registry
	certificate func(store.Reader, string) (lb.Certificate, error) // with its key, by ARN
	log         *slog.Logger
}

func newPublisher(c publisherConfig, r *store.Revision, network *inventory.Index) *publisher {
	return &publisher{
		publisherConfig: c, revision: r, network: network,
		depends: dependents{}, keys: keys{}, watchers: map[string]map[chan lb.ZoneSnapshot]bool{},
	}
}

// cutAll cuts every load balancer unless that was done; the caller holds mu.
func (p *publisher) cutAll() {
	if p.parts != nil {
		return
	}
	p.parts = map[string]map[string]zonal.Part{}
	for arn := range everyBalancer(p.revision) {
		p.parts[arn] = p.cut(arn)
		p.depends.replace(arn, nil, p.parts[arn])
	}
}

// follow publishes every newer revision and inventory until ctx ends.
func (p *publisher) follow(ctx context.Context, db *store.Store, network *network) {
	for {
		r := db.Current()
		index, changed := network.watch() // not older than r
		p.advance(r, index)
		select {
		case <-ctx.Done():
			return
		case <-r.Superseded():
		case <-changed:
		}
	}
}

// advance takes a revision and an inventory and tells the edges that are
// concerned.
func (p *publisher) advance(r *store.Revision, network *inventory.Index) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parts == nil {
		p.revision, p.network = r, network
		return
	}
	touched := touchedBalancers(p.revision, r)
	p.depends.touched(p.revision, r, touched)
	if network != p.network {
		maps.Copy(touched, everyBalancer(r))
	}
	renewed, stale := p.renewed(r), map[string]bool{}
	p.revision, p.network = r, network
	for arn := range touched {
		p.recut(arn, stale)
	}
	for _, certificate := range renewed {
		p.serving(certificate, stale)
	}
	for zone := range stale {
		for ch := range p.watchers[zone] {
			replace(ch, p.snapshot(zone))
		}
	}
}

// touchedBalancers are the ARNs of load balancers whose parts may differ
// between two revisions.
func touchedBalancers(before, after *store.Revision) map[string]bool {
	touched, groups := map[string]bool{}, map[string]bool{}
	for d := range state.LoadBalancers.Diff(before, after) {
		touched[d.Key] = true
	}
	for d := range state.Listeners.Diff(before, after) {
		for _, l := range []*state.Listener{d.Before, d.After} {
			if l != nil {
				touched[l.LoadBalancerARN] = true
			}
		}
	}
	for d := range state.TargetGroups.Diff(before, after) {
		groups[d.Key] = true
	}
	for d := range state.Targets.Diff(before, after) {
		for _, t := range []*state.Target{d.Before, d.After} {
			if t != nil {
				groups[t.TargetGroupARN] = true
			}
		}
	}
	touchedClassics(before, after, touched)
	for group := range groups {
		for _, arn := range state.LoadBalancersOfGroup(after, group) {
			touched[arn] = true
		}
	}
	return touched
}

// touchedClassics adds Classic Load Balancers to touched.
func touchedClassics(before, after *store.Revision, touched map[string]bool) {
	for d := range state.ClassicLoadBalancers.Diff(before, after) {
		touched[d.Key] = true
	}
	for d := range state.ClassicInstances.Diff(before, after) {
		for _, i := range []*state.ClassicInstance{d.Before, d.After} {
			if i != nil {
				touched[i.LoadBalancerARN] = true
			}
		}
	}
}

// everyBalancer is the set of the ARNs of all load balancers, of either kind.
func everyBalancer(r store.Reader) map[string]bool {
	arns := map[string]bool{}
	for b := range state.LoadBalancers.All(r) {
		arns[b.ARN] = true
	}
	for b := range state.ClassicLoadBalancers.All(r) {
		arns[b.ARN] = true
	}
	return arns
}

// recut cuts one load balancer anew and marks the zones whose part changed.
func (p *publisher) recut(arn string, stale map[string]bool) {
	old, parts := p.parts[arn], p.cut(arn)
	if parts == nil {
		delete(p.parts, arn)
	} else {
		p.parts[arn] = parts
	}
	p.depends.replace(arn, old, parts)
	for zone, part := range parts {
		if before, had := old[zone]; !had || !sameToEdge(before, part) {
			stale[zone] = true
		}
	}
	for zone := range old {
		if _, has := parts[zone]; !has {
			stale[zone] = true
		}
	}
}

// sameToEdge reports whether two parts tell an edge the same.
func sameToEdge(a, b zonal.Part) bool {
	a.DependsOn, b.DependsOn = nil, nil
	return reflect.DeepEqual(a, b)
}

// cut returns the parts of a load balancer of either kind; nil when there is
// none.
func (p *publisher) cut(arn string) map[string]zonal.Part {
	if b, ok := state.LoadBalancers.Get(p.revision, arn); ok {
		return zonal.Parts(p.revision, p.network, b)
	}
	if b, ok := state.ClassicLoadBalancers.Get(p.revision, arn); ok {
		return zonal.ClassicParts(p.revision, p.network, b)
	}
	return nil
}

// snapshot puts a zone's parts together, sorted by ARN.
func (p *publisher) snapshot(zone string) lb.ZoneSnapshot {
	s := lb.ZoneSnapshot{
		Revision: p.revision.Number(), Zone: zone,
		LoadBalancers: []lb.ZonalBalancer{}, TargetGroups: []lb.ZonalGroup{},
	}
	served := map[string]bool{}
	for _, arn := range slices.Sorted(maps.Keys(p.parts)) {
		if part, ok := p.parts[arn][zone]; ok {
			for _, certificate := range part.Certificates() {
				served[certificate] = true
			}
			if part.Classic != nil {
				s.Classic = append(s.Classic, *part.Classic)
			} else {
				s.LoadBalancers = append(s.LoadBalancers, part.Balancer)
			}
			s.TargetGroups = append(s.TargetGroups, part.Groups...)
			s.ClientSets = join(s.ClientSets, part.ClientSets)
		}
	}
	slices.SortFunc(s.TargetGroups, func(a, b lb.ZonalGroup) int { return strings.Compare(a.ARN, b.ARN) })
	s.Certificates = p.certificates(served)
	return s
}

// replace puts a snapshot into a channel of one, instead of one that was not
// taken. Only the holder of publisher.mu sends.
func replace(ch chan lb.ZoneSnapshot, s lb.ZoneSnapshot) {
	select {
	case <-ch:
	default:
	}
	ch <- s
}

// Watch implements edgeapi.Source.
func (p *publisher) Watch(zone string) (<-chan lb.ZoneSnapshot, func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.network.Zones(), zone) {
		return nil, nil, fmt.Errorf("zone %q has no subnet in the inventory; it knows %s", zone, strings.Join(p.network.Zones(), ", "))
	}
	p.cutAll()
	ch := make(chan lb.ZoneSnapshot, 1)
	ch <- p.snapshot(zone)
	if p.watchers[zone] == nil {
		p.watchers[zone] = map[chan lb.ZoneSnapshot]bool{}
	}
	p.watchers[zone][ch] = true
	return ch, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watchers[zone], ch)
	}, nil
}

// Report implements edgeapi.Source.
func (p *publisher) Report(report lb.HealthReport) { p.health.Take(report) }

// Disconnected implements edgeapi.Source.
func (p *publisher) Disconnected(zone string) { p.health.Disconnected(zone) }
