package plan

import (
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// ClassicLoadBalancer is a Classic Load Balancer that exists; its name is all
// the ID that it has. Of its policies only the names are known: what a policy of
// ours says follows from its name.
type ClassicLoadBalancer struct {
	lb.LoadBalancer
	lb.ClassicParts
	DNSName string
}

// ClassicBalancer is the Classic Load Balancer of a name, or nil.
func (o *Observed) ClassicBalancer(name string) *ClassicLoadBalancer {
	i := slices.IndexFunc(o.Classic, func(b ClassicLoadBalancer) bool { return b.Name == name })
	if i < 0 {
		return nil
	}
	return &o.Classic[i]
}

// zone is the zone of a subnet; one that is not known stands for itself.
func (o *Observed) zone(subnet string) string {
	if z, ok := o.Zones[subnet]; ok {
		return z
	}
	return subnet
}

func (b *ClassicLoadBalancer) hasPolicy(name string) bool {
	return slices.ContainsFunc(b.Policies, func(p lb.ClassicPolicy) bool { return p.Name == name })
}

func (o *Observed) applyClassic(s Step, r Result) {
	switch s.Action {
	case CreateLoadBalancer:
		o.Classic = append(slices.Clone(o.Classic), createdClassic(s, r))
	case DeleteLoadBalancer:
		o.Classic = slices.DeleteFunc(slices.Clone(o.Classic), func(b ClassicLoadBalancer) bool { return b.Name == s.Resource.Name })
	default:
		o.Classic = slices.Clone(o.Classic)
		if b := o.ClassicBalancer(s.Resource.Name); b != nil {
			b.apply(s)
		}
	}
}

// createdClassic is a Classic Load Balancer right after it was created. Its
// health check is AWS's: it differs from any that is wanted.
func createdClassic(s Step, r Result) ClassicLoadBalancer {
	b := ClassicLoadBalancer{LoadBalancer: *s.After.LoadBalancer, DNSName: r.DNSName}
	b.addListeners(s.After.ClassicListeners)
	return b
}

// apply makes the change of a step but never changes maps and slices in place.
func (b *ClassicLoadBalancer) apply(s Step) {
	switch s.Action {
	case ModifyLoadBalancerAttributes:
		b.Attributes = merged(b.Attributes, s.After.Map)
	case AttachSubnets:
		b.Subnets = slices.Sorted(slices.Values(append(minus(b.Subnets, s.After.List), s.After.List...)))
	case DetachSubnets:
		b.Subnets = minus(b.Subnets, s.Before.List)
	case ApplySecurityGroups:
		b.SecurityGroups = s.After.List
	case ConfigureHealthCheck:
		b.HealthCheck = *s.After.HealthCheck
	case CreatePolicy:
		b.addPolicy(s.After.Policy.Name)
	case DeletePolicy:
		b.Policies = slices.DeleteFunc(slices.Clone(b.Policies), func(p lb.ClassicPolicy) bool { return p.Name == s.Before.Policy.Name })
	case SetBackendPolicies:
		b.setBackend(s.Resource.Port, s.After.List)
	case RegisterInstances:
		b.Instances = slices.Sorted(slices.Values(ids(append(minus(asTargets(b.Instances), s.After.Targets), s.After.Targets...))))
	case DeregisterInstances:
		b.Instances = ids(minus(asTargets(b.Instances), s.Before.Targets))
	case AddTags, RemoveTags:
		b.Tags = retagged(b.Tags, s)
	default:
		b.applyListeners(s)
	}
}

func (b *ClassicLoadBalancer) applyListeners(s Step) {
	b.Listeners = slices.Clone(b.Listeners)
	switch s.Action {
	case CreateListeners:
		b.addListeners(s.After.ClassicListeners)
	case DeleteListeners:
		b.Listeners = slices.DeleteFunc(b.Listeners, func(l lb.ClassicListener) bool { return listenerOn(s.Before.ClassicListeners, l.Port) != nil })
		b.Backends = slices.DeleteFunc(slices.Clone(b.Backends), func(backend lb.ClassicBackend) bool {
			return !slices.ContainsFunc(b.Listeners, func(l lb.ClassicListener) bool { return l.InstancePort == backend.InstancePort })
		})
	case SetCertificate:
		if l := listenerOn(b.Listeners, s.Resource.Port); l != nil {
			l.CertificateARN = s.After.Text
		}
	case SetListenerPolicies:
		if l := listenerOn(b.Listeners, s.Resource.Port); l != nil {
			l.Policies = s.After.List
		}
	}
}

// addListeners adds listeners as AWS does: those with a certificate get the
// default policy, which comes with the first of them.
func (b *ClassicLoadBalancer) addListeners(all []lb.ClassicListener) {
	b.Listeners = slices.Clone(b.Listeners)
	for _, l := range all {
		if l.Protocol.Secure() {
			l.Policies = []string{lb.DefaultSSLPolicy}
			b.addPolicy(lb.DefaultSSLPolicy)
		}
		b.Listeners = append(b.Listeners, l)
	}
	slices.SortFunc(b.Listeners, func(a, b lb.ClassicListener) int { return int(a.Port) - int(b.Port) })
}

func (b *ClassicLoadBalancer) addPolicy(name string) {
	if b.hasPolicy(name) {
		return
	}
	b.Policies = append(slices.Clone(b.Policies), lb.ClassicPolicy{Name: name})
	slices.SortFunc(b.Policies, func(a, b lb.ClassicPolicy) int { return strings.Compare(a.Name, b.Name) })
}

func (b *ClassicLoadBalancer) setBackend(port uint16, policies []string) {
	b.Backends = slices.DeleteFunc(slices.Clone(b.Backends), func(old lb.ClassicBackend) bool { return old.InstancePort == port })
	if len(policies) > 0 {
		b.Backends = append(b.Backends, lb.ClassicBackend{InstancePort: port, Policies: policies})
	}
	slices.SortFunc(b.Backends, func(a, b lb.ClassicBackend) int { return int(a.InstancePort) - int(b.InstancePort) })
}

func ids(targets []lb.Target) []string {
	out := make([]string, len(targets))
	for i, t := range targets {
		out[i] = t.ID
	}
	return out
}
