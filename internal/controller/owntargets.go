package controller

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// In a target group that others register targets in too, a target is taken away
// only when this controller registered it. Which ones those are is on record
// before they are registered, as eight characters each: that is enough to
// recognise a target that AWS tells of, and 1,000 of them take 8 kB.

// ownWidth is the length of a target's mark. 48 bits make two of 1,000 targets
// collide with a chance of 1 in 500 million.
const ownWidth = 8

func mark(t lb.Target) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d", t.ID, t.Port))
	return base64.RawURLEncoding.EncodeToString(sum[:ownWidth*6/8])
}

// marks of targets, in order.
func ownMarks(targets ...lb.Target) string {
	set := map[string]bool{}
	for _, t := range targets {
		set[mark(t)] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), "")
}

// owned are the registered targets of a shared group that are this Service's:
// those on record, and those that it wants. Without a record, as for a group
// that was not shared before, the latter alone.
func (r record) owned(group string, registered, wanted []lb.Target) []lb.Target {
	set := map[string]bool{}
	if e := find(r.Groups, group); e != nil {
		for m := range slices.Chunk([]byte(e.Own), ownWidth) {
			set[string(m)] = true
		}
	}
	for _, t := range wanted {
		set[mark(t)] = true
	}
	return slices.DeleteFunc(slices.Clone(registered), func(t lb.Target) bool { return !set[mark(t)] })
}

// claim puts on record which targets of shared groups will be this Service's
// once the plan is done, or may be if it breaks off.
func (r record) claim(p plan.Plan, have plan.Observed) record {
	shared := map[string][]lb.Target{}
	for _, g := range have.TargetGroups {
		if g.Shared {
			shared[g.Name] = g.Targets
		}
	}
	for _, s := range p.Steps {
		_, known := shared[s.Resource.Name]
		switch {
		case s.Action == plan.CreateTargetGroup && s.After.TargetGroup.Shared:
			shared[s.Resource.Name] = nil
		case s.Action == plan.RegisterTargets && known:
			shared[s.Resource.Name] = slices.Concat(shared[s.Resource.Name], s.After.Targets)
		}
	}
	r.Groups = slices.Clone(r.Groups)
	for name, targets := range shared {
		if e := find(r.Groups, name); e != nil {
			e.Own = ownMarks(targets...)
		}
	}
	return r
}

// share says of what there is which groups others register targets in.
func share(have *plan.Observed, want lb.Stack) {
	have.TargetGroups = slices.Clone(have.TargetGroups)
	for i := range have.TargetGroups {
		if w := want.Group(have.TargetGroups[i].Name); w != nil {
			have.TargetGroups[i].Shared = w.Shared
		}
	}
}

// unshared says that a group is no longer to be shared: what others registered
// in it is not known, and is to go.
func unshared(have *plan.Observed, want lb.Stack) bool {
	return have != nil && slices.ContainsFunc(have.TargetGroups, func(g plan.TargetGroup) bool {
		w := want.Group(g.Name)
		return g.Shared && w != nil && !w.Shared
	})
}

// sharesTargets says that there is a group that others register targets in.
func sharesTargets(have plan.Observed) bool {
	return slices.ContainsFunc(have.TargetGroups, func(g plan.TargetGroup) bool { return g.Shared })
}

// ours leaves out the targets that others registered.
func ours(g lb.TargetGroup, all []cloud.TargetHealth) []cloud.TargetHealth {
	if !g.Shared {
		return all
	}
	wanted := make(map[lb.Target]bool, len(g.Targets))
	for _, t := range g.Targets {
		wanted[t] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(h cloud.TargetHealth) bool { return !wanted[h.Target] })
}
