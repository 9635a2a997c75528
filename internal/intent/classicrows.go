package intent

import (
	"slices"
	"strconv"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// classicRows are annotations that only Classic Load Balancers have.
func classicRows() []Annotation {
	delay := lb.AttrDeregistrationDelay + " in " + prefixAWS + "target-group-attributes"
	return []Annotation{
		{Key: prefixAWS + "access-log-emit-interval", Kinds: forClassic, Value: "5 | 60 minutes", Default: "60", Change: inPlace, Example: "5",
			read: choice(lb.ClassicAccessLogInterval, "5", "60")},
		{Key: prefixAWS + "connection-draining-enabled", Kinds: forClassic, Value: "true | false", Default: "false", Change: inPlace, Example: "true",
			read: flag(lb.ClassicDraining), instead: delay},
		{Key: prefixAWS + "connection-draining-timeout", Kinds: forClassic, Value: "1 to 3600 seconds", Default: "300", Change: inPlace, Example: "60",
			read: amount(1, 3600, lb.ClassicDrainingTimeout), instead: delay},
		{Key: prefixAWS + "connection-idle-timeout", Kinds: forClassic, Value: "1 to 4000 seconds", Default: "60", Change: inPlace, Example: "600",
			read: amount(1, 4000, lb.ClassicIdleTimeout), instead: lb.AttrTCPIdleTimeout + " in " + prefixAWS + "listener-attributes"},
		{Key: prefixAWS + "extra-security-groups", Kinds: forClassic, Value: "security group IDs or names, beside the load balancer's own", Default: "none", Change: inPlace, Example: "sg-0a1b2c3d",
			read: list(func(_ parser, s *settings, v []string) { s.extraGroups = v }), instead: prefixAWS + "security-groups"},
	}
}

// amount reads a number into an attribute of the load balancer.
func amount(low, high int, attribute string) reader {
	return number(low, high, func(s *settings, n int) { s.lbAttributes[attribute] = strconv.Itoa(n) })
}

// classicPolicies are the predefined security policies of Classic Load Balancers
// (user guide, predefined SSL security policies). AWS adds none any more.
func classicPolicies() []string {
	return []string{
		lb.DefaultSSLPolicy, "ELBSecurityPolicy-TLS-1-2-2017-01", "ELBSecurityPolicy-TLS-1-1-2017-01",
		"ELBSecurityPolicy-2015-05", "ELBSecurityPolicy-2015-03", "ELBSecurityPolicy-2015-02",
	}
}

func readClassicPolicy(p parser, s *settings) {
	if all := classicPolicies(); !slices.Contains(all, p.value) {
		p.bad("must be a predefined security policy of Classic Load Balancers: "+oneOf(all), didYouMean(p.value, all))
		return
	}
	s.tls.policy = p.value
}

func (a Annotation) useInstead() string {
	if a.instead == "" || a.Kinds != forClassic {
		return ""
	}
	return "use " + a.instead
}

// choice reads one of some values into an attribute of the load balancer.
func choice(attribute string, values ...string) reader {
	return func(p parser, s *settings) {
		if !slices.Contains(values, p.value) {
			p.bad("must be "+oneOf(values), "")
			return
		}
		s.lbAttributes[attribute] = p.value
	}
}
