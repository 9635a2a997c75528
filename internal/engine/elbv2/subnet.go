package elbv2

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// placement is a subnet that a client asked for, with the addresses it chose.
type placement struct {
	subnetID, allocationID string
	ipv4, ipv6             netip.Addr
}

// placements reads Subnets or SubnetMappings, one of which must be given.
func placements(subnets []string, mappings []types.SubnetMapping) ([]placement, error) {
	switch {
	case len(subnets) > 0 && len(mappings) > 0:
		return nil, invalid("You must specify either subnets or subnet mappings, but not both")
	case len(subnets) == 0 && len(mappings) == 0:
		return nil, invalid("At least one subnet must be specified")
	}
	var all []placement
	for _, id := range balancing.Distinct(subnets) {
		all = append(all, placement{subnetID: id})
	}
	for _, m := range mappings {
		p, err := placementOf(m)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func placementOf(m types.SubnetMapping) (placement, error) {
	p := placement{subnetID: aws.ToString(m.SubnetId), allocationID: aws.ToString(m.AllocationId)}
	if p.subnetID == "" {
		return p, invalid("A subnet ID must be specified in every subnet mapping")
	}
	if prefix := aws.ToString(m.SourceNatIpv6Prefix); prefix != "" && prefix != "auto_assigned" {
		return p, notOffered("IPv6 source NAT prefixes cannot be chosen at this endpoint; '%s' must be 'auto_assigned'", prefix)
	}
	var err error
	if p.ipv4, err = chosenAddress(m.PrivateIPv4Address, "IPv4", netip.Addr.Is4); err != nil {
		return p, err
	}
	p.ipv6, err = chosenAddress(m.IPv6Address, "IPv6", netip.Addr.Is6)
	return p, err
}

func chosenAddress(text *string, family string, is func(netip.Addr) bool) (netip.Addr, error) {
	if aws.ToString(text) == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(*text)
	if err != nil || !is(addr) || addr.Zone() != "" {
		return netip.Addr{}, invalid("'%s' is not a valid %s address", *text, family)
	}
	return addr, nil
}

// zoneMappings checks placements against the network and the kind of load
// balancer b, and returns them by zone, with the chosen addresses only.
func zoneMappings(network *inventory.Index, b state.LoadBalancer, all []placement) ([]state.ZoneMapping, string, error) {
	var zones []state.ZoneMapping
	vpc := ""
	for _, p := range all {
		subnet, ok := network.Subnet(p.subnetID)
		if !ok {
			return nil, "", wire.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", p.subnetID)
		}
		if vpc != "" && subnet.VPCID != vpc {
			return nil, "", wire.Errorf("InvalidSubnet", "All subnets must belong to the same VPC: '%s' is in '%s', not in '%s'", p.subnetID, subnet.VPCID, vpc)
		}
		vpc = subnet.VPCID
		if slices.ContainsFunc(zones, func(z state.ZoneMapping) bool { return z.Zone == subnet.AvailabilityZone }) {
			return nil, "", unfit("A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		if err := checkPlacement(b, subnet, p); err != nil {
			return nil, "", err
		}
		zones = append(zones, state.ZoneMapping{
			Zone: subnet.AvailabilityZone, SubnetID: p.subnetID, AllocationID: p.allocationID,
			IPv4: p.ipv4, ChosenIPv4: p.ipv4.IsValid(), IPv6: p.ipv6, ChosenIPv6: p.ipv6.IsValid(),
		})
	}
	if b.Scheme == lb.InternetFacing && !balancing.ReachesInternet(network, vpc) {
		return nil, "", wire.Errorf("InvalidSubnet", "VPC %s has no internet gateway", vpc)
	}
	slices.SortFunc(zones, func(a, b state.ZoneMapping) int { return strings.Compare(a.Zone, b.Zone) })
	return zones, vpc, nil
}

func checkPlacement(b state.LoadBalancer, subnet inventory.Subnet, p placement) error {
	switch {
	case p.allocationID != "" && b.Scheme != lb.InternetFacing:
		return unfit("Allocation IDs can only be specified for internet-facing load balancers")
	case p.ipv4.IsValid() && b.Scheme != lb.Internal:
		return unfit("Private IPv4 addresses can only be specified for internal load balancers")
	case p.ipv6.IsValid() && b.IPAddressType != lb.DualStack:
		return unfit("IPv6 addresses can only be specified for load balancers with the IP address type 'dualstack'")
	case b.IPAddressType == lb.DualStack && !subnet.IPv6CIDRBlock.IsValid():
		return wire.Errorf("InvalidSubnet", "The subnet '%s' must have an associated IPv6 CIDR block", p.subnetID)
	case p.ipv4.IsValid() && !balancing.Assignable(subnet.CIDRBlock, p.ipv4):
		return unfit("The IPv4 address '%s' is not an assignable address of the subnet '%s'", p.ipv4, p.subnetID)
	case p.ipv6.IsValid() && !balancing.Assignable(subnet.IPv6CIDRBlock, p.ipv6):
		return unfit("The IPv6 address '%s' is not an assignable address of the subnet '%s'", p.ipv6, p.subnetID)
	}
	return nil
}
