package plan

import (
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// keepAddresses turns want into the nearest stack that has the DNS name and
// all the addresses of the load balancer that exists. What it leaves out goes
// to blocked.
func (d *differ) keepAddresses() {
	if d.want.Classic != nil {
		d.keepClassicAddresses()
	}
	if d.want.Classic != nil || len(d.have.LoadBalancers) == 0 {
		return
	}
	want := &d.want.LoadBalancer
	have := d.current()
	if have == nil {
		have = &d.have.LoadBalancers[0]
		d.block(replacement(KindLoadBalancer, *want, &have.LoadBalancer))
		d.stayOn(have)
	}
	r := Resource{Kind: KindLoadBalancer, Name: have.Name}
	if have.IPAddressType != want.IPAddressType && addressTypeDisruption(want.IPAddressType) == Address {
		d.block(Step{Action: SetIPAddressType, Resource: r, Before: Value{Text: string(have.IPAddressType)}, After: Value{Text: string(want.IPAddressType)}, Why: "IPv6 addresses would go", Disruption: Address})
		want.IPAddressType = have.IPAddressType
	}
	if lost := append(minus(have.Subnets, want.Subnets), moveOf(want, &have.LoadBalancer).changes...); len(lost) > 0 {
		d.block(Step{
			Action: SetSubnets, Resource: r, Before: Value{List: have.Subnets, Mappings: have.SubnetMappings}, After: Value{List: want.Subnets, Mappings: want.SubnetMappings},
			Why: "the addresses in " + strings.Join(lost, ", ") + " would go", Disruption: Address,
		})
		want.Subnets, want.SubnetMappings = have.Subnets, have.SubnetMappings
	}
}

// keepClassicAddresses is keepAddresses for a Classic Load Balancer.
func (d *differ) keepClassicAddresses() {
	if len(d.have.Classic) == 0 {
		return
	}
	want, have := &d.want.LoadBalancer, d.currentClassic()
	if have == nil {
		have = &d.have.Classic[0]
		d.block(replacement(KindClassic, *want, &have.LoadBalancer))
		want.Name, want.Scheme = have.Name, have.Scheme
	}
	if lost := minus(have.Subnets, want.Subnets); len(lost) > 0 {
		d.block(Step{
			Action: DetachSubnets, Resource: Resource{Kind: KindClassic, Name: have.Name}, Before: Value{List: lost},
			Why: "the addresses in " + strings.Join(lost, ", ") + " would go", Disruption: Address,
		})
		want.Subnets = have.Subnets
	}
}

// changesType blocks the change between a Network and a Classic Load Balancer.
// What is wanted of one says nothing about the other: nothing is done then.
func (d *differ) changesType() bool {
	have, kind := (*lb.LoadBalancer)(nil), KindClassic
	switch {
	case d.want.Classic != nil && len(d.have.Classic) == 0 && len(d.have.LoadBalancers) > 0:
		have = &d.have.LoadBalancers[0].LoadBalancer
	case d.want.Classic == nil && len(d.have.LoadBalancers) == 0 && len(d.have.Classic) > 0:
		have, kind = &d.have.Classic[0].LoadBalancer, KindLoadBalancer
	default:
		return false
	}
	d.block(replacement(kind, d.want.LoadBalancer, have))
	return true
}

// changesSecurity blocks the change between a load balancer with security groups
// and one without. Who may connect is said in other places then, so what is
// wanted of one says nothing about the other.
func (d *differ) changesSecurity() bool {
	b := d.have.Balancer(d.want.LoadBalancer.Name)
	if b == nil && len(d.have.LoadBalancers) > 0 {
		b = &d.have.LoadBalancers[0]
	}
	if b == nil || d.want.Classic != nil || b.NoSecurityGroups == d.want.LoadBalancer.NoSecurityGroups {
		return false
	}
	d.block(replacement(KindLoadBalancer, d.want.LoadBalancer, &b.LoadBalancer))
	return true
}

func replacement(kind Kind, want lb.LoadBalancer, have *lb.LoadBalancer) Step {
	text := func(b *lb.LoadBalancer) string { return b.Name + " " + string(b.Type) + " " + string(b.Scheme) }
	return Step{
		Action: CreateLoadBalancer, Resource: Resource{Kind: kind, Name: want.Name}, Before: Value{Text: text(have)}, After: Value{Text: text(&want)},
		Why: replacementReason(want, have), Disruption: DNSName,
	}
}

func (d *differ) block(s Step) { d.blocked = append(d.blocked, s) }

// stayOn keeps the load balancer that exists and, because names of target
// groups follow from its name, the target groups that fit.
func (d *differ) stayOn(have *LoadBalancer) {
	want := &d.want.LoadBalancer
	want.Name, want.Scheme, want.Type = have.Name, have.Scheme, have.Type
	if len(want.SubnetMappings)+len(have.SubnetMappings) > 0 {
		want.Subnets, want.SubnetMappings = have.Subnets, have.SubnetMappings
	}
	renamed := map[string]string{}
	d.want.TargetGroups = slices.Clone(d.want.TargetGroups)
	for i := range d.want.TargetGroups {
		g := &d.want.TargetGroups[i]
		if name := d.fitting(have, *g); name != "" {
			renamed[g.Name] = name
			g.Name = name
		}
	}
	d.want.Listeners = slices.Clone(d.want.Listeners)
	for i, l := range d.want.Listeners {
		if name, ok := renamed[l.TargetGroup]; ok {
			d.want.Listeners[i].TargetGroup = name
		}
		d.want.Listeners[i].Forward = slices.Clone(l.Forward)
		for j, f := range l.Forward {
			if name, ok := renamed[f.TargetGroup]; ok && !f.Foreign {
				d.want.Listeners[i].Forward[j].TargetGroup = name
			}
		}
	}
}

// fitting is the group on the load balancer that can become want in place.
func (d *differ) fitting(b *LoadBalancer, want lb.TargetGroup) string {
	for _, g := range d.have.TargetGroups {
		if g.Key == want.Key && g.Protocol == want.Protocol && g.TargetType == want.TargetType && g.IPAddressType == want.IPAddressType && b.uses(g.Name) {
			return g.Name
		}
	}
	return ""
}

func replacementReason(want lb.LoadBalancer, have *lb.LoadBalancer) string {
	switch {
	case want.Type != have.Type:
		return "the type cannot change from " + string(have.Type) + " to " + string(want.Type) + " in place"
	case want.Scheme != have.Scheme:
		return "the scheme cannot change from " + string(have.Scheme) + " to " + string(want.Scheme) + " in place"
	case want.NoSecurityGroups:
		return "security groups cannot be taken away in place"
	case have.NoSecurityGroups:
		return "a load balancer that was made without security groups can get none in place"
	case want.Name == have.Name:
		return "the addresses cannot change in place: no subnet could serve meanwhile"
	default:
		return "the name cannot change from " + have.Name + " to " + want.Name + " in place"
	}
}

func addressTypeDisruption(want lb.IPAddressType) Disruption {
	if want == lb.IPv4 {
		return Address
	}
	return None
}

func subnetDisruption(want, have []string) Disruption {
	if len(minus(have, want)) > 0 {
		return Address
	}
	return None
}
