package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// errForeign says that a Service's actions name target groups of others that its
// load balancer cannot use.
type errForeign struct{ problems []intent.Problem }

func (e *errForeign) Error() string { return listed(e.problems) }

// resolve puts IDs and ARNs in place of the names of what is not the Service's
// own: security groups and target groups.
func (r *Reconciler) resolve(ctx context.Context, st *service, want lb.Stack) (lb.Stack, error) {
	want, err := r.resolveGroups(ctx, want)
	if err != nil || !hasForeign(want) {
		return want, err
	}
	return r.resolveForwards(ctx, st, want)
}

func hasForeign(want lb.Stack) bool {
	return slices.ContainsFunc(want.Listeners, func(l lb.Listener) bool {
		return slices.ContainsFunc(l.Forward, func(f lb.Forward) bool { return f.Foreign })
	})
}

// resolveForwards looks up the target groups of others, and whether the load
// balancer can use them: one that cannot would be refused by AWS in the middle
// of a plan.
func (r *Reconciler) resolveForwards(ctx context.Context, st *service, want lb.Stack) (lb.Stack, error) {
	var names []string
	for _, l := range want.Listeners {
		for _, f := range l.Forward {
			if f.Foreign {
				names = append(names, groupName(f.TargetGroup))
			}
		}
	}
	slices.Sort(names)
	found, err := r.api.DescribeTargetGroups(ctx, slices.Compact(names))
	if err != nil {
		return want, err
	}
	want.Listeners = slices.Clone(want.Listeners)
	var problems []intent.Problem
	for i := range want.Listeners {
		l := &want.Listeners[i]
		l.Forward = slices.Clone(l.Forward)
		for j := range l.Forward {
			if l.Forward[j].Foreign {
				problems = append(problems, r.resolveForward(st, want, l, j, found)...)
			}
		}
	}
	if len(problems) > 0 {
		return want, &errForeign{problems}
	}
	return want, nil
}

// resolveForward puts the ARN in place of one group's name.
func (r *Reconciler) resolveForward(st *service, want lb.Stack, l *lb.Listener, at int, found []cloud.TargetGroup) []intent.Problem {
	f := &l.Forward[at]
	bad := func(why string) []intent.Problem {
		return []intent.Problem{{Severity: intent.Error, Field: intent.ActionsKey(l.Protocol, l.Port), Value: f.TargetGroup, Why: why}}
	}
	i := slices.IndexFunc(found, func(g cloud.TargetGroup) bool { return g.ARN == f.TargetGroup || g.Name == f.TargetGroup })
	if i < 0 {
		return bad("there is no such target group in the load balancer's account and region")
	}
	g := found[i]
	if why := r.unfit(st, want, *l, g); why != "" {
		return bad(why)
	}
	if slices.ContainsFunc(l.Forward, func(o lb.Forward) bool { return o.TargetGroup == g.ARN && o != *f }) {
		return bad("the target group is named twice; it has one weight")
	}
	f.TargetGroup = g.ARN
	return nil
}

// unfit says why a listener cannot use a target group of others, "" when it can.
func (r *Reconciler) unfit(st *service, want lb.Stack, l lb.Listener, g cloud.TargetGroup) string {
	own := want.Group(l.TargetGroup)
	ours := func(arn string) bool {
		return slices.ContainsFunc(st.rec.Balancers, func(e recorded) bool { return e.ID == arn })
	}
	other := slices.IndexFunc(g.Balancers, func(arn string) bool { return !ours(arn) })
	switch {
	case want.Group(g.Name) != nil:
		return "the target group is one of the Service's own; name the Service behind it by serviceName"
	case g.Protocol != own.Protocol:
		return fmt.Sprintf("the target group's protocol is %s; all groups of a listener have one, and the Service's own has %s", g.Protocol, own.Protocol)
	case g.IPAddressType != own.IPAddressType:
		return fmt.Sprintf("the target group's targets are %s; all groups of a listener have one address type, and the Service's own has %s", g.IPAddressType, own.IPAddressType)
	case r.opts.VPCID != "" && g.VPCID != r.opts.VPCID:
		return fmt.Sprintf("the target group is in VPC %s, the load balancer in %s", g.VPCID, r.opts.VPCID)
	case other >= 0:
		return fmt.Sprintf("the target group is used by %s, and one load balancer only may use it", g.Balancers[other])
	}
	return ""
}

// groupName is the name in a target group's ARN, or the name itself.
func groupName(nameOrARN string) string {
	if _, name := partsOf(nameOrARN); name != "" {
		return name
	}
	return nameOrARN
}

// resolvedFrom puts ARNs in place of names as they are in what is there. It
// calls nothing: a name that is not there stays.
func resolvedFrom(have plan.Observed, want lb.Stack) lb.Stack {
	if !hasForeign(want) {
		return want
	}
	arns := map[string]string{}
	for _, b := range have.LoadBalancers {
		for _, l := range b.Listeners {
			for _, f := range l.Forward {
				if f.Foreign {
					arns[groupName(f.TargetGroup)] = f.TargetGroup
				}
			}
		}
	}
	want.Listeners = slices.Clone(want.Listeners)
	for i := range want.Listeners {
		l := &want.Listeners[i]
		l.Forward = slices.Clone(l.Forward)
		for j, f := range l.Forward {
			if arn := arns[f.TargetGroup]; f.Foreign && arn != "" {
				l.Forward[j].TargetGroup = arn
			}
		}
	}
	return want
}

// unresolved says that a stack names something by a name that only AWS knows
// the ID or the ARN of.
func unresolved(want lb.Stack) bool {
	return slices.ContainsFunc(want.LoadBalancer.SecurityGroups, func(id string) bool { return !strings.HasPrefix(id, "sg-") }) ||
		slices.ContainsFunc(want.Listeners, func(l lb.Listener) bool {
			return slices.ContainsFunc(l.Forward, func(f lb.Forward) bool { return f.Foreign && groupName(f.TargetGroup) == f.TargetGroup })
		})
}
