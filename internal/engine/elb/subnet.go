package elb

import (
	"context"
	"slices"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// subnetsOf returns the subnets that a create asks for, by themselves or as
// zones of the default VPC.
func subnetsOf(network *inventory.Index, in *elb.CreateLoadBalancerInput) ([]string, error) {
	switch {
	case len(in.Subnets) > 0 && len(in.AvailabilityZones) > 0:
		return nil, invalid("Only one of SubnetIds or AvailabilityZones may be specified")
	case len(in.Subnets) == 0 && len(in.AvailabilityZones) == 0:
		return nil, invalid("Either AvailabilityZones or SubnetIds must be specified")
	case len(in.Subnets) > 0:
		return balancing.Distinct(in.Subnets), nil
	}
	i := slices.IndexFunc(network.VPCs, func(v inventory.VPC) bool { return v.IsDefault })
	if i < 0 {
		return nil, invalid("There is no default VPC: specify SubnetIds instead of AvailabilityZones")
	}
	return defaultSubnets(network, network.VPCs[i].VPCID, in.AvailabilityZones)
}

// defaultSubnets returns one subnet of a VPC for every zone: the first by ID.
func defaultSubnets(network *inventory.Index, vpc string, zones []string) ([]string, error) {
	var ids []string
	for _, zone := range balancing.Distinct(zones) {
		var inZone []string
		for _, s := range network.Subnets {
			if s.VPCID == vpc && s.AvailabilityZone == zone {
				inZone = append(inZone, s.SubnetID)
			}
		}
		if len(inZone) == 0 {
			return nil, invalid("The Availability Zone '%s' has no subnet in VPC '%s'", zone, vpc)
		}
		ids = append(ids, slices.Min(inZone))
	}
	return ids, nil
}

// zoneMappings checks subnets against the network and returns them by zone,
// without addresses, and their VPC.
func zoneMappings(network *inventory.Index, ids []string) ([]state.ZoneMapping, string, error) {
	var zones []state.ZoneMapping
	vpc := ""
	for _, id := range ids {
		subnet, ok := network.Subnet(id)
		switch {
		case !ok:
			return nil, "", wire.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", id)
		case vpc != "" && subnet.VPCID != vpc:
			return nil, "", wire.Errorf("InvalidSubnet", "All subnets must belong to the same VPC: '%s' is in '%s', not in '%s'", id, subnet.VPCID, vpc)
		case slices.ContainsFunc(zones, func(z state.ZoneMapping) bool { return z.Zone == subnet.AvailabilityZone }):
			return nil, "", conflict("ELB cannot be attached to multiple subnets in the same AZ.")
		}
		vpc = subnet.VPCID
		zones = append(zones, state.ZoneMapping{Zone: subnet.AvailabilityZone, SubnetID: id})
	}
	slices.SortFunc(zones, func(a, b state.ZoneMapping) int { return strings.Compare(a.Zone, b.Zone) })
	return zones, vpc, nil
}

func describeSubnets(b state.ClassicLoadBalancer) []string {
	return balancing.Convert(b.Zones, func(z state.ZoneMapping) string { return z.SubnetID })
}

func subnetConditions(ids []string) balancing.Conditions {
	if len(ids) == 0 {
		return nil
	}
	return balancing.Conditions{balancing.KeyPrefix + "Subnet": ids}
}

func (s *Service) attachSubnets(ctx context.Context, in *elb.AttachLoadBalancerToSubnetsInput) (*elb.AttachLoadBalancerToSubnetsOutput, error) {
	b, err := s.edit(ctx, balancing.Action{Name: "AttachLoadBalancerToSubnets", Keys: subnetConditions(in.Subnets)}, in.LoadBalancerName, func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		if len(in.Subnets) == 0 {
			return invalid("At least one subnet must be specified")
		}
		return s.attach(tx, b, in.Subnets)
	})
	if err != nil {
		return nil, err
	}
	return &elb.AttachLoadBalancerToSubnetsOutput{Subnets: describeSubnets(b)}, nil
}

// attach adds subnets to a load balancer; those that it has stay as they are.
func (s *Service) attach(tx *store.Tx, b *state.ClassicLoadBalancer, subnets []string) error {
	network := s.Network()
	zones, vpc, err := zoneMappings(network, balancing.Distinct(append(describeSubnets(*b), subnets...)))
	if err != nil {
		return err
	}
	if vpc != b.VPCID {
		return wire.Errorf("InvalidSubnet", "The subnets must belong to the load balancer's VPC '%s', not to '%s'", b.VPCID, vpc)
	}
	for i, z := range zones {
		if k := slices.IndexFunc(b.Zones, func(old state.ZoneMapping) bool { return old.SubnetID == z.SubnetID }); k >= 0 {
			zones[i] = b.Zones[k]
		}
	}
	b.Zones, err = balancing.Assign(tx, network, balancing.Holder{ARN: b.ARN, Zones: zones})
	return err
}

// detach removes the zones that leave chooses and frees their addresses.
func detach(tx *store.Tx, b *state.ClassicLoadBalancer, leave func(state.ZoneMapping) bool) error {
	var kept []state.ZoneMapping
	for _, z := range b.Zones {
		if leave(z) {
			balancing.Release(tx, z)
		} else {
			kept = append(kept, z)
		}
	}
	if len(kept) == 0 {
		return conflict("The load balancer '%s' must keep at least one subnet and Availability Zone", b.Name)
	}
	b.Zones = kept
	return nil
}

func (s *Service) detachSubnets(ctx context.Context, in *elb.DetachLoadBalancerFromSubnetsInput) (*elb.DetachLoadBalancerFromSubnetsOutput, error) {
	b, err := s.edit(ctx, balancing.Action{Name: "DetachLoadBalancerFromSubnets"}, in.LoadBalancerName, func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		return detach(tx, b, func(z state.ZoneMapping) bool { return slices.Contains(in.Subnets, z.SubnetID) })
	})
	if err != nil {
		return nil, err
	}
	return &elb.DetachLoadBalancerFromSubnetsOutput{Subnets: describeSubnets(b)}, nil
}

// enableZones works in the default VPC, whose subnets stand for their zones.
func (s *Service) enableZones(ctx context.Context, in *elb.EnableAvailabilityZonesForLoadBalancerInput) (*elb.EnableAvailabilityZonesForLoadBalancerOutput, error) {
	b, err := s.edit(ctx, balancing.Action{Name: "EnableAvailabilityZonesForLoadBalancer"}, in.LoadBalancerName, func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		network := s.Network()
		if vpc, _ := network.VPC(b.VPCID); !vpc.IsDefault {
			return invalid("The load balancer '%s' is not in the default VPC: its subnets are chosen with AttachLoadBalancerToSubnets", b.Name)
		}
		fresh := slices.DeleteFunc(slices.Clone(in.AvailabilityZones), func(zone string) bool {
			return slices.ContainsFunc(b.Zones, func(z state.ZoneMapping) bool { return z.Zone == zone })
		})
		subnets, err := defaultSubnets(network, b.VPCID, fresh)
		if err != nil {
			return err
		}
		return s.attach(tx, b, subnets)
	})
	if err != nil {
		return nil, err
	}
	return &elb.EnableAvailabilityZonesForLoadBalancerOutput{AvailabilityZones: zonesOf(b)}, nil
}

func (s *Service) disableZones(ctx context.Context, in *elb.DisableAvailabilityZonesForLoadBalancerInput) (*elb.DisableAvailabilityZonesForLoadBalancerOutput, error) {
	b, err := s.edit(ctx, balancing.Action{Name: "DisableAvailabilityZonesForLoadBalancer"}, in.LoadBalancerName, func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		return detach(tx, b, func(z state.ZoneMapping) bool { return slices.Contains(in.AvailabilityZones, z.Zone) })
	})
	if err != nil {
		return nil, err
	}
	return &elb.DisableAvailabilityZonesForLoadBalancerOutput{AvailabilityZones: zonesOf(b)}, nil
}

func zonesOf(b state.ClassicLoadBalancer) []string {
	return balancing.Convert(b.Zones, func(z state.ZoneMapping) string { return z.Zone })
}
