package engine

import (
	"maps"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// dependents are the ARNs of the load balancers whose parts depend on a security
// group, so that a rule that changes touches these and no others.
type dependents map[zonal.Dependency]map[string]bool

// replace notes what a load balancer depends on now instead of before.
func (d dependents) replace(arn string, before, after map[string]zonal.Part) {
	for _, on := range dependencies(before) {
		delete(d[on], arn)
		if len(d[on]) == 0 {
			delete(d, on)
		}
	}
	for _, on := range dependencies(after) {
		if d[on] == nil {
			d[on] = map[string]bool{}
		}
		d[on][arn] = true
	}
}

// dependencies are the same in all parts of a load balancer.
func dependencies(parts map[string]zonal.Part) []zonal.Dependency {
	for _, part := range parts {
		return part.DependsOn
	}
	return nil
}

// touched adds the load balancers that depend on what differs between two
// revisions: the rules of a security group, the prefix lists that they refer to,
// or the load balancers that carry it.
func (d dependents) touched(before, after *store.Revision, touched map[string]bool) {
	for diff := range state.SecurityGroupRules.Diff(before, after) {
		for _, r := range []*state.SecurityGroupRule{diff.Before, diff.After} {
			if r != nil {
				maps.Copy(touched, d[zonal.Dependency{GroupID: r.GroupID}])
			}
		}
	}
	for diff := range state.PrefixLists.Diff(before, after) {
		maps.Copy(touched, d[zonal.Dependency{GroupID: diff.Key}])
	}
	carrier := func(groups []string) {
		for _, id := range groups {
			maps.Copy(touched, d[zonal.Dependency{GroupID: id, Members: true}])
		}
	}
	for diff := range state.LoadBalancers.Diff(before, after) {
		for _, b := range []*state.LoadBalancer{diff.Before, diff.After} {
			if b != nil {
				carrier(b.SecurityGroups)
			}
		}
	}
	for diff := range state.ClassicLoadBalancers.Diff(before, after) {
		for _, b := range []*state.ClassicLoadBalancer{diff.Before, diff.After} {
			if b != nil {
				carrier(b.SecurityGroups)
			}
		}
	}
}

// join adds sets to sets, which are equal where they have one name.
func join(into, sets lb.ClientSets) lb.ClientSets {
	if into == nil && len(sets) > 0 {
		into = lb.ClientSets{}
	}
	maps.Copy(into, sets)
	return into
}
