package vpc

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// Check reports everything in a file that does not go with what was made through
// the API: subnets that overlap, addresses that are taken, and what the file must
// not drop because something stands on it.
func Check(file *inventory.Index, r store.Reader) error {
	var problems []error
	for s := range state.Subnets.All(r) {
		problems = append(problems, checkSubnet(file, r, s)...)
	}
	for b := range state.LoadBalancers.All(r) {
		problems = append(problems, checkZones(file, r, "load balancer "+b.Name, b.Zones)...)
	}
	for b := range state.ClassicLoadBalancers.All(r) {
		problems = append(problems, checkZones(file, r, "Classic Load Balancer "+b.Name, b.Zones)...)
	}
	for i := range state.Instances.All(r) {
		if i.State != "terminated" {
			zone := state.ZoneMapping{SubnetID: i.SubnetID, IPv4: i.IPv4, IPv6: i.IPv6}
			problems = append(problems, checkZones(file, r, "instance "+i.InstanceID, []state.ZoneMapping{zone})...)
		}
	}
	return errors.Join(problems...)
}

// checkSubnet looks at a subnet that was made through the API.
func checkSubnet(file *inventory.Index, r store.Reader, s state.Subnet) (problems []error) {
	_, inFile := file.VPC(s.VPCID)
	if _, made := state.VPCs.Get(r, s.VPCID); !inFile && !made {
		problems = append(problems, fmt.Errorf("the VPC %s is missing: the subnet %s was made in it through the API; delete that first", s.VPCID, s.SubnetID))
	}
	for _, other := range file.Subnets {
		if other.VPCID == s.VPCID && (other.CIDRBlock.Overlaps(s.CIDRBlock) || other.IPv6CIDRBlock.IsValid() && other.IPv6CIDRBlock.Overlaps(s.IPv6CIDRBlock)) {
			problems = append(problems, fmt.Errorf("the subnet %s (%s) overlaps the subnet %s (%s), which was made through the API; choose another block or delete that first",
				other.SubnetID, blocks(other.CIDRBlock, other.IPv6CIDRBlock), s.SubnetID, blocks(s.CIDRBlock, s.IPv6CIDRBlock)))
		}
	}
	return problems
}

func blocks(ipv4, ipv6 netip.Prefix) string {
	if !ipv6.IsValid() {
		return ipv4.String()
	}
	return ipv4.String() + ", " + ipv6.String()
}

// checkZones looks at the subnets and addresses that somebody has in them.
func checkZones(file *inventory.Index, r store.Reader, who string, zones []state.ZoneMapping) (problems []error) {
	for _, z := range zones {
		subnet, inFile := file.Subnet(z.SubnetID)
		if _, made := state.Subnets.Get(r, z.SubnetID); !inFile && !made {
			problems = append(problems, fmt.Errorf("the subnet %s is missing: the %s is in it; delete that first", z.SubnetID, who))
			continue
		}
		for _, a := range []netip.Addr{z.IPv4, z.IPv6} {
			if !a.IsValid() || z.AllocationID != "" && a.Is4() { // an Elastic IP address lies in no subnet
				continue
			}
			if p, holder, held := file.Holder(a); held {
				problems = append(problems, fmt.Errorf("%s of %s takes the address %s of the %s; choose another or delete that first", p, nameOf(holder), a, who))
			} else if inFile && !subnet.Contains(a) {
				problems = append(problems, fmt.Errorf("the subnet %s (%s) no longer holds the address %s of the %s", z.SubnetID, blocks(subnet.CIDRBlock, subnet.IPv6CIDRBlock), a, who))
			}
		}
	}
	return problems
}

// nameOf is the holder of addresses in an inventory.
func nameOf(instanceID string) string {
	if instanceID == "" {
		return "an edge"
	}
	return "instance " + instanceID
}
