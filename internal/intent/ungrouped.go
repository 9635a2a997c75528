package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// A load balancer without security groups takes everyone, and no rule of the
// nodes' groups can name it. So these have to let in whom the targets see: the
// clients where their addresses are kept, else the load balancer's subnets,
// where its health checks come from too.

const keyNoGroups = prefixAWS + "disable-nlb-sg"

// groupless is the variant in the name of a load balancer without security
// groups: it cannot become one with groups, and replaces or is replaced by one.
const groupless = "no-security-groups"

func noGroupsRow() Annotation {
	return Annotation{Key: keyNoGroups, Kinds: forNLB, Value: "true | false; a load balancer without security groups: the nodes' own groups let clients in ([how](../security-groups.md#load-balancers-without-security-groups))", Default: "false", Change: replaced, Example: "true",
		read: boolean(func(s *settings, v bool) { s.noGroups = v })}
}

// Nearby are the address blocks that the nodes know without security groups.
type Nearby struct {
	Subnets []netip.Prefix `json:"s,omitempty"` // of the load balancer
	VPC     []netip.Prefix `json:"v,omitempty"` // of all subnets
}

// nearby are the blocks of these subnets: as they are now, or as they were when
// the choice was pinned.
func (b *builder) nearby(ids []string) Nearby {
	if !b.set.noGroups {
		return Nearby{}
	}
	if len(b.in.Subnets) == 0 || !NeedsSubnets(b.in) {
		return b.in.Pinned.Nearby
	}
	var n Nearby
	for _, s := range b.in.Subnets {
		for _, block := range []netip.Prefix{s.CIDR, s.IPv6CIDR} {
			if !block.IsValid() {
				continue
			}
			n.VPC = append(n.VPC, block)
			if slices.Contains(ids, s.ID) {
				n.Subnets = append(n.Subnets, block)
			}
		}
	}
	n.Subnets, n.VPC = joined(n.Subnets), joined(n.VPC)
	return n
}

// joined are the fewest blocks that hold the same addresses.
func joined(blocks []netip.Prefix) []netip.Prefix {
	out := slices.Clone(blocks)
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	for i := 0; i+1 < len(out); {
		a, b := out[i], out[i+1]
		switch parent := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked(); {
		case a.Overlaps(b):
			out = slices.Delete(out, i+1, i+2)
		case a.Bits() > 0 && a.Bits() == b.Bits() && parent.Addr() == a.Addr() && parent.Contains(b.Addr()):
			out = slices.Replace(out, i, i+2, parent)
			i = max(i-1, 0)
		default:
			i++
		}
	}
	return out
}

// ungrouped leaves the security groups out and says what the nodes let in.
func (b *builder) ungrouped(stack *lb.Stack) {
	b.checkUngrouped()
	stack.LoadBalancer.NoSecurityGroups = true
	stack.LoadBalancer.SecurityGroups, stack.LoadBalancer.PrivateLinkUnfiltered = nil, false
	sources, near := b.sources(), b.nearby(stack.LoadBalancer.Subnets)
	if b.set.scheme == lb.Internal && b.openToAll() {
		sources = near.VPC
	}
	b.checkRanges(stack.TargetGroups)
	if !b.set.manageBackend {
		return
	}
	set := map[lb.Rule]bool{}
	for _, g := range stack.TargetGroups {
		b.admit(set, g, sources, near.Subnets)
	}
	stack.NodeRules = needed(set)
	if n := perFamily(stack.NodeRules); n > maxRules {
		b.fail(keyNoGroups, "true", fmt.Sprintf("ports and source ranges make %d rules of one address family on the nodes, a security group holds %d", n, maxRules), "use fewer or wider ranges, or a load balancer with security groups")
	}
}

// checkUngrouped warns about what says who may connect by security groups.
func (b *builder) checkUngrouped() {
	if len(b.set.groups) > 0 {
		b.fail(prefixAWS+"security-groups", b.svc.Annotations[prefixAWS+"security-groups"], "contradicts "+keyNoGroups, "remove one of the two")
	}
	if !b.set.privateLink {
		b.warn(prefixAWS+"inbound-sg-rules-on-private-link-traffic", "off", "has no effect on a load balancer without security groups", "")
	}
}

// checkRanges refuses ranges that nothing would enforce: the load balancer takes
// everyone, and the targets see its subnets.
func (b *builder) checkRanges(groups []lb.TargetGroup) {
	field, value := "spec.loadBalancerSourceRanges", fmt.Sprint(b.svc.Spec.LoadBalancerSourceRanges)
	switch {
	case len(b.svc.Spec.LoadBalancerSourceRanges) > 0:
	case len(b.set.sourceRanges) > 0:
		field, value = keyRanges, b.svc.Annotations[keyRanges]
	case len(b.set.prefixLists) > 0:
		field, value = prefixAWS+"security-group-prefix-lists", strings.Join(b.set.prefixLists, ",")
	default:
		return
	}
	if !b.set.manageBackend {
		b.warn(field, value, "has no effect without security groups and without rules on the nodes", "put it into the nodes' security groups")
		return
	}
	for _, g := range groups {
		if !keepsClientIP(g) {
			b.fail(field, value, "cannot be enforced without security groups: the targets of "+g.Key+" do not see clients' addresses", "set "+lb.AttrPreserveClientIP+"=true in "+prefixAWS+"target-group-attributes, or remove "+keyNoGroups)
		}
	}
}

func keepsClientIP(g lb.TargetGroup) bool {
	return orDefault(g.Attributes[lb.AttrPreserveClientIP], lb.DefaultTargetGroupAttributes(g.Protocol, g.TargetType)[lb.AttrPreserveClientIP]) == "true"
}

// admit adds the rules that the targets of a group need.
func (b *builder) admit(set map[lb.Rule]bool, g lb.TargetGroup, sources, subnets []netip.Prefix) {
	var lists []string
	clients := subnets
	if keepsClientIP(g) {
		clients, lists = sources, b.set.prefixLists
	}
	add := func(protocol string, port uint16, from []netip.Prefix) {
		for _, source := range from {
			if source.Addr().Is6() == (g.IPAddressType == lb.IPv6) {
				set[lb.Rule{Protocol: protocol, FromPort: int32(port), ToPort: int32(port), Source: source}] = true
			}
		}
	}
	for _, port := range portsOf(g) {
		for _, protocol := range transports(g.Protocol) {
			add(protocol, port, clients)
			add(protocol, port, subnets) // clients of the other address family, and those on the target itself
			for _, id := range lists {
				set[lb.Rule{Protocol: protocol, FromPort: int32(port), ToPort: int32(port), SourceList: id}] = true
			}
		}
		checked := port
		if n, err := strconv.ParseUint(g.HealthCheck.Port, 10, 16); err == nil {
			checked = uint16(n)
		}
		add("tcp", checked, subnets)
	}
}

// portsOf are the ports that a group's targets take: those of its targets, or
// the one that they will have.
func portsOf(g lb.TargetGroup) []uint16 {
	ports := []uint16{}
	for _, t := range g.Targets {
		ports = append(ports, t.Port)
	}
	if len(ports) == 0 {
		ports = append(ports, g.Port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// needed leaves out rules that another one, for a wider range, makes needless.
func needed(set map[lb.Rule]bool) []lb.Rule {
	var out []lb.Rule
	for r := range set {
		if !covered(set, r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, compareRules)
	return out
}

func covered(set map[lb.Rule]bool, r lb.Rule) bool {
	if !r.Source.IsValid() {
		return false
	}
	for bits, source := r.Source.Bits()-1, r.Source; bits >= 0; bits-- {
		if r.Source = netip.PrefixFrom(source.Addr(), bits).Masked(); set[r] {
			return true
		}
	}
	return false
}
