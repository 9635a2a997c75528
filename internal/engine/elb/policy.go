package elb

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

var policyNamePattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

const maxPolicyName = 128 // characters

func policyOf(b state.ClassicLoadBalancer, name string) (lb.ClassicPolicy, bool) {
	i := slices.IndexFunc(b.Policies, func(p lb.ClassicPolicy) bool { return p.Name == name })
	if i < 0 {
		return lb.ClassicPolicy{}, false
	}
	return b.Policies[i], true
}

func addPolicy(b *state.ClassicLoadBalancer, p lb.ClassicPolicy) {
	b.Policies = append(slices.Clone(b.Policies), p)
	slices.SortFunc(b.Policies, func(a, b lb.ClassicPolicy) int { return strings.Compare(a.Name, b.Name) })
}

// putPolicy is what the three actions that create a policy share.
func (s *Service) putPolicy(ctx context.Context, action string, balancer *string, p lb.ClassicPolicy) error {
	keys := balancing.Conditions{}
	for _, a := range p.Attributes {
		if a.Name == lb.PolicyReference {
			keys[balancing.KeyPrefix+"SecurityPolicy"] = []string{a.Value}
		}
	}
	_, err := s.edit(ctx, balancing.Action{Name: action, Keys: keys}, balancer, func(_ *store.Tx, b *state.ClassicLoadBalancer) error {
		t, err := typeOf(p.Type)
		if err != nil {
			return err
		}
		if len(p.Name) > maxPolicyName || !policyNamePattern.MatchString(p.Name) {
			return invalid("Policy name '%s' must have 1 to 128 characters that are alphanumeric characters or hyphens(-)", p.Name)
		}
		if _, exists := policyOf(*b, p.Name); exists {
			return wire.Errorf("DuplicatePolicyName", "Policy with name '%s' already exists for load balancer '%s'", p.Name, b.Name)
		}
		if len(b.Policies) >= s.Quotas.Policies {
			return balancing.TooMany("TooManyPolicies", "policies for a load balancer", s.Quotas.Policies)
		}
		if err := t.check(*b, p.Attributes); err != nil {
			return err
		}
		if p.Type == lb.SSLNegotiationPolicyType {
			if p.Attributes, err = expandSSL(p.Attributes); err != nil {
				return err
			}
		}
		addPolicy(b, p)
		return nil
	})
	return err
}

func (s *Service) createPolicy(ctx context.Context, in *elb.CreateLoadBalancerPolicyInput) (*elb.CreateLoadBalancerPolicyOutput, error) {
	return &elb.CreateLoadBalancerPolicyOutput{}, s.putPolicy(ctx, "CreateLoadBalancerPolicy", in.LoadBalancerName, lb.ClassicPolicy{
		Name: *in.PolicyName, Type: *in.PolicyTypeName,
		Attributes: balancing.Convert(in.PolicyAttributes, func(a types.PolicyAttribute) lb.ClassicAttribute {
			return lb.ClassicAttribute{Name: aws.ToString(a.AttributeName), Value: aws.ToString(a.AttributeValue)}
		}),
	})
}

func (s *Service) createAppCookiePolicy(ctx context.Context, in *elb.CreateAppCookieStickinessPolicyInput) (*elb.CreateAppCookieStickinessPolicyOutput, error) {
	return &elb.CreateAppCookieStickinessPolicyOutput{}, s.putPolicy(ctx, "CreateAppCookieStickinessPolicy", in.LoadBalancerName, lb.ClassicPolicy{
		Name: *in.PolicyName, Type: lb.AppCookieStickinessPolicyType, Attributes: []lb.ClassicAttribute{{Name: lb.PolicyCookieName, Value: *in.CookieName}},
	})
}

func (s *Service) createLBCookiePolicy(ctx context.Context, in *elb.CreateLBCookieStickinessPolicyInput) (*elb.CreateLBCookieStickinessPolicyOutput, error) {
	p := lb.ClassicPolicy{Name: *in.PolicyName, Type: lb.LBCookieStickinessPolicyType}
	if in.CookieExpirationPeriod != nil {
		p.Attributes = []lb.ClassicAttribute{{Name: lb.PolicyCookieExpiration, Value: strconv.FormatInt(*in.CookieExpirationPeriod, 10)}}
	}
	return &elb.CreateLBCookieStickinessPolicyOutput{}, s.putPolicy(ctx, "CreateLBCookieStickinessPolicy", in.LoadBalancerName, p)
}

// deletePolicy deletes a policy that nothing uses; an absent one is fine.
func (s *Service) deletePolicy(ctx context.Context, in *elb.DeleteLoadBalancerPolicyInput) (*elb.DeleteLoadBalancerPolicyOutput, error) {
	_, err := s.edit(ctx, balancing.Action{Name: "DeleteLoadBalancerPolicy"}, in.LoadBalancerName, func(_ *store.Tx, b *state.ClassicLoadBalancer) error {
		if user, used := policyUser(*b, *in.PolicyName); used {
			return conflict("The policy '%s' cannot be deleted: %s uses it", *in.PolicyName, user)
		}
		b.Policies = slices.DeleteFunc(slices.Clone(b.Policies), func(p lb.ClassicPolicy) bool { return p.Name == *in.PolicyName })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elb.DeleteLoadBalancerPolicyOutput{}, nil
}

// policyUser tells what uses a policy.
func policyUser(b state.ClassicLoadBalancer, name string) (string, bool) {
	for _, l := range b.Listeners {
		if slices.Contains(l.Policies, name) {
			return "the listener on port " + strconv.Itoa(int(l.Port)), true
		}
	}
	for _, backend := range b.Backends {
		if slices.Contains(backend.Policies, name) {
			return "the instance port " + strconv.Itoa(int(backend.InstancePort)), true
		}
	}
	for _, p := range b.Policies {
		if slices.Contains(p.Attributes, lb.ClassicAttribute{Name: lb.PolicyPublicKeyName, Value: name}) {
			return "the policy '" + p.Name + "'", true
		}
	}
	return "", false
}

// describePolicies shows the policies of a load balancer, or without one AWS's
// samples.
func (s *Service) describePolicies(ctx context.Context, in *elb.DescribeLoadBalancerPoliciesInput) (*elb.DescribeLoadBalancerPoliciesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeLoadBalancerPolicies"); err != nil {
		return nil, err
	}
	all := balancing.Convert(samples, sample.policy)
	absent := func(name string) error {
		return wire.Errorf("PolicyNotFound", "There is no policy with name '%s'", name)
	}
	if in.LoadBalancerName != nil {
		b, err := s.balancer(s.DB.Current(), in.LoadBalancerName)
		if err != nil {
			return nil, err
		}
		all = b.Policies
		absent = func(name string) error { return policyNotFound(name, b.Name) }
	}
	if len(in.PolicyNames) > 0 {
		byName := state.ClassicLoadBalancer{Policies: all}
		all = nil
		for _, name := range balancing.Distinct(in.PolicyNames) {
			p, ok := policyOf(byName, name)
			if !ok {
				return nil, absent(name)
			}
			all = append(all, p)
		}
	}
	return &elb.DescribeLoadBalancerPoliciesOutput{PolicyDescriptions: balancing.Convert(all, describePolicy)}, nil
}

func describePolicy(p lb.ClassicPolicy) types.PolicyDescription {
	return types.PolicyDescription{
		PolicyName: &p.Name, PolicyTypeName: &p.Type,
		PolicyAttributeDescriptions: balancing.Convert(p.Attributes, func(a lb.ClassicAttribute) types.PolicyAttributeDescription {
			return types.PolicyAttributeDescription{AttributeName: &a.Name, AttributeValue: &a.Value}
		}),
	}
}

// describePolicyNames sorts the policies into the kinds that a load balancer's
// description has.
func describePolicyNames(policies []lb.ClassicPolicy) *types.Policies {
	out := &types.Policies{
		AppCookieStickinessPolicies: []types.AppCookieStickinessPolicy{}, LBCookieStickinessPolicies: []types.LBCookieStickinessPolicy{}, OtherPolicies: []string{},
	}
	for _, p := range policies {
		switch p.Type {
		case lb.AppCookieStickinessPolicyType:
			out.AppCookieStickinessPolicies = append(out.AppCookieStickinessPolicies, types.AppCookieStickinessPolicy{PolicyName: &p.Name, CookieName: &p.Attributes[0].Value})
		case lb.LBCookieStickinessPolicyType:
			sticky := types.LBCookieStickinessPolicy{PolicyName: &p.Name}
			if len(p.Attributes) > 0 {
				n, _ := strconv.ParseInt(p.Attributes[0].Value, 10, 64) // checked when it was created
				sticky.CookieExpirationPeriod = &n
			}
			out.LBCookieStickinessPolicies = append(out.LBCookieStickinessPolicies, sticky)
		default:
			out.OtherPolicies = append(out.OtherPolicies, p.Name)
		}
	}
	return out
}

func (s *Service) setListenerPolicies(ctx context.Context, in *elb.SetLoadBalancerPoliciesOfListenerInput) (*elb.SetLoadBalancerPoliciesOfListenerOutput, error) {
	keys := balancing.Conditions{}
	if len(in.PolicyNames) > 0 {
		keys[balancing.KeyPrefix+"SecurityPolicy"] = in.PolicyNames
	}
	_, err := s.edit(ctx, balancing.Action{Name: "SetLoadBalancerPoliciesOfListener", Keys: keys}, in.LoadBalancerName, func(_ *store.Tx, b *state.ClassicLoadBalancer) error {
		return editListener(b, in.LoadBalancerPort, func(l *lb.ClassicListener) error {
			names, err := listenerPolicies(*b, *l, in.PolicyNames)
			l.Policies = names
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return &elb.SetLoadBalancerPoliciesOfListenerOutput{}, nil
}

// listenerPolicies checks the policies that a listener is to have: of types
// that fit its protocol, one for stickiness and one for TLS at most.
func listenerPolicies(b state.ClassicLoadBalancer, l lb.ClassicListener, names []string) ([]string, error) {
	names = balancing.Distinct(names)
	sticky, tls := 0, 0
	for _, name := range names {
		t, err := typeOfPolicy(b, name)
		switch {
		case err != nil:
			return nil, err
		case t.listener == nil || !t.listener(l.Protocol):
			return nil, conflict("The policy '%s' has the type %s, which cannot be set for the listener on port %d with the protocol %s", name, t.name, l.Port, l.Protocol)
		case t.stickiness:
			sticky++
		default:
			tls++
		}
	}
	if sticky > 1 || tls > 1 {
		return nil, conflict("A listener can have one policy for stickiness and one for SSL negotiation, not %s", strings.Join(names, ", "))
	}
	return names, nil
}

func typeOfPolicy(b state.ClassicLoadBalancer, name string) (policyType, error) {
	p, ok := policyOf(b, name)
	if !ok {
		return policyType{}, policyNotFound(name, b.Name)
	}
	return typeOf(p.Type)
}

func (s *Service) setBackendPolicies(ctx context.Context, in *elb.SetLoadBalancerPoliciesForBackendServerInput) (*elb.SetLoadBalancerPoliciesForBackendServerOutput, error) {
	_, err := s.edit(ctx, balancing.Action{Name: "SetLoadBalancerPoliciesForBackendServer"}, in.LoadBalancerName, func(_ *store.Tx, b *state.ClassicLoadBalancer) error {
		if err := balancing.CheckRange("instancePort", in.InstancePort, 1, 65535); err != nil {
			return err
		}
		return setBackend(b, lb.ClassicBackend{InstancePort: uint16(*in.InstancePort), Policies: balancing.Distinct(in.PolicyNames)})
	})
	if err != nil {
		return nil, err
	}
	return &elb.SetLoadBalancerPoliciesForBackendServerOutput{}, nil
}

// setBackend replaces the policies towards an instance port. None can be set
// for any port: clients clear ports whose listeners they have deleted.
func setBackend(b *state.ClassicLoadBalancer, backend lb.ClassicBackend) error {
	for _, name := range backend.Policies {
		t, err := typeOfPolicy(*b, name)
		if err != nil {
			return err
		}
		if err := checkBackendType(*b, backend.InstancePort, t); err != nil {
			return err
		}
	}
	backends := slices.DeleteFunc(slices.Clone(b.Backends), func(old lb.ClassicBackend) bool { return old.InstancePort == backend.InstancePort })
	if len(backend.Policies) > 0 {
		backends = append(backends, backend)
	}
	slices.SortFunc(backends, func(a, b lb.ClassicBackend) int { return int(a.InstancePort) - int(b.InstancePort) })
	b.Backends = backends
	return nil
}

// checkBackendType wants a listener to use the instance port with a protocol
// that fits the type of a policy.
func checkBackendType(b state.ClassicLoadBalancer, port uint16, t policyType) error {
	if t.backend == nil {
		return conflict("Policies of type %s cannot be set for instance ports", t.name)
	}
	if !usesInstancePort(b.Listeners, port) {
		return conflict("No listener of the load balancer '%s' uses the instance port %d", b.Name, port)
	}
	for _, l := range b.Listeners {
		if l.InstancePort == port && !t.backend(l.InstanceProtocol) {
			return conflict("Policies of type %s cannot be set for the instance port %d, which the listener on port %d uses with the protocol %s", t.name, port, l.Port, l.InstanceProtocol)
		}
	}
	return nil
}

func describeBackend(b lb.ClassicBackend) types.BackendServerDescription {
	return types.BackendServerDescription{InstancePort: aws.Int32(int32(b.InstancePort)), PolicyNames: b.Policies}
}
