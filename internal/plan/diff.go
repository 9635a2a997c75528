package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// differ collects the steps from have to want.
type differ struct {
	want      lb.Stack
	have      Observed
	groupRefs []string // the load balancer's security groups, ours by reference
	blocked   []Step
	steps     []Step
}

// Diff is the plan that leads from have to want. Steps that cost the load
// balancer its DNS name or addresses are in it when the policy allows them;
// else they stand under Blocked, and the plan leads to the nearest thing to
// want that leaves both alone.
func Diff(want lb.Stack, have Observed, policy Policy) Plan {
	d := &differ{want: want, have: have}
	if !want.Empty() && !policy.AllowReplacement {
		if d.changesType() || d.changesSecurity() {
			return Plan{Blocked: d.blocked}
		}
		d.keepAddresses()
	}
	d.groupRefs = d.wantedGroups(d.frontends())
	d.nodeRules()
	d.balancer()
	d.classic()
	d.groups()
	d.listeners()
	d.surplus()
	slices.SortStableFunc(d.steps, func(a, b Step) int { return int(a.stage) - int(b.stage) })
	return Plan{Steps: d.steps, Blocked: d.blocked}
}

func (d *differ) add(at stage, s Step) {
	s.stage = at
	if s.Disruption == "" {
		s.Disruption = None
	}
	d.steps = append(d.steps, s)
}

// wantedGroups are the security groups of the load balancer, ours by reference.
func (d *differ) wantedGroups(frontends []string) []string {
	out := slices.Concat(d.want.LoadBalancer.SecurityGroups, frontends)
	if d.want.Backend {
		out = append(out, RefBackend)
	}
	slices.Sort(out)
	return out
}

func (d *differ) tags(at stage, r Resource, want, have map[string]string) {
	add, remove := AddTags, RemoveTags
	if r.Kind == KindSecurityGroup {
		add, remove = CreateTags, DeleteTags
	}
	missing := map[string]string{}
	for k, v := range want {
		if old, ok := have[k]; !ok || old != v {
			missing[k] = v
		}
	}
	if len(missing) > 0 {
		d.add(at, Step{Action: add, Resource: r, After: Value{Map: missing}, Why: count(len(missing), "tag") + " differ"})
	}
	if surplus := minus(slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want))); len(surplus) > 0 {
		d.add(at, Step{Action: remove, Resource: r, Before: Value{List: surplus}, Why: count(len(surplus), "tag") + " no longer wanted"})
	}
}

func (d *differ) balancer() {
	if d.want.Empty() || d.want.Classic != nil {
		return
	}
	want := d.want.LoadBalancer
	want.SecurityGroups = d.groupRefs
	r := Resource{Kind: KindLoadBalancer, Name: want.Name}
	have := d.current()
	if have == nil {
		d.add(stageBalancer, Step{Action: CreateLoadBalancer, Resource: r, After: Value{LoadBalancer: &lb.LoadBalancer{
			Name: want.Name, Type: want.Type, Scheme: want.Scheme, IPAddressType: want.IPAddressType,
			Subnets: want.Subnets, SubnetMappings: want.SubnetMappings, IPv6SourceNAT: want.IPv6SourceNAT,
			SecurityGroups: want.SecurityGroups, NoSecurityGroups: want.NoSecurityGroups, Tags: want.Tags,
		}}, Why: "the Service has none"})
		if want.PrivateLinkUnfiltered {
			have := want
			have.PrivateLinkUnfiltered = false
			d.securityGroups(r, want, have)
		}
		d.attributes(r, want.Attributes, nil, lb.DefaultLoadBalancerAttributes(want.Scheme))
		d.capacity(r, want.CapacityUnits, 0)
		return
	}
	d.place(r, want, have.LoadBalancer)
	if !sameSet(have.SecurityGroups, want.SecurityGroups) || have.PrivateLinkUnfiltered != want.PrivateLinkUnfiltered {
		d.securityGroups(r, want, have.LoadBalancer)
	}
	d.attributes(r, want.Attributes, have.Attributes, lb.DefaultLoadBalancerAttributes(want.Scheme))
	d.capacity(r, want.CapacityUnits, have.CapacityUnits)
	d.tags(stageBalancer, r, want.Tags, have.Tags)
}

// capacity reserves capacity, or gives back what is reserved.
func (d *differ) capacity(r Resource, want, have int32) {
	if want == have {
		return
	}
	d.add(stageBalancer, Step{
		Action: ModifyCapacityReservation, Resource: r, Before: Value{CapacityUnits: have}, After: Value{CapacityUnits: want},
		Why: fmt.Sprintf("%d capacity units are reserved, %d are to be", have, want),
	})
}

// securityGroups sets the groups, and whether their rules spare PrivateLink:
// that cannot be said when a load balancer is created.
func (d *differ) securityGroups(r Resource, want, have lb.LoadBalancer) {
	why := "the security groups differ"
	if sameSet(have.SecurityGroups, want.SecurityGroups) {
		why = "the rules for PrivateLink traffic differ"
	}
	d.add(stageBalancer, Step{
		Action: SetSecurityGroups, Resource: r, Why: why,
		Before: Value{List: have.SecurityGroups, PrivateLinkUnfiltered: have.PrivateLinkUnfiltered},
		After:  Value{List: want.SecurityGroups, PrivateLinkUnfiltered: want.PrivateLinkUnfiltered},
	})
}

// current is the load balancer that want means, or nil when there is none: one
// of another scheme or type, that cannot get the wanted addresses, or that cannot
// get or lose security groups, has to go first though it has the same name.
func (d *differ) current() *LoadBalancer {
	want := &d.want.LoadBalancer
	b := d.have.Balancer(want.Name)
	if b != nil && (b.Scheme != want.Scheme || b.Type != want.Type || b.NoSecurityGroups != want.NoSecurityGroups || !moveOf(want, &b.LoadBalancer).possible()) {
		return nil
	}
	return b
}

// attributes sets what differs. What is no longer asked for goes back to AWS's
// default.
func (d *differ) attributes(r Resource, want, have, defaults map[string]string) {
	change, before := map[string]string{}, map[string]string{}
	value := func(k string) string {
		if v, ok := have[k]; ok {
			return v
		}
		return defaults[k]
	}
	for k, v := range want {
		if value(k) != v {
			change[k], before[k] = v, value(k)
		}
	}
	for k, v := range have {
		if _, asked := want[k]; !asked {
			if def, ok := defaults[k]; ok && def != v {
				change[k], before[k] = def, v
			}
		}
	}
	if len(change) > 0 {
		at, action := attributesOf(r.Kind)
		d.add(at, Step{Action: action, Resource: r, Before: Value{Map: before}, After: Value{Map: change}, Why: count(len(change), "attribute") + " differ"})
	}
}

// attributesOf is what sets the attributes of a resource, and when.
func attributesOf(k Kind) (stage, Action) {
	switch k {
	case KindTargetGroup:
		return stageGroup, ModifyTargetGroupAttributes
	case KindListener:
		return stageListen, ModifyListenerAttributes
	default:
		return stageBalancer, ModifyLoadBalancerAttributes
	}
}

func (d *differ) groups() {
	for _, want := range d.want.TargetGroups {
		r := Resource{Kind: KindTargetGroup, Name: want.Name}
		defaults := lb.DefaultTargetGroupAttributes(want.Protocol, want.TargetType)
		have := d.have.Group(want.Name)
		if have == nil {
			bare := want
			bare.Targets, bare.Attributes = nil, nil
			d.add(stageGroup, Step{Action: CreateTargetGroup, Resource: r, After: Value{TargetGroup: &bare}, Why: "port " + want.Key + " has none"})
			d.attributes(r, want.Attributes, nil, defaults)
			d.register(r, want.Targets)
			continue
		}
		if have.HealthCheck != want.HealthCheck {
			d.add(stageGroup, Step{Action: ModifyTargetGroup, Resource: r, Before: Value{HealthCheck: &have.HealthCheck}, After: Value{HealthCheck: &want.HealthCheck}, Why: "the health check differs"})
		}
		d.attributes(r, want.Attributes, have.Attributes, defaults)
		d.tags(stageGroup, r, want.Tags, have.Tags)
		d.targets(r, want.Targets, have.Targets)
	}
}

func (d *differ) register(r Resource, targets []lb.Target) {
	if len(targets) > 0 {
		register, what := RegisterTargets, "target"
		if r.Kind == KindClassic {
			register, what = RegisterInstances, "instance"
		}
		d.add(stageRegister, Step{Action: register, Resource: r, After: Value{Targets: targets}, Why: count(len(targets), what) + " to add"})
	}
}

// targets registers before it deregisters. When none of the old targets stays,
// they leave after a new one is healthy.
func (d *differ) targets(r Resource, want, have []lb.Target) {
	joining, leaving := minus(want, have), minus(have, want)
	d.register(r, joining)
	if len(leaving) == 0 {
		return
	}
	at := stageDeregister
	if len(leaving) == len(have) && len(want) > 0 {
		at = stageDrain
		d.add(stageAwait, Step{Action: AwaitHealthy, Resource: r, Before: Value{Targets: leaving}, After: Value{Targets: want}, Why: "all targets are replaced"})
	}
	deregister, what := DeregisterTargets, "target"
	if r.Kind == KindClassic {
		deregister, what = DeregisterInstances, "instance"
	}
	d.add(at, Step{Action: deregister, Resource: r, Before: Value{Targets: leaving}, Why: count(len(leaving), what) + " no longer wanted"})
}

func sameSet(a, b []string) bool { return len(minus(a, b)) == 0 && len(minus(b, a)) == 0 }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
