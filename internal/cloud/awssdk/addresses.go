package awssdk

import (
	"context"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// placement is subnets, or mappings of all of them where addresses are chosen:
// the API takes one or the other.
func placement(b lb.LoadBalancer) ([]string, []types.SubnetMapping) {
	if len(b.SubnetMappings) == 0 {
		return b.Subnets, nil
	}
	return nil, mapped(b.Subnets, func(id string) types.SubnetMapping {
		m := b.Mapping(id)
		return types.SubnetMapping{
			SubnetId: &id, AllocationId: unlessEmpty(m.AllocationID), SourceNatIpv6Prefix: unlessEmpty(m.SourceNATIPv6Prefix),
			PrivateIPv4Address: unlessInvalid(m.PrivateIPv4Address), IPv6Address: unlessInvalid(m.IPv6Address),
		}
	})
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func unlessInvalid(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return aws.String(a.String())
}

// fromZone is a zone with the addresses that were chosen in it: AWS tells no
// others.
func fromZone(z types.AvailabilityZone) lb.SubnetMapping {
	m := lb.SubnetMapping{SubnetID: aws.ToString(z.SubnetId)}
	for _, a := range z.LoadBalancerAddresses {
		if id := aws.ToString(a.AllocationId); id != "" {
			m.AllocationID = id
		}
		if addr, err := netip.ParseAddr(aws.ToString(a.PrivateIPv4Address)); err == nil {
			m.PrivateIPv4Address = addr
		}
		if addr, err := netip.ParseAddr(aws.ToString(a.IPv6Address)); err == nil {
			m.IPv6Address = addr
		}
	}
	if len(z.SourceNatIpv6Prefixes) > 0 {
		m.SourceNATIPv6Prefix = z.SourceNatIpv6Prefixes[0]
	}
	return m
}

// SetSubnets implements cloud.LoadBalancers.
func (c *Client) SetSubnets(ctx context.Context, arn string, want lb.LoadBalancer) error {
	subnets, mappings := placement(want)
	return run(ctx, c, "set subnets of "+nameIn(arn), c.elb.SetSubnets, &elbv2.SetSubnetsInput{
		LoadBalancerArn: &arn, Subnets: subnets, SubnetMappings: mappings, IpAddressType: types.IpAddressType(want.IPAddressType),
		EnablePrefixForIpv6SourceNat: types.EnablePrefixForIpv6SourceNatEnum(want.IPv6SourceNAT),
	})
}

// DescribeCapacityReservation implements cloud.LoadBalancers.
func (c *Client) DescribeCapacityReservation(ctx context.Context, arn string) (int32, error) {
	out, err := call(ctx, c, "describe reserved capacity of "+nameIn(arn), c.elb.DescribeCapacityReservation, &elbv2.DescribeCapacityReservationInput{LoadBalancerArn: &arn})
	if err != nil || out.MinimumLoadBalancerCapacity == nil {
		return 0, err
	}
	return aws.ToInt32(out.MinimumLoadBalancerCapacity.CapacityUnits), nil
}

// ModifyCapacityReservation implements cloud.LoadBalancers.
func (c *Client) ModifyCapacityReservation(ctx context.Context, arn string, units int32) error {
	in := &elbv2.ModifyCapacityReservationInput{LoadBalancerArn: &arn, ResetCapacityReservation: aws.Bool(units == 0)}
	if units > 0 {
		in.ResetCapacityReservation, in.MinimumLoadBalancerCapacity = nil, &types.MinimumLoadBalancerCapacity{CapacityUnits: &units}
	}
	return run(ctx, c, "reserve capacity for "+nameIn(arn), c.elb.ModifyCapacityReservation, in)
}
