package controller

import (
	"context"
	"fmt"
	"iter"
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

// foreign are the target groups of others that the listeners of a stack forward
// to.
func foreign(of lb.Stack) iter.Seq2[*lb.Listener, *lb.Forward] {
	return func(yield func(*lb.Listener, *lb.Forward) bool) {
		for i := range of.Listeners {
			l := &of.Listeners[i]
			for j := range l.Forward {
				if l.Forward[j].Foreign && !yield(l, &l.Forward[j]) {
					return
				}
			}
		}
	}
}

func hasForeign(want lb.Stack) bool {
	for range foreign(want) {
		return true
	}
	return false
}

// withForwards is a copy of a stack in which listeners may be led elsewhere.
func withForwards(want lb.Stack) lb.Stack {
	want.Listeners = slices.Clone(want.Listeners)
	for i := range want.Listeners {
		want.Listeners[i].Forward = slices.Clone(want.Listeners[i].Forward)
	}
	return want
}

// resolveForwards looks up the target groups of others, and whether the load
// balancer can use them: one that cannot would be refused by AWS in the middle
// of a plan.
func (r *Reconciler) resolveForwards(ctx context.Context, st *service, want lb.Stack) (lb.Stack, error) {
	var names []string
	for _, f := range foreign(want) {
		names = append(names, groupName(f.TargetGroup))
	}
	slices.Sort(names)
	found, err := r.api.DescribeTargetGroups(ctx, slices.Compact(names))
	if err != nil {
		return want, err
	}
	re := resolution{want: withForwards(want), rec: st.rec, vpc: r.opts.VPCID, found: found}
	var problems []intent.Problem
	for l, f := range foreign(re.want) {
		if why := re.resolve(l, f); why != "" {
			problems = append(problems, intent.Problem{Severity: intent.Error, Field: intent.ActionsKey(l.Protocol, l.Port), Value: f.TargetGroup, Why: why})
		}
	}
	if len(problems) > 0 {
		return re.want, &errForeign{problems}
	}
	return re.want, nil
}

// resolution puts the ARNs of found groups in place of names.
type resolution struct {
	want  lb.Stack
	rec   record
	vpc   string // "" when not known
	found []cloud.TargetGroup
}

// resolve does so for one group, and says why the listener cannot use it, ""
// when it can.
func (re *resolution) resolve(l *lb.Listener, f *lb.Forward) string {
	i := slices.IndexFunc(re.found, func(g cloud.TargetGroup) bool { return g.ARN == f.TargetGroup || g.Name == f.TargetGroup })
	if i < 0 {
		return "there is no such target group in the load balancer's account and region"
	}
	g := re.found[i]
	if why := re.unfit(l, g); why != "" {
		return why
	}
	if slices.ContainsFunc(l.Forward, func(o lb.Forward) bool { return o.TargetGroup == g.ARN && o != *f }) {
		return "the target group is named twice; it has one weight"
	}
	f.TargetGroup = g.ARN
	return ""
}

// unfit says why a listener cannot use a target group of others, "" when it can.
func (re *resolution) unfit(l *lb.Listener, g cloud.TargetGroup) string {
	own := re.want.Group(l.TargetGroup)
	ours := func(arn string) bool {
		return slices.ContainsFunc(re.rec.Balancers, func(e recorded) bool { return e.ID == arn })
	}
	other := slices.IndexFunc(g.Balancers, func(arn string) bool { return !ours(arn) })
	switch {
	case re.want.Group(g.Name) != nil:
		return "the target group is one of the Service's own; name the Service behind it by serviceName"
	case g.Protocol != own.Protocol:
		return fmt.Sprintf("the target group's protocol is %s; all groups of a listener have one, and the Service's own has %s", g.Protocol, own.Protocol)
	case g.IPAddressType != own.IPAddressType:
		return fmt.Sprintf("the target group's targets are %s; all groups of a listener have one address type, and the Service's own has %s", g.IPAddressType, own.IPAddressType)
	case re.vpc != "" && g.VPCID != re.vpc:
		return fmt.Sprintf("the target group is in VPC %s, the load balancer in %s", g.VPCID, re.vpc)
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
	want = withForwards(want)
	for _, f := range foreign(want) {
		if arn := arns[f.TargetGroup]; arn != "" {
			f.TargetGroup = arn
		}
	}
	return want
}

// unresolved says that a stack names something by a name that only AWS knows
// the ID or the ARN of.
func unresolved(want lb.Stack) bool {
	for _, f := range foreign(want) {
		if groupName(f.TargetGroup) == f.TargetGroup {
			return true
		}
	}
	return slices.ContainsFunc(want.LoadBalancer.SecurityGroups, func(id string) bool { return !strings.HasPrefix(id, "sg-") })
}
