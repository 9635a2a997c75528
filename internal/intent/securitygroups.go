package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// EC2's default quota of inbound rules per security group and address family,
// and the number of groups that a Service's rules may spread over: five groups
// a load balancer, one of them the backend's.
const (
	maxRules     = 60
	maxFrontends = 4
)

// securityGroups decides who may connect: a group of the Service's own, or the
// groups that the user names.
func (b *builder) securityGroups(stack *lb.Stack, ports []port) {
	stack.Backend = b.set.manageBackend
	sources := b.sources()
	if len(b.set.groups) > 0 {
		if !b.set.backendGiven {
			stack.Backend = false
		}
		if !b.openToAll() {
			b.warn(prefixAWS+"security-groups", strings.Join(b.set.groups, ","), "source ranges and prefix lists have no effect beside it", "put them into the groups, or remove the annotation")
		}
		return
	}
	rules := b.rules(ports, sources)
	if n, most := perFamily(rules), maxRules*maxFrontends; n > most {
		b.fail("spec.loadBalancerSourceRanges", "", fmt.Sprintf("ports and source ranges make %d rules of one address family, %d security groups hold %d", n, maxFrontends, most), "use fewer or wider ranges, or a prefix list")
	}
	stack.Frontend = &lb.SecurityGroup{
		Name:        b.owner.FrontendName(),
		Description: fmt.Sprintf("Load balancer of Service %s/%s", b.svc.Namespace, b.svc.Name),
		Ingress:     rules,
		Tags:        b.tags("frontend"),
	}
}

// openToAll says that neither ranges nor prefix lists say who may connect.
func (b *builder) openToAll() bool {
	return len(b.svc.Spec.LoadBalancerSourceRanges)+len(b.set.sourceRanges)+len(b.set.prefixLists) == 0
}

// perFamily is the number of rules as EC2 counts them: by address family, and
// rules about prefix lists in both.
func perFamily(rules []lb.Rule) int {
	v4, v6 := 0, 0
	for _, r := range rules {
		if r.SourceList != "" || r.Source.Addr().Is4() {
			v4++
		}
		if r.SourceList != "" || r.Source.Addr().Is6() {
			v6++
		}
	}
	return max(v4, v6)
}

// sources are the ranges that may connect; spec goes before the annotation.
func (b *builder) sources() []netip.Prefix {
	out, field := slices.Clone(b.set.sourceRanges), keyRanges
	if specified := b.svc.Spec.LoadBalancerSourceRanges; len(specified) > 0 {
		if len(out) > 0 {
			b.warn(keyRanges, b.svc.Annotations[keyRanges], "has no effect beside spec.loadBalancerSourceRanges", "")
		}
		out, field = nil, "spec.loadBalancerSourceRanges"
		for _, s := range specified {
			prefix, hint := parsePrefix(strings.TrimSpace(s))
			if hint != "" {
				b.fail(field, s, "is not a CIDR block", hint)
				continue
			}
			out = append(out, prefix)
		}
	}
	dual := b.set.ipAddressType == lb.DualStack
	if len(out) == 0 && len(b.set.prefixLists) == 0 {
		out = append(out, netip.MustParsePrefix("0.0.0.0/0"))
		if dual {
			out = append(out, netip.MustParsePrefix("::/0"))
		}
	}
	for _, p := range out {
		if p.Addr().Is6() && !dual {
			hint := "set " + prefixAWS + "ip-address-type to dualstack"
			if b.classic() {
				hint = "remove it, or ask for a Network Load Balancer"
			}
			b.fail(field, p.String(), "the load balancer has no IPv6 addresses", hint)
		}
	}
	return out
}

// rules are ports times sources, and what path MTU discovery needs: ICMP
// "fragmentation needed" (RFC 1191), ICMPv6 "packet too big" (RFC 8201).
func (b *builder) rules(ports []port, sources []netip.Prefix) []lb.Rule {
	set := map[lb.Rule]bool{}
	for _, source := range sources {
		for _, p := range ports {
			for _, proto := range transports(p.protocol) {
				set[lb.Rule{Protocol: proto, FromPort: int32(p.number), ToPort: int32(p.number), Source: source}] = true
			}
		}
		switch {
		case !b.set.icmp:
		case source.Addr().Is4():
			set[lb.Rule{Protocol: "icmp", FromPort: 3, ToPort: 4, Source: source}] = true
		default:
			set[lb.Rule{Protocol: "icmpv6", FromPort: 2, ToPort: 0, Source: source}] = true
		}
	}
	for _, id := range b.set.prefixLists {
		for _, p := range ports {
			for _, proto := range transports(p.protocol) {
				set[lb.Rule{Protocol: proto, FromPort: int32(p.number), ToPort: int32(p.number), SourceList: id}] = true
			}
		}
	}
	out := make([]lb.Rule, 0, len(set))
	for r := range set {
		out = append(out, r)
	}
	slices.SortFunc(out, compareRules)
	return out
}

func compareRules(a, b lb.Rule) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.FromPort, b.FromPort), a.Source.Compare(b.Source), cmp.Compare(a.SourceList, b.SourceList))
}

func transports(p lb.Protocol) []string {
	switch p {
	case lb.UDP:
		return []string{"udp"}
	case lb.TCPUDP:
		return []string{"tcp", "udp"}
	default:
		return []string{"tcp"}
	}
}
