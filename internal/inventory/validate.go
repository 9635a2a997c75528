package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// states are EC2's instance states.
var states = []string{"", "pending", "running", "shutting-down", "terminated", "stopping", "stopped"}

// Validate returns every problem of a file; each names field, value and what
// would be valid.
func (f File) Validate() []error {
	v := validation{vpcs: map[string]VPC{}, subnets: map[string]Subnet{}, groups: map[string]SecurityGroup{}, groupNames: map[string]string{}, holders: map[netip.Addr]string{}}
	for i, vpc := range f.VPCs {
		v.vpc(at("vpcs", i, vpc.VPCID), vpc)
	}
	for i, s := range f.Subnets {
		v.subnet(at("subnets", i, s.SubnetID), s)
	}
	v.overlaps("range", v.blocks)
	v.zoneIDs(f.Subnets)
	for i, g := range f.SecurityGroups {
		v.group(at("securityGroups", i, g.GroupID), g)
	}
	v.instances(f.Instances)
	v.pools(f.ElasticIPPools)
	v.edges(f.Edges)
	return v.problems
}

// zonePattern is what the identity of a zone's edge can name.
var zonePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// validation collects what is known so far and what is wrong.
type validation struct {
	problems   []error
	vpcs       map[string]VPC
	subnets    map[string]Subnet
	groups     map[string]SecurityGroup
	groupNames map[string]string     // VPC and name to ID
	holders    map[netip.Addr]string // who has an address
	blocks     []block
}

// block is an address range and where it stands.
type block struct {
	scope  string // ranges of different scopes may overlap
	prefix netip.Prefix
	where  string
}

func at(list string, i int, id string) string {
	if id == "" {
		return fmt.Sprintf("%s[%d]", list, i)
	}
	return fmt.Sprintf("%s[%d] (%s)", list, i, id)
}

func (v *validation) add(where, format string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// id checks that an identifier is there, has its prefix and is new.
func (v *validation) id(where, field, value, prefix string, taken bool) {
	switch {
	case value == "":
		v.add(where, "%s is missing; one such as %s0123456789abcdef0 is needed", field, prefix)
	case !strings.HasPrefix(value, prefix):
		v.add(where, "%s %q does not begin with %s", field, value, prefix)
	case taken:
		v.add(where, "%s %q occurs twice", field, value)
	}
}

// cidr checks that a range is of the right family and has no host bits. An
// IPv6 range may be absent.
func (v *validation) cidr(where, field string, p netip.Prefix, ipv6 bool) bool {
	switch {
	case ipv6 && !p.IsValid():
		return false
	case !p.IsValid():
		v.add(where, "%s is missing", field)
	case p.Addr().Is4() == ipv6 || p.Addr().Is4In6():
		v.add(where, "%s %s is of the wrong address family", field, p)
	case p != p.Masked():
		v.add(where, "%s %s has host bits set; write %s", field, p, p.Masked())
	default:
		return true
	}
	return false
}

func (v *validation) vpc(where string, vpc VPC) {
	_, taken := v.vpcs[vpc.VPCID]
	v.id(where, "vpcId", vpc.VPCID, "vpc-", taken)
	v.cidr(where, "cidrBlock", vpc.CIDRBlock, false)
	v.cidr(where, "ipv6CidrBlock", vpc.IPv6CIDRBlock, true)
	v.vpcs[vpc.VPCID] = vpc
}

func (v *validation) subnet(where string, s Subnet) {
	_, taken := v.subnets[s.SubnetID]
	v.id(where, "subnetId", s.SubnetID, "subnet-", taken)
	v.subnets[s.SubnetID] = s
	switch {
	case s.AvailabilityZone == "":
		v.add(where, "availabilityZone is missing; one such as us-west-2a is needed")
	case !zonePattern.MatchString(s.AvailabilityZone):
		v.add(where, "availabilityZone %q is not lower-case letters, digits and dashes, such as us-west-2a", s.AvailabilityZone)
	}
	v.reservations(where, s)
	vpc, known := v.vpcs[s.VPCID]
	if !known {
		v.add(where, "vpcId %q is not in vpcs", s.VPCID)
		return
	}
	if v.cidr(where, "cidrBlock", s.CIDRBlock, false) {
		v.within(where, "cidrBlock", s.CIDRBlock, vpc.CIDRBlock)
		v.blocks = append(v.blocks, block{s.VPCID, s.CIDRBlock, where})
	}
	if v.cidr(where, "ipv6CidrBlock", s.IPv6CIDRBlock, true) {
		v.within(where, "ipv6CidrBlock", s.IPv6CIDRBlock, vpc.IPv6CIDRBlock)
		v.blocks = append(v.blocks, block{s.VPCID, s.IPv6CIDRBlock, where})
	}
}

// reservations checks that reserved ranges are the subnet's own.
func (v *validation) reservations(where string, s Subnet) {
	for _, p := range s.CIDRReservations {
		switch {
		case !p.IsValid() || p != p.Masked():
			v.add(where, "cidrReservations: %s is no address range without host bits", p)
		case !s.Contains(p.Addr()) || p.Addr().Is4() && p.Bits() < s.CIDRBlock.Bits() || p.Addr().Is6() && p.Bits() < s.IPv6CIDRBlock.Bits():
			v.add(where, "cidrReservations: %s is not inside the subnet", p)
		}
	}
}

func (v *validation) within(where, field string, inner, outer netip.Prefix) {
	if !outer.IsValid() || !outer.Contains(inner.Addr()) || inner.Bits() < outer.Bits() {
		v.add(where, "%s %s is not inside its VPC's %s", field, inner, outer)
	}
}

// overlaps reports ranges that share addresses. Ranges nest or are apart, so in
// order of address each need only be compared with the widest one before it.
func (v *validation) overlaps(field string, blocks []block) {
	slices.SortStableFunc(blocks, func(a, b block) int {
		return cmp.Or(strings.Compare(a.scope, b.scope), a.prefix.Addr().Compare(b.prefix.Addr()), a.prefix.Bits()-b.prefix.Bits())
	})
	for i, last := 1, 0; i < len(blocks); i++ {
		if b, l := blocks[i], blocks[last]; b.scope != l.scope || !b.prefix.Overlaps(l.prefix) {
			last = i
		} else {
			v.add(b.where, "%s %s overlaps that of %s, %s", field, b.prefix, l.where, l.prefix)
		}
	}
}

// zoneIDs checks that zones and zone IDs belong to each other.
func (v *validation) zoneIDs(subnets []Subnet) {
	ids := map[string]string{}
	for i, s := range subnets {
		first, seen := ids[s.AvailabilityZone]
		if seen && first != s.AvailabilityZoneID {
			v.add(at("subnets", i, s.SubnetID), "availabilityZoneId %q of %s is %q in another subnet", s.AvailabilityZoneID, s.AvailabilityZone, first)
		}
		if !seen {
			ids[s.AvailabilityZone] = s.AvailabilityZoneID
		}
	}
}

func (v *validation) group(where string, g SecurityGroup) {
	_, taken := v.groups[g.GroupID]
	v.id(where, "groupId", g.GroupID, "sg-", taken)
	if g.GroupName == "" {
		v.add(where, "groupName is missing")
	}
	if _, known := v.vpcs[g.VPCID]; !known {
		v.add(where, "vpcId %q is not in vpcs", g.VPCID)
	}
	if other, taken := v.groupNames[g.VPCID+"/"+g.GroupName]; taken {
		v.add(where, "groupName %q is that of %s in the same VPC", g.GroupName, other)
	}
	v.groups[g.GroupID], v.groupNames[g.VPCID+"/"+g.GroupName] = g, g.GroupID
}

func (v *validation) instances(instances []Instance) {
	seen := map[string]bool{}
	var ranges []block
	for i, in := range instances {
		where := at("instances", i, in.InstanceID)
		v.id(where, "instanceId", in.InstanceID, "i-", seen[in.InstanceID])
		seen[in.InstanceID] = true
		if !slices.Contains(states, in.State) {
			v.add(where, "state %q is none of %s", in.State, strings.Join(states[1:], ", "))
		}
		if len(in.Interfaces) == 0 {
			v.add(where, "networkInterfaces is empty; an instance needs one")
		}
		for j, nic := range in.Interfaces {
			at := fmt.Sprintf("%s networkInterfaces[%d]", where, j)
			v.networkInterface(at, nic)
			if first := v.subnets[in.Interfaces[0].SubnetID]; first.AvailabilityZone != v.subnets[nic.SubnetID].AvailabilityZone {
				v.add(at, "subnetId %q lies in another zone than the first interface's", nic.SubnetID)
			}
			for _, p := range nic.Prefixes {
				if p.IsValid() && p == p.Masked() {
					ranges = append(ranges, block{"", p, at})
				} else {
					v.add(at, "prefixes: %s is no address range without host bits", p)
				}
			}
		}
	}
	v.overlaps("prefix", ranges)
}

// pools checks that the ranges of public addresses are apart.
func (v *validation) pools(pools []netip.Prefix) {
	var ranges []block
	for i, p := range pools {
		where := fmt.Sprintf("elasticIpPools[%d]", i)
		if v.cidr(where, "range", p, false) {
			ranges = append(ranges, block{"", p, where})
		}
	}
	v.overlaps("range", ranges)
}

func (v *validation) networkInterface(where string, nic NetworkInterface) {
	subnet, known := v.subnets[nic.SubnetID]
	if !known {
		v.add(where, "subnetId %q is not in subnets", nic.SubnetID)
	}
	if len(nic.Addresses) == 0 {
		v.add(where, "addresses is empty; the primary address is needed")
	}
	for _, a := range nic.Addresses {
		v.address(where, a, subnet, known)
	}
	for _, g := range nic.SecurityGroups {
		if _, known := v.groups[g]; !known {
			v.add(where, "securityGroups: %q is not in securityGroups", g)
		}
	}
}

// ranges are those that a subnet has.
func ranges(s Subnet) string {
	if !s.IPv6CIDRBlock.IsValid() {
		return s.CIDRBlock.String()
	}
	return s.CIDRBlock.String() + ", " + s.IPv6CIDRBlock.String()
}

// address checks that an address lies in its subnet and belongs to nobody else.
func (v *validation) address(where string, a netip.Addr, subnet Subnet, known bool) {
	if known && !subnet.Contains(a) {
		v.add(where, "address %s is not inside %s (%s)", a, subnet.SubnetID, ranges(subnet))
	}
	if holder, taken := v.holders[a]; taken {
		v.add(where, "address %s belongs to %s", a, holder)
		return
	}
	v.holders[a] = where
}

func (v *validation) edges(edges []Edge) {
	zones := map[string][]Subnet{}
	for _, s := range v.subnets {
		zones[s.AvailabilityZone] = append(zones[s.AvailabilityZone], s)
	}
	seen := map[string]bool{}
	for i, e := range edges {
		where := at("edges", i, e.Zone)
		if len(zones[e.Zone]) == 0 {
			v.add(where, "availabilityZone %q has no subnet", e.Zone)
			continue
		}
		if seen[e.Zone] {
			v.add(where, "availabilityZone %q has an edge already; a zone has one", e.Zone)
		}
		seen[e.Zone] = true
		for _, a := range e.Addresses {
			in := slices.IndexFunc(zones[e.Zone], func(s Subnet) bool { return s.Contains(a) })
			if in < 0 {
				v.add(where, "address %s is in no subnet of the zone", a)
				continue
			}
			if holder := v.holders[a]; strings.HasPrefix(holder, "instances[") {
				continue // the edge runs on it
			}
			v.address(where, a, zones[e.Zone][in], true)
		}
	}
}
