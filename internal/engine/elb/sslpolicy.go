package elb

import (
	"slices"
	"strconv"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Building blocks of AWS's predefined security policies (user guide for Classic
// Load Balancers, predefined SSL security policies).
var (
	tls12     = []string{"Protocol-TLSv1.2"}
	tls11up   = []string{"Protocol-TLSv1.1", "Protocol-TLSv1.2"}
	tls10up   = []string{"Protocol-TLSv1", "Protocol-TLSv1.1", "Protocol-TLSv1.2"}
	ownOrder  = []string{"Server-Defined-Cipher-Order"}
	ecdheSHA2 = []string{
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256",
		"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384",
	}
	ecdheSHA1 = []string{"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA"}
	rsaSHA2   = []string{"AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"}
	rsaSHA1   = []string{"AES128-SHA", "AES256-SHA"}
	dhe       = []string{"DHE-RSA-AES128-SHA", "DHE-DSS-AES128-SHA"}
	tripleDES = []string{"DES-CBC3-SHA"}
)

// sslOptions are the attributes of SSL negotiation policies that are on or off.
var sslOptions = slices.Concat([]string{"Protocol-SSLv3"}, tls10up, ownOrder, ecdheSHA2, ecdheSHA1, rsaSHA2, rsaSHA1, dhe, tripleDES)

// sample is a predefined security policy: the options that are on.
type sample struct {
	name    string
	options []string
}

// defaultSample is what listeners with a certificate begin with.
const defaultSample = "ELBSecurityPolicy-2016-08"

var samples = []sample{
	{"ELBSecurityPolicy-2015-02", slices.Concat(tls10up, ownOrder, ecdheSHA2, ecdheSHA1, rsaSHA2, rsaSHA1, dhe)},
	{"ELBSecurityPolicy-2015-03", slices.Concat(tls10up, ownOrder, ecdheSHA2, ecdheSHA1, rsaSHA2, rsaSHA1, dhe, tripleDES)},
	{"ELBSecurityPolicy-2015-05", slices.Concat(tls10up, ownOrder, ecdheSHA2, ecdheSHA1, rsaSHA2, rsaSHA1, tripleDES)},
	{defaultSample, slices.Concat(tls10up, ownOrder, ecdheSHA2, ecdheSHA1, rsaSHA2, rsaSHA1)},
	{"ELBSecurityPolicy-TLS-1-1-2017-01", slices.Concat(tls11up, ownOrder, ecdheSHA2, ecdheSHA1, rsaSHA2, rsaSHA1)},
	{"ELBSecurityPolicy-TLS-1-2-2017-01", slices.Concat(tls12, ownOrder, ecdheSHA2, rsaSHA2)},
}

func sampleNamed(name string) (sample, bool) {
	i := slices.IndexFunc(samples, func(p sample) bool { return p.name == name })
	if i < 0 {
		return sample{}, false
	}
	return samples[i], true
}

// policy is the sample as a policy.
func (p sample) policy() lb.ClassicPolicy {
	reference := lb.ClassicAttribute{Name: lb.PolicyReference, Value: p.name}
	return lb.ClassicPolicy{Name: p.name, Type: lb.SSLNegotiationPolicyType, Attributes: append([]lb.ClassicAttribute{reference}, spelled(p.options)...)}
}

// spelled lists all options with true or false, as AWS shows them.
func spelled(on []string) []lb.ClassicAttribute {
	var all []lb.ClassicAttribute
	for _, option := range sslOptions {
		all = append(all, lb.ClassicAttribute{Name: option, Value: strconv.FormatBool(slices.Contains(on, option))})
	}
	return all
}

// expandSSL completes the checked attributes of a new SSL negotiation policy:
// those of the sample that it refers to, or the options that are on.
func expandSSL(attributes []lb.ClassicAttribute) ([]lb.ClassicAttribute, error) {
	var on []string
	for _, a := range attributes {
		if a.Name == lb.PolicyReference {
			p, known := sampleNamed(a.Value)
			switch {
			case !known:
				return nil, conflict("The reference security policy '%s' does not exist", a.Value)
			case len(attributes) > 1:
				return nil, conflict("A policy with a reference security policy cannot have other attributes")
			}
			return p.policy().Attributes, nil
		}
		if a.Value == "true" {
			on = append(on, a.Name)
		}
	}
	return spelled(on), nil
}

// addDefaultPolicy makes sure that a load balancer has the policy that
// listeners with a certificate begin with, and returns its name.
func addDefaultPolicy(b *state.ClassicLoadBalancer) string {
	if _, has := policyOf(*b, defaultSample); !has {
		p, _ := sampleNamed(defaultSample)
		addPolicy(b, p.policy())
	}
	return defaultSample
}
