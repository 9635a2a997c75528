package elb

import (
	"context"
	"slices"
	"strconv"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// How often an attribute may be in a policy.
const (
	one       = "ONE"
	zeroOrOne = "ZERO_OR_ONE"
	oneOrMore = "ONE_OR_MORE"
)

// Types of attributes' values.
const (
	boolean    = "Boolean"
	text       = "String"
	long       = "Long"
	policyName = "PolicyName"
)

type policyType struct {
	name, description string
	attributes        []policyAttribute
	// listener and backend tell which protocols the policy may be set for; nil
	// means none.
	listener, backend func(lb.Protocol) bool
	// stickiness marks the kinds of which a listener has one at most.
	stickiness bool
}

type policyAttribute struct{ name, kind, cardinality string }

func plainTCP(p lb.Protocol) bool { return !web(p) }

// policyTypes are in order of their names.
var policyTypes = []policyType{
	{
		name: lb.AppCookieStickinessPolicyType, listener: web, stickiness: true,
		description: "Sticks a client to an instance for as long as a cookie of the application lives. For HTTP and HTTPS listeners.",
		attributes:  []policyAttribute{{lb.PolicyCookieName, text, one}},
	},
	{
		name: lb.BackendServerAuthenticationPolicyType, backend: secure,
		description: "Accepts only instances that show one of the public keys in the named policies of type PublicKeyPolicyType. For HTTPS and SSL instance ports.",
		attributes:  []policyAttribute{{lb.PolicyPublicKeyName, policyName, oneOrMore}},
	},
	{
		name: lb.LBCookieStickinessPolicyType, listener: web, stickiness: true,
		description: "Sticks a client to an instance with a cookie of the load balancer, for a number of seconds or for the session of the browser. For HTTP and HTTPS listeners.",
		attributes:  []policyAttribute{{lb.PolicyCookieExpiration, long, zeroOrOne}},
	},
	{
		name: lb.ProxyProtocolPolicyType, backend: plainTCP,
		description: "Tells instances the client's address and port at the beginning of every connection. For TCP and SSL instance ports.",
		attributes:  []policyAttribute{{lb.PolicyProxyProtocol, boolean, one}},
	},
	{
		name:        lb.PublicKeyPolicyType,
		description: "Holds a public key that a policy of type BackendServerAuthenticationPolicyType can name.",
		attributes:  []policyAttribute{{lb.PolicyPublicKey, text, one}},
	},
	{
		name: lb.SSLNegotiationPolicyType, listener: secure,
		description: "Says which protocols and ciphers clients may use. For HTTPS and SSL listeners.",
		attributes:  sslAttributes(),
	},
}

func sslAttributes() []policyAttribute {
	attributes := []policyAttribute{{lb.PolicyReference, text, zeroOrOne}}
	for _, option := range sslOptions {
		attributes = append(attributes, policyAttribute{option, boolean, zeroOrOne})
	}
	return attributes
}

func typeOf(name string) (policyType, error) {
	i := slices.IndexFunc(policyTypes, func(t policyType) bool { return t.name == name })
	if i < 0 {
		return policyType{}, wire.Errorf("PolicyTypeNotFound", "Policy type '%s' not found", name)
	}
	return policyTypes[i], nil
}

// check compares the attributes of a new policy of load balancer b with its type.
func (t policyType) check(b state.ClassicLoadBalancer, attributes []lb.ClassicAttribute) error {
	counts := map[string]int{}
	for _, a := range attributes {
		i := slices.IndexFunc(t.attributes, func(known policyAttribute) bool { return known.name == a.Name })
		if i < 0 {
			return conflict("The attribute '%s' does not exist in policies of type %s", a.Name, t.name)
		}
		if err := t.attributes[i].check(b, a.Value); err != nil {
			return err
		}
		counts[a.Name]++
	}
	for _, known := range t.attributes {
		n := counts[known.name]
		switch {
		case n == 0 && known.cardinality != zeroOrOne:
			return conflict("Policies of type %s need the attribute '%s'", t.name, known.name)
		case n > 1 && known.cardinality != oneOrMore:
			return conflict("Policies of type %s can have the attribute '%s' only once", t.name, known.name)
		}
	}
	return nil
}

func (a policyAttribute) check(b state.ClassicLoadBalancer, value string) error {
	switch a.kind {
	case boolean:
		if value != "true" && value != "false" {
			return conflict("The value '%s' of the policy attribute '%s' must be true or false", value, a.name)
		}
	case long:
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 1 {
			return conflict("The value '%s' of the policy attribute '%s' must be a whole number above 0", value, a.name)
		}
	case policyName:
		p, ok := policyOf(b, value)
		if !ok {
			return policyNotFound(value, b.Name)
		}
		if p.Type != lb.PublicKeyPolicyType {
			return conflict("The policy '%s' has the type %s; the attribute '%s' names policies of type %s", value, p.Type, a.name, lb.PublicKeyPolicyType)
		}
	default:
		if value == "" {
			return conflict("The policy attribute '%s' cannot be empty", a.name)
		}
	}
	return nil
}

func (s *Service) describePolicyTypes(ctx context.Context, in *elb.DescribeLoadBalancerPolicyTypesInput) (*elb.DescribeLoadBalancerPolicyTypesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeLoadBalancerPolicyTypes"); err != nil {
		return nil, err
	}
	wanted := policyTypes
	if len(in.PolicyTypeNames) > 0 {
		wanted = nil
		for _, name := range balancing.Distinct(in.PolicyTypeNames) {
			t, err := typeOf(name)
			if err != nil {
				return nil, err
			}
			wanted = append(wanted, t)
		}
	}
	return &elb.DescribeLoadBalancerPolicyTypesOutput{PolicyTypeDescriptions: balancing.Convert(wanted, describeType)}, nil
}

func describeType(t policyType) types.PolicyTypeDescription {
	return types.PolicyTypeDescription{
		PolicyTypeName: &t.name, Description: &t.description,
		PolicyAttributeTypeDescriptions: balancing.Convert(t.attributes, func(a policyAttribute) types.PolicyAttributeTypeDescription {
			return types.PolicyAttributeTypeDescription{AttributeName: &a.name, AttributeType: &a.kind, Cardinality: &a.cardinality}
		}),
	}
}
