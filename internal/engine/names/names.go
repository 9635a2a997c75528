// Package names answers which addresses a load balancer's DNS name has.
//
// A name has the addresses of the zones that can serve: those whose edge is
// connected and sees enough healthy targets, as the target groups' DNS failover
// attributes say. When no zone can serve, the name has them all, as on AWS. A
// zonal name (us-west-2a.NAME) always has its zone's addresses.
//
// Invariants: pure; the cost of an answer is that of the one load balancer.
package names

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/attributes"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// Reports is what edges said, and whether they are there.
type Reports interface {
	targethealth.Reports
	Connected(zone string) bool
}

// Addresses returns the addresses of a name, without a trailing dot and in any
// case. ok is false when no load balancer has the name.
func Addresses(r store.Reader, network *inventory.Index, reports Reports, name string) (addresses []netip.Addr, ok bool) {
	name = strings.ToLower(name)
	if b, found := state.LoadBalancersByDNSName.First(r, name); found {
		return addressesOf(serving(r, network, reports, b)), true
	}
	if b, found := state.ClassicLoadBalancersByDNSName.First(r, name); found {
		return addressesOf(servingClassic(r, network, reports, b)), true
	}
	zone, rest, _ := strings.Cut(name, ".")
	b, found := state.LoadBalancersByDNSName.First(r, rest)
	if !found {
		return nil, false
	}
	z, enabled := b.Zone(zone)
	if !enabled {
		return nil, false
	}
	return addressesOf([]state.ZoneMapping{z}), true
}

func addressesOf(zones []state.ZoneMapping) []netip.Addr {
	addresses := []netip.Addr{}
	for _, z := range zones {
		for _, a := range []netip.Addr{z.IPv4, z.IPv6} {
			if a.IsValid() {
				addresses = append(addresses, a)
			}
		}
	}
	return addresses
}

// serving returns the zones that a load balancer's name leads to: of those with
// an edge, the ones that pass every group's test.
func serving(r store.Reader, network *inventory.Index, reports Reports, b state.LoadBalancer) []state.ZoneMapping {
	zones := orAll(b.Zones, func(z state.ZoneMapping) bool { return reports.Connected(z.Zone) })
	failed := map[string]bool{}
	for _, arn := range state.GroupsOfLoadBalancer(r, b.ARN) {
		g, _ := state.TargetGroups.Get(r, arn)
		tally, threshold := count(r, zonal.NewGroup(r, network, g), reports), attributes.DNSFailover(g)
		passes := func(z state.ZoneMapping) bool { return threshold.Met(tally[z.Zone].healthy, tally[z.Zone].total) }
		if !slices.ContainsFunc(zones, passes) {
			continue // what no zone has says nothing about where to go
		}
		for _, z := range zones {
			failed[z.Zone] = failed[z.Zone] || !passes(z)
		}
	}
	return orAll(zones, func(z state.ZoneMapping) bool { return !failed[z.Zone] })
}

// servingClassic returns the zones that a Classic Load Balancer's name leads to:
// of those with an edge, the ones where an instance is healthy.
func servingClassic(r store.Reader, network *inventory.Index, reports Reports, b state.ClassicLoadBalancer) []state.ZoneMapping {
	c := zonal.NewClassic(network, b)
	healthy := map[string]bool{}
	for i := range state.InstancesOfClassic(r, b.ARN) {
		for _, zone := range c.EdgeZones(i) {
			h, _ := reports.Health(zone, c.Key(i))
			healthy[zone] = healthy[zone] || i.DrainUntil.IsZero() && h.State == lb.Healthy
		}
	}
	zones := orAll(b.Zones, func(z state.ZoneMapping) bool { return reports.Connected(z.Zone) })
	return orAll(zones, func(z state.ZoneMapping) bool { return healthy[z.Zone] })
}

// orAll returns the zones that pass a test, or all of them when none does.
func orAll(zones []state.ZoneMapping, passes func(state.ZoneMapping) bool) []state.ZoneMapping {
	passed := slices.DeleteFunc(slices.Clone(zones), func(z state.ZoneMapping) bool { return !passes(z) })
	if len(passed) == 0 {
		return zones
	}
	return passed
}

type tally struct{ healthy, total int }

// count counts a group's targets as the edge of each zone sees them.
func count(r store.Reader, g zonal.Group, reports Reports) map[string]tally {
	zones := map[string]tally{}
	for t := range state.TargetsOfGroup(r, g.ARN) {
		if !t.DrainUntil.IsZero() {
			continue
		}
		for _, zone := range g.EdgeZones(t) {
			sum := zones[zone]
			sum.total++
			if h, ok := reports.Health(zone, t.Key()); ok && h.State == lb.Healthy {
				sum.healthy++
			}
			zones[zone] = sum
		}
	}
	return zones
}
