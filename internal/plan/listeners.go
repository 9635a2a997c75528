package plan

import (
	"fmt"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func (d *differ) listeners() {
	current := d.current()
	for _, want := range d.want.Listeners {
		r := Resource{Kind: KindListener, Name: d.want.LoadBalancer.Name, Port: want.Port}
		defaults := lb.DefaultListenerAttributes(want.Protocol)
		var have *Listener
		if current != nil {
			have = current.Listener(want.Port)
		}
		if have == nil {
			l := wanted(want)
			l.Tags = want.Tags
			d.add(stageListen, Step{Action: CreateListener, Resource: r, After: Value{Listener: &l}, Why: fmt.Sprintf("nothing listens on %s %d", want.Protocol, want.Port)})
			d.certificates(r, want.Security, lb.Security{})
			d.attributes(r, want.Attributes, nil, defaults)
			continue
		}
		listening{d, r, have, current}.move(want)
		d.certificates(r, want.Security, have.Security)
		d.attributes(r, want.Attributes, have.Attributes, defaults)
		d.tags(stageListen, r, want.Tags, have.Tags)
	}
}

// wanted is the listener to arrive at.
func wanted(l lb.Listener) Listener {
	return Listener{Port: l.Port, Protocol: l.Protocol, Forward: forwardOf(l), Stickiness: l.Stickiness, Security: bare(l.Security)}
}

// listening is a differ at one listener that exists.
type listening struct {
	*differ
	r   Resource
	now *Listener
	of  *LoadBalancer // that it belongs to
}

// move leads a listener to other target groups, or to other weights. A group
// that is to serve is attached with weight 0 first: a group that no listener
// uses is not probed, and a listener must not move to targets that nobody has
// probed.
//
// All groups of a listener have one protocol, so a change of protocol cannot be
// made before the break.
func (d listening) move(want lb.Listener) {
	have := d.now
	final := wanted(want)
	if have.Protocol != want.Protocol {
		d.modify(stageListen, final, fmt.Sprintf("%s becomes %s", have.Protocol, want.Protocol), Connections)
		return
	}
	if sameForward(have.Forward, final.Forward) && have.Stickiness == final.Stickiness {
		if !sameBare(want.Security, have.Security) {
			d.modify(stageListen, final, "the default certificate or the policies differ", None)
		}
		return
	}
	at := stageListen
	if len(joins(have.Forward, final.Forward)) > 0 {
		at = stageSwitch
		d.prove(final)
	}
	d.modify(at, final, forwardReason(have.Forward, final.Forward), forwardDisruption(have.Forward, final.Forward))
}

// prove holds back the switch until the groups that join are healthy. Those
// that there is no room for beside the ones that serve join unproven.
func (d listening) prove(final Listener) {
	have := d.now
	old, attached := have.main(), *have
	attached.Security = bare(have.Security)
	attached.Forward = slices.DeleteFunc(slices.Clone(have.Forward), func(f Forward) bool {
		return !serves(have.Forward, f.TargetGroup) && !slices.Contains(groupsOf(final.Forward), f.TargetGroup)
	})
	before := len(attached.Forward)
	if !serves(have.Forward, old.TargetGroup) || !old.Foreign && d.have.Group(old.TargetGroup) == nil {
		return // there is nothing to lose
	}
	why := "joins target group " + old.TargetGroup
	if !serves(final.Forward, old.TargetGroup) {
		why = "replaces target group " + old.TargetGroup
	}
	for _, f := range joins(have.Forward, final.Forward) {
		targets := d.wantedGroup(f.TargetGroup).Targets
		if len(targets) == 0 && !f.Foreign {
			continue
		}
		if !d.staysInUse(f.TargetGroup) {
			if len(attached.Forward) == lb.MaxForward {
				continue
			}
			f.Weight = 0
			attached.Forward = append(attached.Forward, f)
		}
		d.add(stageAwait, Step{
			Action: AwaitHealthy, Resource: Resource{Kind: KindTargetGroup, Name: f.TargetGroup},
			Before: Value{Text: old.TargetGroup}, After: Value{Targets: targets}, Why: why,
		})
	}
	if len(attached.Forward) > before {
		d.modify(stageListen, attached, "the new target group is probed before it serves", None)
	}
}

// staysInUse says that a group is probed until the listener moves to it: the
// listener has it attached already, or another one serves from it and is not
// changed before.
func (d listening) staysInUse(group string) bool {
	if slices.ContainsFunc(d.now.Forward, func(f Forward) bool { return f.TargetGroup == group }) {
		return true
	}
	return slices.ContainsFunc(d.of.Listeners, func(l Listener) bool {
		changes := slices.ContainsFunc(d.want.Listeners, func(w lb.Listener) bool { return w.Port == l.Port && w.Protocol != l.Protocol })
		return l.main().TargetGroup == group && !changes
	})
}

func (d listening) modify(at stage, next Listener, why string, dis Disruption) {
	before := *d.now
	d.add(at, Step{Action: ModifyListener, Resource: d.r, Before: Value{Listener: &before}, After: Value{Listener: &next}, Why: why, Disruption: dis})
}

func (d *differ) wantedGroup(name string) lb.TargetGroup {
	if g := d.want.Group(name); g != nil {
		return *g
	}
	return lb.TargetGroup{}
}

func (b *LoadBalancer) uses(group string) bool {
	return slices.ContainsFunc(b.Listeners, func(l Listener) bool {
		return slices.ContainsFunc(l.Forward, func(f Forward) bool { return f.TargetGroup == group })
	})
}

// surplus removes what is there and not wanted, users before the used.
func (d *differ) surplus() {
	current := d.current()
	if current != nil {
		for _, l := range current.Listeners {
			if !slices.ContainsFunc(d.want.Listeners, func(w lb.Listener) bool { return w.Port == l.Port }) {
				d.add(stageUnlisten, Step{
					Action: DeleteListener, Resource: Resource{Kind: KindListener, Name: current.Name, Port: l.Port},
					Why: fmt.Sprintf("the Service has no port %d", l.Port), Disruption: Connections,
				})
			}
		}
	}
	for i := range d.have.LoadBalancers {
		if b := &d.have.LoadBalancers[i]; current == nil || b.Name != current.Name {
			d.drop(b)
		}
	}
	classic := d.currentClassic()
	for i := range d.have.Classic {
		if b := &d.have.Classic[i]; classic == nil || b.Name != classic.Name {
			d.dropClassic(b)
		}
	}
	for _, g := range d.have.TargetGroups {
		if d.want.Group(g.Name) == nil {
			d.add(stageDropGroup, Step{Action: DeleteTargetGroup, Resource: Resource{Kind: KindTargetGroup, Name: g.Name}, Why: "no longer wanted"})
		}
	}
}

// drop removes a load balancer: when its replacement serves and its name is
// published, or at once when the replacement needs its name, its addresses or a
// target group of others that it uses, or there is none.
func (d *differ) drop(b *LoadBalancer) {
	r := Resource{Kind: KindLoadBalancer, Name: b.Name}
	if d.want.Classic == nil && !d.want.Empty() && (b.Name == d.want.LoadBalancer.Name || sharesAddress(&b.LoadBalancer, &d.want.LoadBalancer) || d.takesGroup(b)) {
		d.add(stageMakeWay, Step{Action: DeleteLoadBalancer, Resource: r, Why: "makes way: " + replacementReason(d.want.LoadBalancer, &b.LoadBalancer), Disruption: DNSName})
		return
	}
	d.succeed(r, d.predecessor)
}

// takesGroup says that the wanted load balancer is to use a group of others that
// this one uses: AWS lets a target group be used by one load balancer.
func (d *differ) takesGroup(b *LoadBalancer) bool {
	return slices.ContainsFunc(d.want.Listeners, func(l lb.Listener) bool {
		return slices.ContainsFunc(l.Forward, func(f Forward) bool { return f.Foreign && b.uses(f.TargetGroup) })
	})
}

// succeed removes a load balancer after its successor serves: old names, for a
// target group of the successor, what served before.
func (d *differ) succeed(r Resource, old func(lb.TargetGroup) string) {
	s := Step{Action: DeleteLoadBalancer, Resource: r, Why: "no longer wanted", Disruption: DNSName}
	if d.want.Empty() {
		d.add(stageDropBalancer, s)
		return
	}
	successor := Resource{Kind: KindLoadBalancer, Name: d.want.LoadBalancer.Name}
	s.Why = "is replaced by one that is " + string(d.want.LoadBalancer.Scheme)
	if classic := d.want.Classic; classic != nil {
		successor.Kind, s.Why = KindClassic, "is replaced by a Classic one that is "+string(d.want.LoadBalancer.Scheme)
		d.await(successor, old(lb.TargetGroup{}), asTargets(classic.Instances), r.Name)
	}
	for _, g := range d.want.TargetGroups {
		d.await(Resource{Kind: KindTargetGroup, Name: g.Name}, old(g), g.Targets, r.Name)
	}
	d.add(stagePublish, Step{Action: PublishHostname, Resource: successor, Why: "replaces " + r.Name, Disruption: DNSName})
	d.add(stageDropBalancer, s)
}

func (d *differ) await(r Resource, old string, targets []lb.Target, replaced string) {
	if len(targets) > 0 {
		d.add(stageAwait, Step{Action: AwaitHealthy, Resource: r, Before: Value{Text: old}, After: Value{Targets: targets}, Why: "load balancer " + replaced + " is replaced"})
	}
}

// dropClassic removes a Classic Load Balancer as drop removes another one.
func (d *differ) dropClassic(b *ClassicLoadBalancer) {
	r := Resource{Kind: KindClassic, Name: b.Name}
	if d.want.Classic != nil && b.Name == d.want.LoadBalancer.Name {
		d.add(stageMakeWay, Step{Action: DeleteLoadBalancer, Resource: r, Why: "makes way: " + replacementReason(d.want.LoadBalancer, &b.LoadBalancer), Disruption: DNSName})
		return
	}
	d.succeed(r, func(lb.TargetGroup) string { return b.Name })
}

// predecessor is the existing group that serves the same port of the Service;
// the first one, when a Classic Load Balancer comes after it.
func (d *differ) predecessor(want lb.TargetGroup) string {
	for _, g := range d.have.TargetGroups {
		if (g.Key == want.Key || d.want.Classic != nil) && g.Name != want.Name {
			return g.Name
		}
	}
	return ""
}
