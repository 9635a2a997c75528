package plan_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// model is AWS as far as the order of calls matters: it refuses what AWS
// refuses, and a listener on a group without healthy targets is an outage.
type model struct {
	balancers map[string]*balancer
	classics  map[string]*classic
	groups    map[string]*group
	frontends map[string]*lb.SecurityGroup
	nodes     map[lb.Rule]bool
	probed    map[string]bool // groups that a listener uses or used
}

type balancer struct {
	lb.LoadBalancer
	listeners map[uint16]plan.Listener
}

type group struct{ lb.TargetGroup }

func newModel() *model {
	return &model{balancers: map[string]*balancer{}, classics: map[string]*classic{}, groups: map[string]*group{}, frontends: map[string]*lb.SecurityGroup{}, nodes: map[lb.Rule]bool{}, probed: map[string]bool{}}
}

// do executes a step as AWS would; it keeps nothing of what it is given but values.
func (m *model) do(s plan.Step) error {
	switch s.Resource.Kind {
	case plan.KindLoadBalancer:
		return m.doBalancer(s)
	case plan.KindClassic:
		return m.doClassic(s)
	case plan.KindTargetGroup:
		return m.doGroup(s)
	case plan.KindListener:
		return m.doListener(s)
	default:
		return m.doSecurityGroup(s)
	}
}

func (m *model) doBalancer(s plan.Step) error {
	b := m.balancers[s.Resource.Name]
	if s.Action == plan.CreateLoadBalancer {
		if b != nil {
			return fmt.Errorf("DuplicateLoadBalancerName %s", s.Resource.Name)
		}
		m.balancers[s.Resource.Name] = &balancer{LoadBalancer: *s.After.LoadBalancer, listeners: map[uint16]plan.Listener{}}
		return errors.Join(m.known(s.After.LoadBalancer.SecurityGroups), m.heldOnce())
	}
	if b == nil {
		return fmt.Errorf("LoadBalancerNotFound %s", s.Resource.Name)
	}
	switch s.Action {
	case plan.DeleteLoadBalancer:
		delete(m.balancers, s.Resource.Name)
	case plan.ModifyLoadBalancerAttributes:
		b.Attributes = overlay(b.Attributes, s.After.Map)
	case plan.SetSubnets:
		return m.setSubnets(b, s.After)
	case plan.ModifyCapacityReservation:
		b.CapacityUnits = s.After.CapacityUnits
	case plan.SetSecurityGroups:
		if b.NoSecurityGroups || len(s.After.List) == 0 {
			return fmt.Errorf("InvalidConfigurationRequest: security groups %v of %s", s.After.List, b.Name)
		}
		b.SecurityGroups, b.PrivateLinkUnfiltered = s.After.List, s.After.PrivateLinkUnfiltered
		return m.known(s.After.List)
	case plan.SetIPAddressType:
		if b.IPAddressType = lb.IPAddressType(s.After.Text); b.IPAddressType == lb.IPv4 {
			if b.IPv6SourceNAT == lb.On {
				return fmt.Errorf("InvalidConfigurationRequest: source NAT prefixes on ipv4")
			}
			b.SubnetMappings = noIPv6(b.SubnetMappings)
		}
	case plan.AddTags:
		b.Tags = overlay(b.Tags, s.After.Map)
	case plan.RemoveTags:
		b.Tags = without(b.Tags, s.Before.List)
	}
	return nil
}

// setSubnets refuses what AWS refuses: other addresses for a subnet that the
// load balancer is in, and addresses that another one has.
func (m *model) setSubnets(b *balancer, v plan.Value) error {
	was := b.LoadBalancer
	b.Subnets, b.SubnetMappings, b.IPAddressType = v.List, v.Mappings, v.IPAddressType
	if v.IPv6SourceNAT != "" {
		b.IPv6SourceNAT = v.IPv6SourceNAT
	}
	if b.IPAddressType == lb.IPv4 && b.IPv6SourceNAT == lb.On {
		return fmt.Errorf("InvalidConfigurationRequest: source NAT prefixes on ipv4")
	}
	for _, id := range v.List {
		old, now := was.Mapping(id), b.Mapping(id)
		if was.IPAddressType == lb.IPv4 {
			old.IPv6Address = now.IPv6Address
		}
		if slices.Contains(was.Subnets, id) && old != now {
			return fmt.Errorf("InvalidConfigurationRequest: addresses of %s from %v to %v", id, old, now)
		}
	}
	if len(v.List) == 0 {
		return fmt.Errorf("ValidationError: no subnets")
	}
	return m.heldOnce()
}

// heldOnce says that no Elastic IP address is in two places.
func (m *model) heldOnce() error {
	holders := map[string]int{}
	for _, b := range m.balancers {
		for _, s := range b.SubnetMappings {
			if holders[s.AllocationID]++; s.AllocationID != "" && holders[s.AllocationID] > 1 {
				return fmt.Errorf("ResourceInUse: %s", s.AllocationID)
			}
		}
	}
	return nil
}

func noIPv6(all []lb.SubnetMapping) (out []lb.SubnetMapping) {
	for _, s := range all {
		if s.IPv6Address = (netip.Addr{}); s != (lb.SubnetMapping{SubnetID: s.SubnetID}) {
			out = append(out, s)
		}
	}
	return out
}

func (m *model) known(groups []string) error {
	for _, ref := range groups {
		if suffix, ours := strings.CutPrefix(ref, plan.RefFrontend); ours && m.frontends[front+suffix] == nil {
			return fmt.Errorf("InvalidSecurityGroup: %s", ref)
		}
	}
	return nil
}

// front is the name of the first group.
const front = "front"

// foreign is a group that is not the Service's own: it is only looked at.
const foreign = "arn:foreign"

func (m *model) doGroup(s plan.Step) error {
	if s.Resource.Name == foreign {
		if m.probed[foreign] = true; s.Action != plan.AwaitHealthy || len(m.usedBy(foreign)) == 0 {
			return fmt.Errorf("%s of a foreign group, used by %v", s.Action, m.usedBy(foreign))
		}
		return nil
	}
	g := m.groups[s.Resource.Name]
	if s.Action == plan.CreateTargetGroup {
		if g != nil {
			return fmt.Errorf("DuplicateTargetGroupName %s", s.Resource.Name)
		}
		m.groups[s.Resource.Name] = &group{*s.After.TargetGroup}
		return nil
	}
	if g == nil {
		return fmt.Errorf("TargetGroupNotFound %s", s.Resource.Name)
	}
	switch s.Action {
	case plan.DeleteTargetGroup:
		if users := m.usedBy(g.Name); users != nil {
			return fmt.Errorf("ResourceInUse %s by %v", g.Name, users)
		}
		delete(m.groups, g.Name)
	case plan.ModifyTargetGroup:
		g.HealthCheck = *s.After.HealthCheck
	case plan.ModifyTargetGroupAttributes:
		g.Attributes = overlay(g.Attributes, s.After.Map)
	case plan.RegisterTargets:
		g.Targets = append(slices.Clone(g.Targets), s.After.Targets...)
	case plan.DeregisterTargets:
		g.Targets = slices.DeleteFunc(slices.Clone(g.Targets), func(t lb.Target) bool { return slices.Contains(s.Before.Targets, t) })
	case plan.AwaitHealthy:
		if len(m.usedBy(g.Name)) == 0 || len(g.Targets) == 0 {
			return fmt.Errorf("target group %s never becomes healthy: used by %v, %d targets", g.Name, m.usedBy(g.Name), len(g.Targets))
		}
		m.probed[g.Name] = true
	case plan.AddTags:
		g.Tags = overlay(g.Tags, s.After.Map)
	case plan.RemoveTags:
		g.Tags = without(g.Tags, s.Before.List)
	}
	return nil
}

func (m *model) doSecurityGroup(s plan.Step) error {
	if s.Resource.Name == plan.RefNodes {
		for _, r := range s.After.Rules {
			m.nodes[r] = true
		}
		for _, r := range s.Before.Rules {
			delete(m.nodes, r)
		}
		return nil
	}
	g := m.frontends[s.Resource.Name]
	if exists := g != nil; exists != (s.Action != plan.CreateSecurityGroup) {
		return fmt.Errorf("%s, exists: %t", s.Action, exists)
	}
	switch s.Action {
	case plan.CreateSecurityGroup:
		g := *s.After.SecurityGroup
		g.Ingress = nil
		m.frontends[g.Name] = &g
	case plan.DeleteSecurityGroup:
		if err := m.unattached(plan.FrontendRef(front, g.Name)); err != nil {
			return err
		}
		delete(m.frontends, g.Name)
	case plan.AuthorizeIngress:
		if g.Ingress = slices.Concat(g.Ingress, s.After.Rules); len(g.Ingress) > plan.MaxRules {
			return fmt.Errorf("RulesPerSecurityGroupLimitExceeded: %s", g.Name)
		}
	case plan.RevokeIngress:
		g.Ingress = slices.DeleteFunc(slices.Clone(g.Ingress), func(r lb.Rule) bool { return slices.Contains(s.Before.Rules, r) })
	case plan.CreateTags:
		g.Tags = overlay(g.Tags, s.After.Map)
	case plan.DeleteTags:
		g.Tags = without(g.Tags, s.Before.List)
	}
	return nil
}

func (m *model) unattached(ref string) error {
	for _, b := range m.balancers {
		if slices.Contains(b.SecurityGroups, ref) {
			return fmt.Errorf("DependencyViolation: %s", b.Name)
		}
	}
	for _, b := range m.classics {
		if slices.Contains(b.SecurityGroups, ref) {
			return fmt.Errorf("DependencyViolation: %s", b.Name)
		}
	}
	return nil
}

// observe is what describing everything would tell.
func (m *model) observe() plan.Observed {
	o := plan.Observed{Zones: map[string]string{"subnet-a": "a", "subnet-a2": "a", "subnet-b": "b", "subnet-b2": "b", "subnet-c": "c"}}
	for _, name := range slices.Sorted(maps.Keys(m.balancers)) {
		b := plan.LoadBalancer{LoadBalancer: m.balancers[name].LoadBalancer}
		for _, port := range slices.Sorted(maps.Keys(m.balancers[name].listeners)) {
			b.Listeners = append(b.Listeners, m.balancers[name].listeners[port])
		}
		o.LoadBalancers = append(o.LoadBalancers, b)
	}
	for _, name := range slices.Sorted(maps.Keys(m.classics)) {
		o.Classic = append(o.Classic, m.classics[name].observe())
	}
	for _, name := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[name].TargetGroup
		g.Targets = slices.SortedFunc(slices.Values(g.Targets), func(a, b lb.Target) int { return strings.Compare(a.ID, b.ID) })
		o.TargetGroups = append(o.TargetGroups, plan.TargetGroup{TargetGroup: g})
	}
	o.NodeRules = slices.Collect(maps.Keys(m.nodes))
	for _, name := range slices.Sorted(maps.Keys(m.frontends)) {
		o.Frontends = append(o.Frontends, plan.SecurityGroup{SecurityGroup: *m.frontends[name]})
	}
	return o
}

func overlay(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, b)
	return out
}

func without(a map[string]string, keys []string) map[string]string {
	out := maps.Clone(a)
	for _, k := range keys {
		delete(out, k)
	}
	return out
}
