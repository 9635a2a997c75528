package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Security groups of a load balancer that are ours stand in Observed and in
// plans under these names, so that no plan depends on an ID.
const (
	RefFrontend = "@frontend"
	RefBackend  = "@backend"
	// RefNodes are the nodes' groups: steps about it concern all of them.
	RefNodes = "@nodes"
)

// Observed is what there is of one Service's resources. Attributes and tags in
// it are those that concern us.
type Observed struct {
	LoadBalancers []LoadBalancer // one; two while one replaces the other
	Classic       []ClassicLoadBalancer
	// Zones are those of subnets, where they are known: a Classic Load Balancer
	// has one subnet in each.
	Zones        map[string]string
	TargetGroups []TargetGroup
	Frontends    []SecurityGroup // the Service's own, by name
	NodeRules    []lb.Rule       // in the nodes' groups, for this Service
}

// LoadBalancer is a load balancer that exists.
type LoadBalancer struct {
	lb.LoadBalancer
	ARN       string
	DNSName   string
	Listeners []Listener
}

// Listener is a listener and where it forwards to: all groups that the Service
// asks for, and more while one replaces another.
type Listener struct {
	ARN        string            `json:"arn,omitempty"`
	Port       uint16            `json:"port"`
	Protocol   lb.Protocol       `json:"protocol"`
	Forward    []Forward         `json:"forward"`
	Stickiness bool              `json:"stickiness,omitempty"`
	Security   lb.Security       `json:"security,omitzero"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// TargetGroup is a target group that exists.
type TargetGroup struct {
	lb.TargetGroup
	ARN string
}

// SecurityGroup is a security group that exists.
type SecurityGroup struct {
	lb.SecurityGroup
	ID      string
	Foreign []lb.Rule // rules of others: they stay, and need room
}

// Empty says that nothing exists.
func (o Observed) Empty() bool {
	return len(o.LoadBalancers) == 0 && len(o.Classic) == 0 && len(o.TargetGroups) == 0 && len(o.Frontends) == 0 && len(o.NodeRules) == 0
}

// Balancer is the load balancer of a name, or nil.
func (o *Observed) Balancer(name string) *LoadBalancer {
	i := slices.IndexFunc(o.LoadBalancers, func(b LoadBalancer) bool { return b.Name == name })
	if i < 0 {
		return nil
	}
	return &o.LoadBalancers[i]
}

// Group is the target group of a name, or nil.
func (o *Observed) Group(name string) *TargetGroup {
	i := slices.IndexFunc(o.TargetGroups, func(g TargetGroup) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &o.TargetGroups[i]
}

// Frontend is the Service's security group of a name, or nil.
func (o *Observed) Frontend(name string) *SecurityGroup {
	i := slices.IndexFunc(o.Frontends, func(g SecurityGroup) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &o.Frontends[i]
}

// Listener is the listener of a port, or nil.
func (b *LoadBalancer) Listener(port uint16) *Listener {
	i := slices.IndexFunc(b.Listeners, func(l Listener) bool { return l.Port == port })
	if i < 0 {
		return nil
	}
	return &b.Listeners[i]
}

// main is the group that gets most of a listener's new connections.
func (l *Listener) main() Forward {
	best := Forward{Weight: -1}
	for _, f := range l.Forward {
		if f.Weight > best.Weight {
			best = f
		}
	}
	return best
}

// Result is what AWS answered to a create.
type Result struct {
	ARN     string
	DNSName string
	ID      string
}

// Apply makes the change of a step that was done. It never changes maps and
// slices in place: others may hold them.
func (o *Observed) Apply(s Step, r Result) {
	switch s.Resource.Kind {
	case KindLoadBalancer:
		o.applyBalancer(s, r)
	case KindClassic:
		o.applyClassic(s, r)
	case KindTargetGroup:
		o.applyGroup(s, r)
	case KindListener:
		if b := o.Balancer(s.Resource.Name); b != nil {
			b.applyListener(s, r)
		}
	case KindSecurityGroup:
		o.applySecurityGroup(s, r)
	}
}

func (o *Observed) applyBalancer(s Step, r Result) {
	if s.Action == CreateLoadBalancer {
		o.LoadBalancers = append(slices.Clone(o.LoadBalancers), LoadBalancer{LoadBalancer: *s.After.LoadBalancer, ARN: r.ARN, DNSName: r.DNSName})
		return
	}
	b := o.Balancer(s.Resource.Name)
	if b == nil {
		return
	}
	switch s.Action {
	case DeleteLoadBalancer:
		o.LoadBalancers = slices.DeleteFunc(slices.Clone(o.LoadBalancers), func(b LoadBalancer) bool { return b.Name == s.Resource.Name })
	case ModifyLoadBalancerAttributes:
		b.Attributes = merged(b.Attributes, s.After.Map)
	case SetSubnets:
		s.After.place(&b.LoadBalancer)
	case ModifyCapacityReservation:
		b.CapacityUnits = s.After.CapacityUnits
	case SetSecurityGroups:
		b.SecurityGroups, b.PrivateLinkUnfiltered = s.After.List, s.After.PrivateLinkUnfiltered
	case SetIPAddressType:
		setAddressType(&b.LoadBalancer, lb.IPAddressType(s.After.Text))
	case AddTags, RemoveTags:
		b.Tags = retagged(b.Tags, s)
	}
}

func (o *Observed) applyGroup(s Step, r Result) {
	if s.Action == CreateTargetGroup {
		g := *s.After.TargetGroup
		g.Targets = nil
		o.TargetGroups = append(slices.Clone(o.TargetGroups), TargetGroup{TargetGroup: g, ARN: r.ARN})
		return
	}
	g := o.Group(s.Resource.Name)
	if g == nil {
		return
	}
	switch s.Action {
	case DeleteTargetGroup:
		o.TargetGroups = slices.DeleteFunc(slices.Clone(o.TargetGroups), func(g TargetGroup) bool { return g.Name == s.Resource.Name })
	case ModifyTargetGroup:
		g.HealthCheck = *s.After.HealthCheck
	case ModifyTargetGroupAttributes:
		g.Attributes = merged(g.Attributes, s.After.Map)
	case RegisterTargets:
		g.Targets = append(minus(g.Targets, s.After.Targets), s.After.Targets...)
	case DeregisterTargets:
		g.Targets = minus(g.Targets, s.Before.Targets)
	case AddTags, RemoveTags:
		g.Tags = retagged(g.Tags, s)
	}
}

func (b *LoadBalancer) applyListener(s Step, r Result) {
	if s.Action == CreateListener {
		l := *s.After.Listener
		l.ARN = r.ARN
		b.Listeners = append(slices.Clone(b.Listeners), l)
		return
	}
	b.Listeners = slices.Clone(b.Listeners)
	l := b.Listener(s.Resource.Port)
	if l == nil {
		return
	}
	switch s.Action {
	case DeleteListener:
		b.Listeners = slices.DeleteFunc(b.Listeners, func(l Listener) bool { return l.Port == s.Resource.Port })
	case ModifyListener:
		further := further(l.Security)
		next := s.After.Listener
		l.Protocol, l.Forward, l.Stickiness, l.Security = next.Protocol, next.Forward, next.Stickiness, next.Security
		if l.Protocol == lb.TLS {
			l.Security.Certificates = append(slices.Clone(l.Security.Certificates), further...)
		}
	case AddListenerCertificates:
		l.Security.Certificates = append(slices.Clone(l.Security.Certificates), s.After.List...)
	case RemoveListenerCertificates:
		l.Security.Certificates = append(l.Security.Certificates[:1:1], minus(further(l.Security), s.Before.List)...)
	case ModifyListenerAttributes:
		l.Attributes = merged(l.Attributes, s.After.Map)
	case AddTags, RemoveTags:
		l.Tags = retagged(l.Tags, s)
	}
}

func (o *Observed) applySecurityGroup(s Step, r Result) {
	if s.Resource.Name == RefNodes {
		o.NodeRules = minus(append(minus(o.NodeRules, s.After.Rules), s.After.Rules...), s.Before.Rules)
		return
	}
	o.Frontends = slices.Clone(o.Frontends)
	switch s.Action {
	case CreateSecurityGroup:
		g := *s.After.SecurityGroup
		g.Ingress = nil
		o.Frontends = append(o.Frontends, SecurityGroup{SecurityGroup: g, ID: r.ID})
		return
	case DeleteSecurityGroup:
		o.Frontends = slices.DeleteFunc(o.Frontends, func(g SecurityGroup) bool { return g.Name == s.Resource.Name })
	}
	g := o.Frontend(s.Resource.Name)
	if g == nil {
		return
	}
	switch s.Action {
	case AuthorizeIngress:
		g.Ingress = append(minus(g.Ingress, s.After.Rules), s.After.Rules...)
	case RevokeIngress:
		g.Ingress = minus(g.Ingress, s.Before.Rules)
	case CreateTags, DeleteTags:
		g.Tags = retagged(g.Tags, s)
	}
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, b)
	return out
}

func retagged(tags map[string]string, s Step) map[string]string {
	if s.Action == AddTags || s.Action == CreateTags {
		return merged(tags, s.After.Map)
	}
	out := maps.Clone(tags)
	for _, k := range s.Before.List {
		delete(out, k)
	}
	return out
}

// minus is a without what is in b.
func minus[T comparable](a, b []T) []T {
	drop := make(map[T]bool, len(b))
	for _, v := range b {
		drop[v] = true
	}
	var out []T
	for _, v := range a {
		if !drop[v] {
			out = append(out, v)
		}
	}
	return out
}

// KeyOf is the key that a target group's resource tag holds.
func KeyOf(resourceTag string) string { return strings.TrimPrefix(resourceTag, "target-group/") }

// Built is what there is once the stack has been made.
func Built(want lb.Stack) Observed {
	var o Observed
	for _, s := range Diff(want, o, Policy{}).Steps {
		o.Apply(s, Result{})
	}
	return o
}
