package intent

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// addressSettings are the annotations that choose addresses.
type addressSettings struct {
	allocations []string
	private     []netip.Addr
	ipv6        []netip.Addr
	sourceNAT   string   // on, off, or "" when not given
	prefixes    []string // nil when not given
}

const (
	keyAllocations = prefixAWS + "eip-allocations"
	keyPrivate     = prefixAWS + "private-ipv4-addresses"
	keyIPv6        = prefixAWS + "ipv6-addresses"
	keySourceNAT   = prefixAWS + "enable-prefix-for-ipv6-source-nat"
	keyPrefixes    = prefixAWS + "source-nat-ipv6-prefixes"
)

// moved is what changing chosen addresses does.
const moved = "the load balancer leaves the subnets that change and comes back while another one serves; with no other subnet it is replaced and its DNS name changes; either waits for " + keyAllowReplacement + "; removing it keeps the addresses"

func addressRows() []Annotation {
	return []Annotation{
		{Key: keyAllocations, Kinds: forNLB, Value: "allocation IDs of Elastic IP addresses, one per subnet: in the order of " + prefixAWS + "subnets, or of the zones' names", Default: "AWS chooses", Change: moved, Example: "eipalloc-0a1b2c3d,eipalloc-4e5f6071",
			read: list(readAllocations)},
		{Key: keyPrivate, Kinds: forNLB, Value: "IPv4 addresses of an internal load balancer, one inside each subnet", Default: "AWS chooses", Change: moved, Example: "198.18.16.100,198.18.32.100",
			read: list(addressList(netip.Addr.Is4, "IPv4", func(s *settings) *[]netip.Addr { return &s.addresses.private }))},
		{Key: keyIPv6, Kinds: forNLB, Value: "IPv6 addresses of a dualstack load balancer, one inside each subnet", Default: "AWS chooses", Change: moved, Example: "2001:db8:0:1::100,2001:db8:0:2::100",
			read: list(addressList(netip.Addr.Is6, "IPv6", func(s *settings) *[]netip.Addr { return &s.addresses.ipv6 }))},
		{Key: keySourceNAT, Kinds: forNLB, Value: "on | off; prefixes to send UDP of IPv6 clients from", Default: "on for dualstack load balancers with UDP, else as it is", Change: inPlace, Example: "on",
			read: enum(func(s *settings) *string { return &s.addresses.sourceNAT }, lb.On, lb.Off)},
		{Key: keyPrefixes, Kinds: forNLB, Value: lb.AutoAssigned + ", or IPv6 prefixes of length 80, one inside each subnet", Default: lb.AutoAssigned, Change: inPlace + "; another prefix in a subnet as other addresses", Example: lb.AutoAssigned,
			read: list(readPrefixes)},
	}
}

var allocationForm = regexp.MustCompile(`^eipalloc-[0-9a-f]+$`)

func readAllocations(p parser, s *settings, ids []string) {
	wrong := func(id string) bool { return !allocationForm.MatchString(id) }
	if p.sound(ids, wrong, "is not the allocation ID of an Elastic IP address", "write it as eipalloc-0a1b2c3d") {
		s.addresses.allocations = ids
	}
}

func addressList(is func(netip.Addr) bool, family string, field func(*settings) *[]netip.Addr) func(parser, *settings, []string) {
	return func(p parser, s *settings, items []string) {
		var addrs []netip.Addr
		wrong := func(item string) bool {
			a, err := netip.ParseAddr(item)
			addrs = append(addrs, a)
			return err != nil || !is(a) || a.Zone() != ""
		}
		if p.sound(items, wrong, "is not an "+family+" address", "") {
			*field(s) = addrs
		}
	}
}

func readPrefixes(p parser, s *settings, items []string) {
	wrong := func(item string) bool {
		prefix, err := netip.ParsePrefix(item)
		return err != nil || !prefix.Addr().Is6() || prefix.Bits() != 80 || prefix != prefix.Masked()
	}
	chosen := slices.DeleteFunc(slices.Clone(items), func(i string) bool { return i == lb.AutoAssigned })
	if p.sound(chosen, wrong, "is neither "+lb.AutoAssigned+" nor an IPv6 prefix of length 80", "write it as 2001:db8:0:1:1::/80") {
		s.addresses.prefixes = items
	}
}

// sound complains about items that are wrong, or that stand there twice. What
// is not sound is not looked at any further.
func (p parser) sound(items []string, wrong func(string) bool, why, hint string) bool {
	before := len(*p.problems)
	seen := map[string]bool{}
	for _, item := range items {
		switch {
		case wrong(item):
			p.bad(fmt.Sprintf("%q %s", item, why), hint)
		case seen[item]:
			p.bad(fmt.Sprintf("%q stands there twice", item), "each subnet needs one of its own")
		}
		seen[item] = true
	}
	return len(*p.problems) == before
}

// checkAddresses is what can be said about addresses without subnets.
func (b *builder) checkAddresses() {
	a := b.set.addresses
	given := func(key string) string { return strings.TrimSpace(b.svc.Annotations[key]) }
	if len(a.allocations) > 0 && b.set.scheme != lb.InternetFacing {
		b.fail(keyAllocations, given(keyAllocations), "an internal load balancer has no Elastic IP addresses", "set "+prefixAWS+"scheme to internet-facing, or use "+keyPrivate)
	}
	if len(a.private) > 0 && b.set.scheme != lb.Internal {
		b.fail(keyPrivate, given(keyPrivate), "only the private addresses of an internal load balancer can be chosen", "set "+prefixAWS+"scheme to internal, or use "+keyAllocations)
	}
	if b.set.ipAddressType != lb.DualStack {
		for key, asked := range map[string]bool{keyIPv6: len(a.ipv6) > 0, keyPrefixes: len(a.prefixes) > 0, keySourceNAT: a.sourceNAT == lb.On} {
			if asked {
				b.fail(key, given(key), "the load balancer has no IPv6 addresses", "set "+prefixAWS+"ip-address-type to dualstack")
			}
		}
	}
	if a.prefixes != nil && a.sourceNAT == lb.Off {
		b.fail(keyPrefixes, given(keyPrefixes), "source NAT prefixes are switched off", "set "+keySourceNAT+" to on")
	}
}

// sourceNAT is whether there are to be prefixes: AWS needs them for UDP on a
// dualstack load balancer. Nobody else loses by them, so they are not taken
// away unless the user says so.
func (b *builder) sourceNAT() string {
	switch {
	case b.set.addresses.sourceNAT != "":
		return b.set.addresses.sourceNAT
	case b.set.ipAddressType != lb.DualStack:
		return ""
	case b.set.addresses.prefixes != nil || slices.ContainsFunc(b.svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Protocol == corev1.ProtocolUDP }):
		return lb.On
	}
	return ""
}

// mappings gives the chosen addresses to subnets. Subnets stand in the order of
// the annotation that names them, or of their zones: Elastic IP addresses go by
// it. Other addresses say themselves where they belong.
func (b *builder) mappings(subnets []Subnet) []lb.SubnetMapping {
	a := b.set.addresses
	all := make([]lb.SubnetMapping, len(subnets))
	for i, s := range subnets {
		all[i].SubnetID = s.ID
	}
	if b.matches(keyAllocations, len(a.allocations), len(subnets)) {
		for i := range all {
			all[i].AllocationID = a.allocations[i]
		}
	}
	if b.matches(keyPrivate, len(a.private), len(subnets)) {
		for i, addr := range b.distribute(keyPrivate, a.private, subnets, Subnet.cidr4) {
			all[i].PrivateIPv4Address = addr
		}
	}
	if b.matches(keyIPv6, len(a.ipv6), len(subnets)) {
		for i, addr := range b.distribute(keyIPv6, a.ipv6, subnets, Subnet.cidr6) {
			all[i].IPv6Address = addr
		}
	}
	b.prefixes(subnets, all)
	all = slices.DeleteFunc(all, func(m lb.SubnetMapping) bool { return m == lb.SubnetMapping{SubnetID: m.SubnetID} })
	slices.SortFunc(all, func(a, b lb.SubnetMapping) int { return strings.Compare(a.SubnetID, b.SubnetID) })
	if len(all) == 0 {
		return nil
	}
	return all
}

func (s Subnet) cidr4() netip.Prefix { return s.CIDR }
func (s Subnet) cidr6() netip.Prefix { return s.IPv6CIDR }

// matches says that there are as many as subnets. Where subnets are wrong
// themselves, their number is no measure.
func (b *builder) matches(key string, n, subnets int) bool {
	if n == 0 || subnets == 0 {
		return false
	}
	if wanted := len(b.set.subnets); wanted > subnets {
		subnets = wanted
	}
	if n != subnets {
		b.fail(key, b.svc.Annotations[key], fmt.Sprintf("it has %d, the load balancer has %d subnets; each needs one", n, subnets), "")
	}
	return n == subnets && (len(b.set.subnets) == 0 || len(b.set.subnets) == subnets)
}

// distribute finds the subnet that each address lies in: the addresses by the
// subnets' places.
func (b *builder) distribute(key string, addrs []netip.Addr, subnets []Subnet, block func(Subnet) netip.Prefix) map[int]netip.Addr {
	holder := map[int]netip.Addr{}
	for _, addr := range addrs {
		i := slices.IndexFunc(subnets, func(s Subnet) bool { return block(s).Contains(addr) })
		switch {
		case i < 0:
			b.fail(key, addr.String(), "it lies in none of the load balancer's subnets", "they are "+blocks(subnets, block))
		case reserved(block(subnets[i]), addr):
			b.fail(key, addr.String(), "AWS keeps the first four addresses and the last one of subnet "+subnets[i].ID+" to itself", "")
		case holder[i].IsValid():
			b.fail(key, addr.String(), fmt.Sprintf("subnet %s has %s already", subnets[i].ID, holder[i]), "choose one in each subnet: "+blocks(subnets, block))
		default:
			holder[i] = addr
		}
	}
	return holder
}

func blocks(subnets []Subnet, block func(Subnet) netip.Prefix) string {
	var out []string
	for _, s := range subnets {
		if p := block(s); p.IsValid() {
			out = append(out, s.ID+" "+p.String())
		}
	}
	return strings.Join(out, ", ")
}

// reserved are the addresses that AWS keeps (VPC user guide, subnet CIDR blocks).
func reserved(block netip.Prefix, addr netip.Addr) bool {
	low := block.Masked().Addr()
	for range 4 {
		if addr == low {
			return true
		}
		low = low.Next()
	}
	return !block.Contains(addr.Next())
}

// prefixes gives out the prefixes for source NAT.
func (b *builder) prefixes(subnets []Subnet, all []lb.SubnetMapping) {
	wanted := b.set.addresses.prefixes
	switch {
	case len(wanted) == 0 || len(wanted) == 1 && wanted[0] == lb.AutoAssigned:
		return // that is what AWS does by itself
	case !b.matches(keyPrefixes, len(wanted), len(subnets)):
		return
	}
	for i, text := range wanted {
		prefix, err := netip.ParsePrefix(text)
		if err == nil && !subnets[i].IPv6CIDR.Contains(prefix.Addr()) {
			b.fail(keyPrefixes, text, "it does not lie in subnet "+subnets[i].ID, "they are "+blocks(subnets, Subnet.cidr6))
		}
		if err == nil {
			all[i].SourceNATIPv6Prefix = text
		}
	}
}

// capacityRow is the annotation that reserves capacity.
func capacityRow() Annotation {
	return Annotation{Key: prefixAWS + "minimum-load-balancer-capacity", Kinds: forNLB, Value: "CapacityUnits=N; costs money on AWS", Default: "none reserved", Change: inPlace, Example: "CapacityUnits=2750",
		read: readCapacity}
}

func readCapacity(p parser, s *settings) {
	text, ok := strings.CutPrefix(p.value, "CapacityUnits=")
	n, err := strconv.ParseInt(text, 10, 32)
	if !ok || err != nil || n < 0 {
		p.bad("must be CapacityUnits=N with a whole number", "such as CapacityUnits=2750")
		return
	}
	s.capacity = int32(n)
}
