package inventory

import (
	"maps"
	"net/netip"
	"slices"
)

// Contains reports whether an address is one of the subnet's.
func (s Subnet) Contains(a netip.Addr) bool {
	return s.CIDRBlock.Contains(a) || s.IPv6CIDRBlock.IsValid() && s.IPv6CIDRBlock.Contains(a)
}

// Reservation returns the range that is reserved from load balancers and that
// an address lies in.
func (s Subnet) Reservation(a netip.Addr) (netip.Prefix, bool) {
	i := slices.IndexFunc(s.CIDRReservations, func(p netip.Prefix) bool { return p.Contains(a) })
	if i < 0 {
		return netip.Prefix{}, false
	}
	return s.CIDRReservations[i], true
}

// Running reports whether the instance can serve.
func (i Instance) Running() bool { return i.State == "" || i.State == "running" }

// PrimaryAddress is where packets for the instance go: the first address of the
// family on its first interface. The zero Addr when it has none.
func (i Instance) PrimaryAddress(ipv6 bool) netip.Addr {
	if len(i.Interfaces) == 0 {
		return netip.Addr{}
	}
	for _, a := range i.Interfaces[0].Addresses {
		if a.Is6() == ipv6 {
			return a
		}
	}
	return netip.Addr{}
}

// AllPrefixes are all addresses behind the instance: those of its interfaces,
// as single-address prefixes, and the ranges delegated to them.
func (i Instance) AllPrefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, nic := range i.Interfaces {
		all = append(all, nic.allPrefixes()...)
	}
	return all
}

func (n NetworkInterface) allPrefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, a := range n.Addresses {
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	return append(all, n.Prefixes...)
}

// Index answers questions about a File that Parse accepted. It does not change.
type Index struct {
	File
	vpcs      map[string]VPC
	subnets   map[string]Subnet
	groups    map[string]SecurityGroup
	instances map[string]Instance
	holders   map[netip.Prefix]string   // instance ID, or empty for an edge
	carriers  map[netip.Prefix][]string // security groups of the interface that has it
	members   map[string][]netip.Prefix // what the interfaces have that carry a security group
	lengths   []int                     // of the prefixes in holders, longest first
	zones     []string
}

// NewIndex builds the index of a file.
func NewIndex(f File) *Index {
	x := &Index{
		File:      f,
		vpcs:      byKey(f.VPCs, func(v VPC) string { return v.VPCID }),
		subnets:   byKey(f.Subnets, func(s Subnet) string { return s.SubnetID }),
		groups:    byKey(f.SecurityGroups, func(g SecurityGroup) string { return g.GroupID }),
		instances: byKey(f.Instances, func(i Instance) string { return i.InstanceID }),
		holders:   map[netip.Prefix]string{},
		carriers:  map[netip.Prefix][]string{},
		members:   map[string][]netip.Prefix{},
	}
	x.zones = slices.Sorted(maps.Keys(byKey(f.Subnets, func(s Subnet) string { return s.AvailabilityZone })))
	for _, i := range f.Instances {
		for _, p := range i.AllPrefixes() {
			x.hold(p, i.InstanceID)
		}
		for _, nic := range i.Interfaces {
			x.carry(nic)
		}
	}
	for _, e := range f.Edges {
		for _, a := range e.Addresses {
			p := netip.PrefixFrom(a, a.BitLen())
			if _, held := x.holders[p]; !held { // else the edge runs on that instance
				x.hold(p, "")
			}
		}
	}
	slices.SortFunc(x.lengths, func(a, b int) int { return b - a })
	x.lengths = slices.Compact(x.lengths)
	return x
}

func byKey[V any](list []V, key func(V) string) map[string]V {
	m := make(map[string]V, len(list))
	for _, v := range list {
		m[key(v)] = v
	}
	return m
}

func (x *Index) hold(p netip.Prefix, instance string) {
	x.holders[p] = instance
	if !slices.Contains(x.lengths, p.Bits()) {
		x.lengths = append(x.lengths, p.Bits())
	}
}

func (x *Index) carry(nic NetworkInterface) {
	prefixes := nic.allPrefixes()
	for _, p := range prefixes {
		x.carriers[p] = nic.SecurityGroups
	}
	for _, group := range nic.SecurityGroups {
		x.members[group] = append(x.members[group], prefixes...)
	}
}

// SecurityGroupsAt are the IDs of the security groups of the instance interface
// that has an address, as its own or inside a delegated prefix. None when
// no interface has it.
func (x *Index) SecurityGroupsAt(a netip.Addr) []string {
	p, _, _ := x.Holder(a)
	return x.carriers[p]
}

// Members are the addresses and delegated prefixes of all instance interfaces
// that carry a security group.
func (x *Index) Members(groupID string) []netip.Prefix { return x.members[groupID] }

// VPC returns the VPC with this ID.
func (x *Index) VPC(id string) (VPC, bool) { v, ok := x.vpcs[id]; return v, ok }

// Subnet returns the subnet with this ID.
func (x *Index) Subnet(id string) (Subnet, bool) { s, ok := x.subnets[id]; return s, ok }

// SecurityGroup returns the group of the file with this ID.
func (x *Index) SecurityGroup(id string) (SecurityGroup, bool) { g, ok := x.groups[id]; return g, ok }

// Instance returns the instance with this ID.
func (x *Index) Instance(id string) (Instance, bool) { i, ok := x.instances[id]; return i, ok }

// Zones lists the availability zones, sorted.
func (x *Index) Zones() []string { return x.zones }

// Holder returns the narrowest prefix of the inventory that an address lies in,
// and the ID of its instance, which is empty when an edge holds it. ok is false
// for an address that nobody has.
func (x *Index) Holder(a netip.Addr) (p netip.Prefix, instanceID string, ok bool) {
	for _, bits := range x.lengths {
		if bits > a.BitLen() {
			continue
		}
		p, _ = a.Prefix(bits) // bits is in range
		if id, found := x.holders[p]; found {
			return p, id, true
		}
	}
	return netip.Prefix{}, "", false
}

// InstanceAt returns the instance that an address belongs to, as an interface
// address or inside a delegated prefix.
func (x *Index) InstanceAt(a netip.Addr) (Instance, bool) {
	_, id, _ := x.Holder(a)
	return x.Instance(id)
}

// SubnetAt returns the subnet of a VPC that an address lies in.
func (x *Index) SubnetAt(vpcID string, a netip.Addr) (Subnet, bool) {
	for _, s := range x.Subnets {
		if s.VPCID == vpcID && s.Contains(a) {
			return s, true
		}
	}
	return Subnet{}, false
}

// ZoneOf returns the availability zone of an instance: that of its first
// interface's subnet.
func (x *Index) ZoneOf(i Instance) string {
	if len(i.Interfaces) == 0 {
		return ""
	}
	return x.subnets[i.Interfaces[0].SubnetID].AvailabilityZone
}

// VPCOf returns the ID of the VPC that an instance is in.
func (x *Index) VPCOf(i Instance) string {
	if len(i.Interfaces) == 0 {
		return ""
	}
	return x.subnets[i.Interfaces[0].SubnetID].VPCID
}
