package plan_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// classic is a Classic Load Balancer of the model. It refuses what AWS refuses.
type classic struct {
	lb.LoadBalancer
	lb.ClassicParts
}

func (m *model) doClassic(s plan.Step) error {
	b := m.classics[s.Resource.Name]
	if s.Action == plan.CreateLoadBalancer {
		if b != nil || len(s.After.ClassicListeners) == 0 {
			return fmt.Errorf("DuplicateLoadBalancerName or no listeners: %s", s.Resource.Name)
		}
		b = &classic{LoadBalancer: *s.After.LoadBalancer}
		m.classics[s.Resource.Name] = b
		return errors.Join(m.known(b.SecurityGroups), b.listen(s.After.ClassicListeners))
	}
	if b == nil {
		return fmt.Errorf("LoadBalancerNotFound %s", s.Resource.Name)
	}
	switch s.Action {
	case plan.DeleteLoadBalancer:
		delete(m.classics, s.Resource.Name)
	case plan.ApplySecurityGroups:
		b.SecurityGroups = s.After.List
		return m.known(s.After.List)
	case plan.AwaitHealthy:
		if len(b.Instances) == 0 {
			return fmt.Errorf("load balancer %s never becomes healthy", b.Name)
		}
	case plan.PublishHostname:
	default:
		return b.do(s)
	}
	return nil
}

func (b *classic) do(s plan.Step) error {
	switch s.Action {
	case plan.AttachSubnets:
		b.Subnets = slices.Sorted(slices.Values(slices.Concat(b.Subnets, s.After.List)))
		zone := func(id string) string { return id[:len("subnet-a")] }
		for i := range b.Subnets[1:] {
			if zone(b.Subnets[i]) == zone(b.Subnets[i+1]) {
				return fmt.Errorf("InvalidConfigurationRequest: two subnets of a zone: %v", b.Subnets)
			}
		}
	case plan.DetachSubnets:
		if b.Subnets = slices.DeleteFunc(slices.Clone(b.Subnets), func(id string) bool { return slices.Contains(s.Before.List, id) }); len(b.Subnets) == 0 {
			return fmt.Errorf("InvalidConfigurationRequest: no subnets")
		}
	case plan.ModifyLoadBalancerAttributes:
		b.Attributes = overlay(b.Attributes, s.After.Map)
	case plan.ConfigureHealthCheck:
		b.HealthCheck = *s.After.HealthCheck
	case plan.RegisterInstances:
		for _, t := range s.After.Targets {
			b.Instances = append(b.Instances, t.ID)
		}
		slices.Sort(b.Instances)
	case plan.DeregisterInstances:
		b.Instances = slices.DeleteFunc(slices.Clone(b.Instances), func(id string) bool { return slices.Contains(s.Before.Targets, lb.Target{ID: id}) })
	case plan.AddTags:
		b.Tags = overlay(b.Tags, s.After.Map)
	case plan.RemoveTags:
		b.Tags = without(b.Tags, s.Before.List)
	case plan.CreateListeners:
		return b.listen(s.After.ClassicListeners)
	case plan.DeleteListeners:
		b.unlisten(s.Before.ClassicListeners)
	default:
		return b.doPolicy(s)
	}
	return nil
}

func (b *classic) listen(all []lb.ClassicListener) error {
	for _, l := range all {
		for _, other := range b.Listeners {
			if other.Port == l.Port || other.InstancePort == l.InstancePort && other.InstanceProtocol.Secure() != l.InstanceProtocol.Secure() {
				return fmt.Errorf("listeners %+v and %+v exclude each other", other, l)
			}
		}
		switch {
		case l.Protocol.Secure() != (l.CertificateARN != ""), l.Protocol.Web() != l.InstanceProtocol.Web(), len(l.Policies) > 0:
			return fmt.Errorf("ValidationError: listener %+v", l)
		case l.Protocol.Secure():
			l.Policies = []string{lb.DefaultSSLPolicy}
			b.know(lb.DefaultSSLPolicy)
		}
		b.Listeners = append(slices.Clone(b.Listeners), l)
	}
	slices.SortFunc(b.Listeners, func(a, b lb.ClassicListener) int { return cmp.Compare(a.Port, b.Port) })
	return nil
}

func (b *classic) unlisten(gone []lb.ClassicListener) {
	b.Listeners = slices.DeleteFunc(slices.Clone(b.Listeners), func(l lb.ClassicListener) bool {
		return slices.ContainsFunc(gone, func(g lb.ClassicListener) bool { return g.Port == l.Port })
	})
	b.Backends = slices.DeleteFunc(slices.Clone(b.Backends), func(backend lb.ClassicBackend) bool { return !b.sendsTo(backend.InstancePort) })
}

func (b *classic) sendsTo(port uint16) bool {
	return slices.ContainsFunc(b.Listeners, func(l lb.ClassicListener) bool { return l.InstancePort == port })
}

func (b *classic) know(policy string) {
	if b.knows(policy) {
		return
	}
	b.Policies = append(slices.Clone(b.Policies), lb.ClassicPolicy{Name: policy})
	slices.SortFunc(b.Policies, func(a, b lb.ClassicPolicy) int { return strings.Compare(a.Name, b.Name) })
}

func (b *classic) knows(policies ...string) bool {
	for _, name := range policies {
		if !slices.ContainsFunc(b.Policies, func(p lb.ClassicPolicy) bool { return p.Name == name }) {
			return false
		}
	}
	return true
}

func (b *classic) doPolicy(s plan.Step) error {
	listener := slices.IndexFunc(b.Listeners, func(l lb.ClassicListener) bool { return l.Port == s.Resource.Port })
	b.Listeners = slices.Clone(b.Listeners)
	switch s.Action {
	case plan.CreatePolicy:
		if b.knows(s.After.Policy.Name) {
			return fmt.Errorf("DuplicatePolicyName %s", s.After.Policy.Name)
		}
		b.know(s.After.Policy.Name)
	case plan.DeletePolicy:
		name := s.Before.Policy.Name
		used := slices.ContainsFunc(b.Listeners, func(l lb.ClassicListener) bool { return slices.Contains(l.Policies, name) }) ||
			slices.ContainsFunc(b.Backends, func(l lb.ClassicBackend) bool { return slices.Contains(l.Policies, name) })
		if used || !b.knows(name) {
			return fmt.Errorf("policy %s, used: %t", name, used)
		}
		b.Policies = slices.DeleteFunc(slices.Clone(b.Policies), func(p lb.ClassicPolicy) bool { return p.Name == name })
	case plan.SetCertificate:
		if listener < 0 || !b.Listeners[listener].Protocol.Secure() || s.After.Text == "" {
			return fmt.Errorf("no secure listener on port %d", s.Resource.Port)
		}
		b.Listeners[listener].CertificateARN = s.After.Text
	case plan.SetListenerPolicies:
		if listener < 0 || !b.knows(s.After.List...) || !b.Listeners[listener].Protocol.Secure() {
			return fmt.Errorf("policies %v of port %d", s.After.List, s.Resource.Port)
		}
		b.Listeners[listener].Policies = s.After.List
	case plan.SetBackendPolicies:
		return b.setBackend(s.Resource.Port, s.After.List)
	default:
		return fmt.Errorf("no such action: %s", s)
	}
	return nil
}

func (b *classic) setBackend(port uint16, policies []string) error {
	b.Backends = slices.DeleteFunc(slices.Clone(b.Backends), func(o lb.ClassicBackend) bool { return o.InstancePort == port })
	if len(policies) == 0 {
		return nil
	}
	if !b.knows(policies...) || !b.sendsTo(port) {
		return fmt.Errorf("policies %v of instance port %d", policies, port)
	}
	b.Backends = append(b.Backends, lb.ClassicBackend{InstancePort: port, Policies: policies})
	slices.SortFunc(b.Backends, func(a, b lb.ClassicBackend) int { return cmp.Compare(a.InstancePort, b.InstancePort) })
	return nil
}

func (b *classic) observe() plan.ClassicLoadBalancer {
	return plan.ClassicLoadBalancer{LoadBalancer: b.LoadBalancer, ClassicParts: b.ClassicParts}
}
