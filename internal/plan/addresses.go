package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// AWS gives a subnet no other addresses while the load balancer is in it, and a
// load balancer must be in some subnet. So it leaves the subnets whose addresses
// change and comes back, while another subnet serves. Where none can, the load
// balancer is replaced; and because an address has one holder at a time, the
// old one goes first.

// move is the way of a load balancer from the subnets that it is in to those
// that it is to be in.
type move struct {
	want, have *lb.LoadBalancer
	keeps      []string // subnets that are in both and stay as they are
	changes    []string // subnets that are in both, with other addresses
}

func moveOf(want, have *lb.LoadBalancer) move {
	m := move{want: want, have: have}
	for _, id := range want.Subnets {
		switch {
		case !slices.Contains(have.Subnets, id):
		case stays(want.Mapping(id), m.mayStay(id)):
			m.keeps = append(m.keeps, id)
		default:
			m.changes = append(m.changes, id)
		}
	}
	return m
}

// mayStay is what a subnet has while the load balancer stays in it: what it has
// already, and an IPv6 address of the user's choice when it gets its first.
func (m move) mayStay(id string) lb.SubnetMapping {
	have := m.have.Mapping(id)
	if m.have.IPAddressType != lb.DualStack {
		have.IPv6Address = m.want.Mapping(id).IPv6Address
	}
	return have
}

// stays says that a subnet has all that is chosen for it. What is no longer
// chosen may stay too: any address will do then.
func stays(want, have lb.SubnetMapping) bool {
	return (want.AllocationID == "" || want.AllocationID == have.AllocationID) &&
		(!want.PrivateIPv4Address.IsValid() || want.PrivateIPv4Address == have.PrivateIPv4Address) &&
		(!want.IPv6Address.IsValid() || want.IPv6Address == have.IPv6Address) &&
		(want.SourceNATIPv6Prefix == "" || want.SourceNATIPv6Prefix == lb.AutoAssigned || want.SourceNATIPv6Prefix == have.SourceNATIPv6Prefix)
}

// anchor is the subnet that serves while all others change: its addresses are
// wanted in none of them. It is empty when there is no such subnet.
func (m move) anchor() string {
	if len(m.want.Subnets) < 2 {
		return ""
	}
	for _, id := range m.changes {
		has := m.have.Mapping(id)
		if !slices.ContainsFunc(m.want.SubnetMappings, func(w lb.SubnetMapping) bool { return w.SubnetID != id && shares(w, has) }) {
			return id
		}
	}
	return ""
}

func (m move) possible() bool { return len(m.changes) == 0 || len(m.keeps) > 0 || m.anchor() != "" }

// stations are the mappings to go through, the last are those to arrive at.
func (m move) stations() [][]lb.SubnetMapping {
	var final []lb.SubnetMapping
	for _, id := range m.want.Subnets {
		final = append(final, m.mapping(id))
	}
	isKept := func(w lb.SubnetMapping) bool { return slices.Contains(m.keeps, w.SubnetID) }
	switch {
	case len(m.changes) == 0:
		return [][]lb.SubnetMapping{final}
	case len(m.keeps) > 0:
		return [][]lb.SubnetMapping{selected(final, isKept), final}
	}
	anchor := m.have.Mapping(m.anchor())
	others := selected(final, func(w lb.SubnetMapping) bool { return w.SubnetID != anchor.SubnetID })
	both := slices.Concat(others, []lb.SubnetMapping{anchor})
	return [][]lb.SubnetMapping{{anchor}, both, others, final}
}

// mapping is what the API is told about a subnet. It wants to hear again what a
// subnet has that the load balancer stays in.
func (m move) mapping(id string) lb.SubnetMapping {
	want := m.want.Mapping(id)
	if !slices.Contains(m.keeps, id) {
		return want
	}
	have := m.mayStay(id)
	have.SourceNATIPv6Prefix = want.SourceNATIPv6Prefix
	return have
}

func selected(all []lb.SubnetMapping, keep func(lb.SubnetMapping) bool) (out []lb.SubnetMapping) {
	for _, m := range all {
		if keep(m) {
			out = append(out, m)
		}
	}
	return out
}

// shares says that two mappings claim an address that only one can have.
func shares(a, b lb.SubnetMapping) bool {
	return a.AllocationID != "" && a.AllocationID == b.AllocationID ||
		a.PrivateIPv4Address.IsValid() && a.PrivateIPv4Address == b.PrivateIPv4Address ||
		a.IPv6Address.IsValid() && a.IPv6Address == b.IPv6Address
}

// sharesAddress says that two load balancers cannot be there side by side.
func sharesAddress(a, b *lb.LoadBalancer) bool {
	return slices.ContainsFunc(a.SubnetMappings, func(x lb.SubnetMapping) bool {
		return slices.ContainsFunc(b.SubnetMappings, func(y lb.SubnetMapping) bool { return shares(x, y) })
	})
}

// place leads the load balancer to the wanted subnets, addresses and address
// type. An IPv6 address can be chosen only together with the address type, and
// prefixes for source NAT go only together with it.
func (d *differ) place(r Resource, want, have lb.LoadBalancer) {
	if want.IPAddressType != lb.DualStack && have.IPv6SourceNAT == lb.On {
		want.IPv6SourceNAT = lb.Off
	}
	together := want.IPv6SourceNAT == lb.Off && have.IPv6SourceNAT == lb.On ||
		slices.ContainsFunc(want.SubnetMappings, func(m lb.SubnetMapping) bool { return m.IPv6Address.IsValid() })
	if have.IPAddressType != want.IPAddressType && !together {
		d.add(stageBalancer, Step{
			Action: SetIPAddressType, Resource: r, Before: Value{Text: string(have.IPAddressType)}, After: Value{Text: string(want.IPAddressType)},
			Why: fmt.Sprintf("%s becomes %s", have.IPAddressType, want.IPAddressType), Disruption: addressTypeDisruption(want.IPAddressType),
		})
		setAddressType(&have, want.IPAddressType)
	}
	m := moveOf(&want, &have)
	why := m.reason()
	if why == "" {
		return
	}
	for _, station := range m.stations() {
		next := at(want, station)
		disruption := subnetDisruption(next.Subnets, have.Subnets)
		if have.IPAddressType != next.IPAddressType && next.IPAddressType == lb.IPv4 {
			disruption = Address
		}
		d.add(stageBalancer, Step{Action: SetSubnets, Resource: r, Before: placed(have), After: placed(next), Why: why, Disruption: disruption})
		have = next
	}
}

// reason is why SetSubnets has to be called; empty when it need not be.
func (m move) reason() string {
	switch {
	case !sameSet(m.have.Subnets, m.want.Subnets):
		return "the subnets differ"
	case len(m.changes) > 0:
		return "the addresses in " + strings.Join(m.changes, ", ") + " differ"
	case m.have.IPAddressType != m.want.IPAddressType:
		return fmt.Sprintf("%s becomes %s", m.have.IPAddressType, m.want.IPAddressType)
	case m.want.IPv6SourceNAT != "" && m.want.IPv6SourceNAT != cmp.Or(m.have.IPv6SourceNAT, lb.Off):
		return "source NAT of IPv6 is to be " + m.want.IPv6SourceNAT
	}
	return ""
}

// at is the load balancer in the subnets of these mappings.
func at(b lb.LoadBalancer, mappings []lb.SubnetMapping) lb.LoadBalancer {
	b.Subnets, b.SubnetMappings = nil, nil
	for _, m := range mappings {
		b.Subnets = append(b.Subnets, m.SubnetID)
		if m != (lb.SubnetMapping{SubnetID: m.SubnetID}) {
			b.SubnetMappings = append(b.SubnetMappings, m)
		}
	}
	return b
}

// placed is what SetSubnets says about a load balancer.
func placed(b lb.LoadBalancer) Value {
	return Value{List: b.Subnets, Mappings: b.SubnetMappings, IPAddressType: b.IPAddressType, IPv6SourceNAT: b.IPv6SourceNAT}
}

// place makes what SetSubnets says so.
func (v Value) place(b *lb.LoadBalancer) {
	setAddressType(b, v.IPAddressType)
	b.Subnets, b.SubnetMappings = v.List, v.Mappings
	if v.IPv6SourceNAT != "" {
		b.IPv6SourceNAT = v.IPv6SourceNAT
	}
}

// setAddressType takes IPv6 addresses away from a load balancer without IPv6.
func setAddressType(b *lb.LoadBalancer, t lb.IPAddressType) {
	b.IPAddressType = t
	if t == lb.DualStack {
		return
	}
	without := slices.Clone(b.SubnetMappings)
	for i := range without {
		without[i].IPv6Address, without[i].SourceNATIPv6Prefix = netip.Addr{}, ""
	}
	*b = at(*b, mappingsOf(b.Subnets, without))
}

func mappingsOf(subnets []string, chosen []lb.SubnetMapping) []lb.SubnetMapping {
	b := lb.LoadBalancer{SubnetMappings: chosen}
	var out []lb.SubnetMapping
	for _, id := range subnets {
		out = append(out, b.Mapping(id))
	}
	return out
}
