package plan_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

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

// classicStacks draws what a Service may want of a Classic Load Balancer.
func classicStacks(t *rapid.T, label string, scheme lb.Scheme) lb.Stack {
	text := rapid.SampledFrom([]string{"a", "b"})
	s := lb.Stack{
		LoadBalancer: lb.LoadBalancer{
			Name: rapid.SampledFrom([]string{"chosen", "classic-" + string(scheme)}).Draw(t, label+"-name"), Type: lb.Classic, Scheme: scheme, IPAddressType: lb.IPv4,
			Subnets: rapid.SampledFrom([][]string{{"subnet-b"}, {"subnet-a", "subnet-b"}, {"subnet-a2", "subnet-b"}, {"subnet-a2", "subnet-b2"}, {"subnet-c"}}).Draw(t, label+"-subnets"),
			Tags:    rapid.MapOfN(text, text, 0, 2).Draw(t, label+"-tags"),
		},
		Backend:  rapid.Bool().Draw(t, label+"-backend"),
		Frontend: &lb.SecurityGroup{Name: "front"},
		Classic:  &lb.ClassicParts{HealthCheck: lb.HealthCheck{Protocol: lb.TCP, HealthyThreshold: rapid.IntRange(2, 3).Draw(t, label+"-threshold")}},
	}
	if rapid.Bool().Draw(t, label+"-draining") {
		s.LoadBalancer.Attributes = map[string]string{lb.ClassicDraining: "true"}
	}
	s.Classic.Instances = slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"i-1", "i-2", "i-3"}), 0, 3, rapid.ID).Draw(t, label+"-instances")))
	for i, port := range slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom([]uint16{80, 81, 443}), 1, 3, rapid.ID).Draw(t, label+"-ports"))) {
		addClassicPort(t, fmt.Sprint(label, "-", port), s.Classic, lb.ClassicListener{Port: port, InstancePort: uint16(30000 + i)})
	}
	slices.SortFunc(s.Classic.Policies, func(a, b lb.ClassicPolicy) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func addClassicPort(t *rapid.T, label string, c *lb.ClassicParts, l lb.ClassicListener) {
	pair := rapid.SampledFrom([][2]lb.Protocol{{lb.TCP, lb.TCP}, {lb.HTTP, lb.HTTP}, {lb.HTTPS, lb.HTTP}, {lb.SSL, lb.SSL}, {lb.SSL, lb.TCP}}).Draw(t, label+"-protocols")
	l.Protocol, l.InstanceProtocol = pair[0], pair[1]
	add := func(name string) {
		if !slices.ContainsFunc(c.Policies, func(p lb.ClassicPolicy) bool { return p.Name == name }) {
			c.Policies = append(c.Policies, lb.ClassicPolicy{Name: name, Type: "T"})
		}
	}
	if l.Protocol.Secure() {
		l.CertificateARN = rapid.SampledFrom([]string{"x", "y"}).Draw(t, label+"-certificate")
		l.Policies = []string{rapid.SampledFrom([]string{lb.DefaultSSLPolicy, "fairlead-new"}).Draw(t, label+"-policy")}
		add(l.Policies[0])
	}
	if !l.InstanceProtocol.Web() && rapid.Bool().Draw(t, label+"-proxy") {
		c.Backends = append(c.Backends, lb.ClassicBackend{InstancePort: l.InstancePort, Policies: []string{"fairlead-proxy-protocol"}})
		add("fairlead-proxy-protocol")
	}
	c.Listeners = append(c.Listeners, l)
}

// checkClassic looks at the model without Diff's help.
func checkClassic(t *rapid.T, m *model, want lb.Stack) {
	b := m.classics[want.LoadBalancer.Name]
	if len(m.classics) != 1 || b == nil || len(m.balancers) != 0 || len(m.groups) != 0 {
		t.Fatalf("wanted %+v, there is %+v", want, m.observe())
	}
	got := b.ClassicParts
	got.Policies = slices.DeleteFunc(slices.Clone(got.Policies), func(p lb.ClassicPolicy) bool { return !strings.HasPrefix(p.Name, "fairlead-") })
	parts := *want.Classic
	parts.Policies = slices.DeleteFunc(slices.Clone(parts.Policies), func(p lb.ClassicPolicy) bool { return !strings.HasPrefix(p.Name, "fairlead-") })
	if diff := gocmp.Diff(parts, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(lb.ClassicPolicy{}, "Type")); diff != "" {
		t.Fatalf("Classic Load Balancer (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(want.LoadBalancer.Subnets, b.Subnets); diff != "" || b.Scheme != want.LoadBalancer.Scheme {
		t.Fatalf("subnets (-want +got):\n%s", diff)
	}
}

// plain is the stack of the post's first Service.
func plain() lb.Stack {
	return lb.Stack{
		LoadBalancer: lb.LoadBalancer{Name: "fl-default-nginx-6", Type: lb.Classic, Scheme: lb.InternetFacing, IPAddressType: lb.IPv4, Subnets: []string{"subnet-a", "subnet-b"}},
		Frontend:     &lb.SecurityGroup{Name: "fl-default-nginx-2", Ingress: []lb.Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, Source: netip.MustParsePrefix("0.0.0.0/0")}}},
		Backend:      true,
		Classic: &lb.ClassicParts{
			Listeners:   []lb.ClassicListener{{Port: 80, Protocol: lb.TCP, InstancePort: 30080, InstanceProtocol: lb.TCP}},
			HealthCheck: lb.HealthCheck{Protocol: lb.TCP, Port: "30080", Interval: 10 * time.Second, Timeout: 5 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2},
			Instances:   []string{"i-1", "i-2"},
		},
	}
}

// secure is plain with everything that a Classic Load Balancer can have.
func secure() lb.Stack {
	s := plain()
	s.LoadBalancer.Attributes = map[string]string{lb.ClassicAccessLogs: "true", lb.ClassicAccessLogBucket: "logs"}
	s.Classic.Listeners = []lb.ClassicListener{
		{Port: 80, Protocol: lb.HTTP, InstancePort: 30080, InstanceProtocol: lb.HTTP},
		{Port: 443, Protocol: lb.SSL, InstancePort: 30443, InstanceProtocol: lb.TCP, CertificateARN: "arn:aws:acm:us-west-2:123456789012:certificate/shop", Policies: []string{"fairlead-ELBSecurityPolicy-TLS-1-2-2017-01"}},
	}
	s.Classic.Backends = []lb.ClassicBackend{{InstancePort: 30443, Policies: []string{"fairlead-proxy-protocol"}}}
	s.Classic.Policies = []lb.ClassicPolicy{
		{Name: "fairlead-ELBSecurityPolicy-TLS-1-2-2017-01", Type: lb.SSLNegotiationPolicyType, Attributes: []lb.ClassicAttribute{{Name: lb.PolicyReference, Value: "ELBSecurityPolicy-TLS-1-2-2017-01"}}},
		{Name: "fairlead-proxy-protocol", Type: lb.ProxyProtocolPolicyType, Attributes: []lb.ClassicAttribute{{Name: lb.PolicyProxyProtocol, Value: "true"}}},
	}
	return s
}

func TestClassicPlansForPeople(t *testing.T) {
	tests := map[string]struct {
		want lb.Stack
		have plan.Observed
		may  plan.Policy
	}{
		"classic-create":            {plain(), plan.Observed{}, plan.Policy{}},
		"classic-secure":            {secure(), built(plain()), plan.Policy{}},
		"classic-plain-again":       {plain(), built(secure()), plan.Policy{}},
		"classic-delete":            {lb.Stack{}, built(secure()), plan.Policy{}},
		"classic-to-network":        {post(), built(plain()), consent},
		"classic-waits-for-consent": {post(), built(plain()), plan.Policy{}},
		"network-to-classic":        {plain(), built(post()), consent},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			checkGolden(t, name, plan.Diff(tt.want, tt.have, tt.may))
		})
	}
}

func TestOneWrittenAttributeBringsItsGroup(t *testing.T) {
	p := plan.Diff(secure(), built(plain()), plan.Policy{})
	i := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Action == plan.ModifyLoadBalancerAttributes })
	want := map[string]string{lb.ClassicAccessLogs: "true", lb.ClassicAccessLogBucket: "logs", lb.ClassicAccessLogPrefix: "", lb.ClassicAccessLogInterval: "60"}
	if diff := gocmp.Diff(want, p.Steps[i].After.Map); diff != "" {
		t.Errorf("attributes written (-want +got):\n%s", diff)
	}
}
