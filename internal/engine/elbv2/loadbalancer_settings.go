package elbv2

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/attributes"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// editBalancer authorises action on a load balancer and replaces its record by
// what edit makes of it.
func (s *Service) editBalancer(ctx context.Context, action balancing.Action, arn *string, edit func(*store.Tx, *state.LoadBalancer) error) (state.LoadBalancer, error) {
	if err := s.AllowOn(ctx, action.Name, *arn, action.Keys); err != nil {
		return state.LoadBalancer{}, err
	}
	return state.Edit(s.DB, state.LoadBalancers, func(tx *store.Tx) (state.LoadBalancer, error) { return balancer(tx, arn) }, edit)
}

func (s *Service) describeLoadBalancerAttributes(ctx context.Context, in *elb.DescribeLoadBalancerAttributesInput) (*elb.DescribeLoadBalancerAttributesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeLoadBalancerAttributes"); err != nil {
		return nil, err
	}
	b, err := balancer(s.DB.Current(), in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeLoadBalancerAttributesOutput{Attributes: s.balancerAttributes(b)}, nil
}

func (s *Service) balancerAttributes(b state.LoadBalancer) []types.LoadBalancerAttribute {
	return attributeList(attributes.OfLoadBalancer(b, s.DataPath), func(k, v *string) types.LoadBalancerAttribute {
		return types.LoadBalancerAttribute{Key: k, Value: v}
	})
}

func (s *Service) modifyLoadBalancerAttributes(ctx context.Context, in *elb.ModifyLoadBalancerAttributesInput) (*elb.ModifyLoadBalancerAttributesOutput, error) {
	b, err := s.editBalancer(ctx, balancing.Action{Name: "ModifyLoadBalancerAttributes"}, in.LoadBalancerArn, func(_ *store.Tx, b *state.LoadBalancer) error {
		changes, err := attributeChanges(in.Attributes, func(a types.LoadBalancerAttribute) (*string, *string) { return a.Key, a.Value })
		if err != nil {
			return err
		}
		b.Attributes, err = attributes.MergeLoadBalancer(*b, changes)
		return attributeError(err)
	})
	if err != nil {
		return nil, err
	}
	return &elb.ModifyLoadBalancerAttributesOutput{Attributes: s.balancerAttributes(b)}, nil
}

// attributeList is a list of keys and values, in order of keys.
func attributeList[A any](values map[string]string, pair func(key, value *string) A) []A {
	return balancing.Convert(slices.Sorted(maps.Keys(values)), func(k string) A { return pair(&k, aws.String(values[k])) })
}

// attributeChanges reads a list of keys and values; an absent value is empty.
func attributeChanges[A any](list []A, pair func(A) (key, value *string)) (map[string]string, error) {
	if len(list) == 0 {
		return nil, invalid("Attributes cannot be empty")
	}
	changes := make(map[string]string, len(list))
	for _, a := range list {
		k, v := pair(a)
		key := aws.ToString(k)
		if _, twice := changes[key]; twice {
			return nil, invalid("Attribute key '%s' cannot be specified more than once", key)
		}
		changes[key] = aws.ToString(v)
	}
	return changes, nil
}

func (s *Service) setSubnets(ctx context.Context, in *elb.SetSubnetsInput) (*elb.SetSubnetsOutput, error) {
	keys := balancing.Conditions{}
	if len(in.Subnets) > 0 {
		keys[balancing.KeyPrefix+"Subnet"] = in.Subnets
	}
	all, invalidPlacement := placements(in.Subnets, in.SubnetMappings)
	b, err := s.editBalancer(ctx, balancing.Action{Name: "SetSubnets", Keys: keys}, in.LoadBalancerArn, func(tx *store.Tx, b *state.LoadBalancer) error {
		if invalidPlacement != nil {
			return invalidPlacement
		}
		next := *b
		if in.IpAddressType != "" {
			next.IPAddressType = lb.IPAddressType(in.IpAddressType)
		}
		if in.EnablePrefixForIpv6SourceNat != "" {
			next.SourceNATPrefixes = string(in.EnablePrefixForIpv6SourceNat)
		}
		if err := s.moveSubnets(tx, *b, &next, all); err != nil {
			return err
		}
		*b = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elb.SetSubnetsOutput{
		AvailabilityZones: balancing.Convert(b.Zones, describeZone), IpAddressType: types.IpAddressType(b.IPAddressType),
		EnablePrefixForIpv6SourceNat: types.EnablePrefixForIpv6SourceNatEnum(b.SourceNATPrefixes),
	}, nil
}

// moveSubnets gives next the zones of the placements. A subnet that stays keeps
// its addresses unless the client chose others; AWS cannot change those either.
func (s *Service) moveSubnets(tx *store.Tx, old state.LoadBalancer, next *state.LoadBalancer, all []placement) error {
	if err := checkAddressType(*next); err != nil {
		return err
	}
	network := s.Network()
	zones, vpc, err := zoneMappings(network, *next, all)
	if err != nil {
		return err
	}
	if vpc != old.VPCID {
		return wire.Errorf("InvalidSubnet", "The subnets must belong to the load balancer's VPC '%s', not to '%s'", old.VPCID, vpc)
	}
	for _, o := range old.Zones {
		i := slices.IndexFunc(zones, func(z state.ZoneMapping) bool { return z.SubnetID == o.SubnetID })
		if i < 0 {
			balancing.Release(tx, o)
			continue
		}
		if err := checkKept(o, zones[i]); err != nil {
			return err
		}
		kept := o
		if next.IPAddressType == lb.DualStack && zones[i].ChosenIPv6 && !o.IPv6.IsValid() {
			kept.IPv6, kept.ChosenIPv6 = zones[i].IPv6, true
		}
		zones[i] = kept
	}
	next.Zones = zones
	dropIPv6(tx, next)
	next.Zones, err = balancing.Assign(tx, network, holder(*next))
	return err
}

// checkKept refuses to change the addresses of a subnet that stays enabled.
func checkKept(old, wanted state.ZoneMapping) error {
	if wanted.AllocationID != "" && wanted.AllocationID != old.AllocationID ||
		wanted.ChosenIPv4 && wanted.IPv4 != old.IPv4 || wanted.ChosenIPv6 && old.IPv6.IsValid() && wanted.IPv6 != old.IPv6 {
		return unfit("The addresses of the subnet '%s' cannot be changed while it is enabled", old.SubnetID)
	}
	return nil
}

// dropIPv6 frees the IPv6 addresses of a load balancer that is IPv4 only.
func dropIPv6(tx *store.Tx, b *state.LoadBalancer) {
	if b.IPAddressType == lb.DualStack {
		return
	}
	zones := slices.Clone(b.Zones)
	for i, z := range zones {
		balancing.Release(tx, state.ZoneMapping{SubnetID: z.SubnetID, IPv6: z.IPv6})
		zones[i].IPv6, zones[i].ChosenIPv6 = state.ZoneMapping{}.IPv6, false
	}
	b.Zones = zones
}

func (s *Service) setIPAddressType(ctx context.Context, in *elb.SetIpAddressTypeInput) (*elb.SetIpAddressTypeOutput, error) {
	b, err := s.editBalancer(ctx, balancing.Action{Name: "SetIpAddressType"}, in.LoadBalancerArn, func(tx *store.Tx, b *state.LoadBalancer) error {
		next := *b
		next.IPAddressType = lb.IPAddressType(in.IpAddressType)
		if next.IPAddressType == lb.IPv4 && forwardsToIPv6(tx, *b) {
			return unfit("The IP address type cannot be 'ipv4' while listeners forward to target groups with the IP address type 'ipv6'")
		}
		var same []placement
		for _, z := range b.Zones {
			same = append(same, placement{subnetID: z.SubnetID, allocationID: z.AllocationID})
		}
		if err := s.moveSubnets(tx, *b, &next, same); err != nil {
			return err
		}
		*b = next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elb.SetIpAddressTypeOutput{IpAddressType: types.IpAddressType(b.IPAddressType)}, nil
}

func forwardsToIPv6(r store.Reader, b state.LoadBalancer) bool {
	return slices.ContainsFunc(state.GroupsOfLoadBalancer(r, b.ARN), func(arn string) bool {
		g, _ := state.TargetGroups.Get(r, arn)
		return g.IPAddressType == lb.IPv6
	})
}

func (s *Service) setSecurityGroups(ctx context.Context, in *elb.SetSecurityGroupsInput) (*elb.SetSecurityGroupsOutput, error) {
	keys := balancing.Conditions{}
	if len(in.SecurityGroups) > 0 {
		keys[balancing.KeyPrefix+"SecurityGroup"] = in.SecurityGroups
	}
	b, err := s.editBalancer(ctx, balancing.Action{Name: "SetSecurityGroups", Keys: keys}, in.LoadBalancerArn, func(tx *store.Tx, b *state.LoadBalancer) error {
		switch {
		case len(b.SecurityGroups) == 0:
			return unfit("You cannot set security groups on a Network Load Balancer which was created without any security groups.")
		case len(in.SecurityGroups) == 0:
			return unfit("You cannot remove all security groups from a Network Load Balancer which was created with security groups.")
		}
		b.SecurityGroups = balancing.Distinct(in.SecurityGroups)
		if in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != "" {
			b.EnforceOnPrivateLink = string(in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic)
		}
		return s.checkSecurityGroups(tx, s.Network(), *b)
	})
	if err != nil {
		return nil, err
	}
	return &elb.SetSecurityGroupsOutput{
		SecurityGroupIds: b.SecurityGroups,
		EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: types.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum(b.EnforceOnPrivateLink),
	}, nil
}
