package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Forward is a target group of a listener with its share of new connections.
type Forward = lb.Forward

// forwardOf is where a listener is to forward to.
func forwardOf(l lb.Listener) []Forward {
	if len(l.Forward) == 0 {
		return []Forward{{TargetGroup: l.TargetGroup, Weight: 1}}
	}
	return l.Forward
}

// sameForward compares without regard to order. The weight of a group that is
// alone has no meaning.
func sameForward(a, b []Forward) bool {
	if len(a) == 1 && len(b) == 1 {
		return a[0].TargetGroup == b[0].TargetGroup
	}
	return len(minus(a, b)) == 0 && len(minus(b, a)) == 0
}

// serves says that a group gets new connections.
func serves(all []Forward, group string) bool {
	return slices.ContainsFunc(all, func(f Forward) bool { return f.TargetGroup == group && (f.Weight > 0 || len(all) == 1) })
}

// joins are the groups of next that serve and did not before.
func joins(before, next []Forward) (out []Forward) {
	for _, f := range next {
		if serves(next, f.TargetGroup) && !serves(before, f.TargetGroup) {
			out = append(out, f)
		}
	}
	return out
}

func forwardReason(before, next []Forward) string {
	joining, leaving := joins(before, next), joins(next, before)
	switch {
	case len(next) == 1 && len(joining) == 0:
		return "the other target group is no longer wanted"
	case len(next) == 1 && len(leaving) > 0:
		return "target group " + next[0].TargetGroup + " replaces " + strings.Join(groupsOf(leaving), ", ")
	}
	return "new connections are to be shared by " + forwardText(next)
}

// forwardDisruption: flows stay with their target group, but those of a group
// without a share are closed after a while (NLB user guide, listeners).
func forwardDisruption(before, next []Forward) Disruption {
	if len(joins(next, before)) > 0 {
		return Connections
	}
	return None
}

func groupsOf(forward []Forward) []string {
	names := make([]string, len(forward))
	for i, f := range forward {
		names[i] = f.TargetGroup
	}
	return names
}

func forwardText(forward []Forward) string {
	parts := groupsOf(forward)
	if len(parts) > 1 {
		for i, f := range forward {
			parts[i] += fmt.Sprintf(" (weight %d)", f.Weight)
		}
	}
	return strings.Join(parts, ", ")
}
