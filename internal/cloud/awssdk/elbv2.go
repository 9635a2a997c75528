package awssdk

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// CreateLoadBalancer implements cloud.LoadBalancers.
func (c *Client) CreateLoadBalancer(ctx context.Context, want lb.LoadBalancer) (cloud.LoadBalancer, error) {
	subnets, mappings := placement(want)
	out, err := call(ctx, c, "create load balancer "+want.Name, c.elb.CreateLoadBalancer, &elbv2.CreateLoadBalancerInput{
		Name: &want.Name, Type: types.LoadBalancerTypeEnum(want.Type), Scheme: types.LoadBalancerSchemeEnum(want.Scheme),
		IpAddressType: types.IpAddressType(want.IPAddressType), Subnets: subnets, SubnetMappings: mappings,
		EnablePrefixForIpv6SourceNat: types.EnablePrefixForIpv6SourceNatEnum(want.IPv6SourceNAT), SecurityGroups: want.SecurityGroups, Tags: elbTags(want.Tags),
	})
	if err != nil {
		return cloud.LoadBalancer{}, err
	}
	return fromLoadBalancer(out.LoadBalancers[0]), nil
}

// DescribeLoadBalancers implements cloud.LoadBalancers.
func (c *Client) DescribeLoadBalancers(ctx context.Context, names []string) ([]cloud.LoadBalancer, error) {
	return cloud.Existing(ctx, names, func(ctx context.Context, names []string) ([]cloud.LoadBalancer, error) {
		out, err := call(ctx, c, "describe load balancers "+strings.Join(names, ", "), c.elb.DescribeLoadBalancers, &elbv2.DescribeLoadBalancersInput{Names: names})
		if err != nil {
			return nil, err
		}
		return mapped(out.LoadBalancers, fromLoadBalancer), nil
	})
}

func fromLoadBalancer(b types.LoadBalancer) cloud.LoadBalancer {
	out := cloud.LoadBalancer{ARN: aws.ToString(b.LoadBalancerArn), DNSName: aws.ToString(b.DNSName)}
	out.Name, out.Type, out.Scheme = aws.ToString(b.LoadBalancerName), lb.LoadBalancerType(b.Type), lb.Scheme(b.Scheme)
	out.IPAddressType, out.SecurityGroups = lb.IPAddressType(b.IpAddressType), b.SecurityGroups
	out.PrivateLinkUnfiltered = aws.ToString(b.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic) == string(types.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnumOff)
	if b.State != nil {
		out.State = lb.State(b.State.Code)
	}
	out.IPv6SourceNAT = string(b.EnablePrefixForIpv6SourceNat)
	for _, z := range b.AvailabilityZones {
		out.Subnets = append(out.Subnets, aws.ToString(z.SubnetId))
		if m := fromZone(z); m != (lb.SubnetMapping{SubnetID: m.SubnetID}) {
			out.SubnetMappings = append(out.SubnetMappings, m)
		}
	}
	return out
}

// DeleteLoadBalancer implements cloud.LoadBalancers. Deleting what is not there
// succeeds.
func (c *Client) DeleteLoadBalancer(ctx context.Context, arn string) error {
	return ignore(cloud.NotFound, run(ctx, c, "delete load balancer "+nameIn(arn), c.elb.DeleteLoadBalancer, &elbv2.DeleteLoadBalancerInput{LoadBalancerArn: &arn}))
}

// SetSecurityGroups implements cloud.LoadBalancers.
func (c *Client) SetSecurityGroups(ctx context.Context, arn string, groups []string, privateLinkUnfiltered bool) error {
	enforce := types.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnumOn
	if privateLinkUnfiltered {
		enforce = types.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnumOff
	}
	return run(ctx, c, "set security groups of "+nameIn(arn), c.elb.SetSecurityGroups, &elbv2.SetSecurityGroupsInput{
		LoadBalancerArn: &arn, SecurityGroups: groups, EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: enforce,
	})
}

// SetIPAddressType implements cloud.LoadBalancers.
func (c *Client) SetIPAddressType(ctx context.Context, arn string, t lb.IPAddressType) error {
	return run(ctx, c, "set address type of "+nameIn(arn), c.elb.SetIpAddressType, &elbv2.SetIpAddressTypeInput{LoadBalancerArn: &arn, IpAddressType: types.IpAddressType(t)})
}

// DescribeLoadBalancerAttributes implements cloud.LoadBalancers.
func (c *Client) DescribeLoadBalancerAttributes(ctx context.Context, arn string) (map[string]string, error) {
	out, err := call(ctx, c, "describe attributes of "+nameIn(arn), c.elb.DescribeLoadBalancerAttributes, &elbv2.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &arn})
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{}
	for _, a := range out.Attributes {
		attrs[aws.ToString(a.Key)] = aws.ToString(a.Value)
	}
	return attrs, nil
}

// ModifyLoadBalancerAttributes implements cloud.LoadBalancers.
func (c *Client) ModifyLoadBalancerAttributes(ctx context.Context, arn string, attrs map[string]string) error {
	in := &elbv2.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &arn}
	for _, kv := range pairs(attrs) {
		in.Attributes = append(in.Attributes, types.LoadBalancerAttribute{Key: &kv[0], Value: &kv[1]})
	}
	return run(ctx, c, "modify attributes of "+nameIn(arn), c.elb.ModifyLoadBalancerAttributes, in)
}

// CreateTargetGroup implements cloud.TargetGroups.
func (c *Client) CreateTargetGroup(ctx context.Context, want lb.TargetGroup) (cloud.TargetGroup, error) {
	h := want.HealthCheck
	in := &elbv2.CreateTargetGroupInput{
		Name: &want.Name, Protocol: types.ProtocolEnum(want.Protocol), Port: aws.Int32(int32(want.Port)), VpcId: &c.cfg.VPCID,
		TargetType: types.TargetTypeEnum(want.TargetType), IpAddressType: types.TargetGroupIpAddressTypeEnum(want.IPAddressType), Tags: elbTags(want.Tags),
		HealthCheckProtocol: types.ProtocolEnum(h.Protocol), HealthCheckPort: &h.Port,
		HealthCheckIntervalSeconds: seconds(h.Interval), HealthCheckTimeoutSeconds: seconds(h.Timeout),
		HealthyThresholdCount: aws.Int32(int32(h.HealthyThreshold)), UnhealthyThresholdCount: aws.Int32(int32(h.UnhealthyThreshold)),
	}
	in.HealthCheckPath, in.Matcher = httpCheck(h)
	out, err := call(ctx, c, "create target group "+want.Name, c.elb.CreateTargetGroup, in)
	if err != nil {
		return cloud.TargetGroup{}, err
	}
	return fromTargetGroup(out.TargetGroups[0]), nil
}

func httpCheck(h lb.HealthCheck) (path *string, matcher *types.Matcher) {
	if h.Protocol == lb.TCP {
		return nil, nil
	}
	return &h.Path, &types.Matcher{HttpCode: &h.Matcher}
}

// DescribeTargetGroups implements cloud.TargetGroups.
func (c *Client) DescribeTargetGroups(ctx context.Context, names []string) ([]cloud.TargetGroup, error) {
	return cloud.Existing(ctx, names, func(ctx context.Context, names []string) ([]cloud.TargetGroup, error) {
		out, err := call(ctx, c, "describe target groups "+strings.Join(names, ", "), c.elb.DescribeTargetGroups, &elbv2.DescribeTargetGroupsInput{Names: names})
		if err != nil {
			return nil, err
		}
		return mapped(out.TargetGroups, fromTargetGroup), nil
	})
}

func fromTargetGroup(g types.TargetGroup) cloud.TargetGroup {
	out := cloud.TargetGroup{ARN: aws.ToString(g.TargetGroupArn), VPCID: aws.ToString(g.VpcId), Balancers: g.LoadBalancerArns}
	out.Name, out.Protocol, out.Port = aws.ToString(g.TargetGroupName), lb.Protocol(g.Protocol), uint16(aws.ToInt32(g.Port))
	out.TargetType, out.IPAddressType = lb.TargetType(g.TargetType), lb.IPAddressType(g.IpAddressType)
	out.HealthCheck = lb.HealthCheck{
		Protocol: lb.Protocol(g.HealthCheckProtocol), Port: aws.ToString(g.HealthCheckPort), Path: aws.ToString(g.HealthCheckPath),
		Interval: time.Duration(aws.ToInt32(g.HealthCheckIntervalSeconds)) * time.Second, Timeout: time.Duration(aws.ToInt32(g.HealthCheckTimeoutSeconds)) * time.Second,
		HealthyThreshold: int(aws.ToInt32(g.HealthyThresholdCount)), UnhealthyThreshold: int(aws.ToInt32(g.UnhealthyThresholdCount)),
	}
	if g.Matcher != nil {
		out.HealthCheck.Matcher = aws.ToString(g.Matcher.HttpCode)
	}
	if out.HealthCheck.Protocol == lb.TCP {
		out.HealthCheck.Path, out.HealthCheck.Matcher = "", ""
	}
	return out
}

// ModifyTargetGroup implements cloud.TargetGroups.
func (c *Client) ModifyTargetGroup(ctx context.Context, arn string, h lb.HealthCheck) error {
	in := &elbv2.ModifyTargetGroupInput{
		TargetGroupArn: &arn, HealthCheckProtocol: types.ProtocolEnum(h.Protocol), HealthCheckPort: &h.Port,
		HealthCheckIntervalSeconds: seconds(h.Interval), HealthCheckTimeoutSeconds: seconds(h.Timeout),
		HealthyThresholdCount: aws.Int32(int32(h.HealthyThreshold)), UnhealthyThresholdCount: aws.Int32(int32(h.UnhealthyThreshold)),
	}
	in.HealthCheckPath, in.Matcher = httpCheck(h)
	return run(ctx, c, "modify target group "+nameIn(arn), c.elb.ModifyTargetGroup, in)
}

// DeleteTargetGroup implements cloud.TargetGroups. Deleting what is not there
// succeeds.
func (c *Client) DeleteTargetGroup(ctx context.Context, arn string) error {
	return ignore(cloud.NotFound, run(ctx, c, "delete target group "+nameIn(arn), c.elb.DeleteTargetGroup, &elbv2.DeleteTargetGroupInput{TargetGroupArn: &arn}))
}

// DescribeTargetGroupAttributes implements cloud.TargetGroups.
func (c *Client) DescribeTargetGroupAttributes(ctx context.Context, arn string) (map[string]string, error) {
	out, err := call(ctx, c, "describe attributes of "+nameIn(arn), c.elb.DescribeTargetGroupAttributes, &elbv2.DescribeTargetGroupAttributesInput{TargetGroupArn: &arn})
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{}
	for _, a := range out.Attributes {
		attrs[aws.ToString(a.Key)] = aws.ToString(a.Value)
	}
	return attrs, nil
}

// ModifyTargetGroupAttributes implements cloud.TargetGroups.
func (c *Client) ModifyTargetGroupAttributes(ctx context.Context, arn string, attrs map[string]string) error {
	in := &elbv2.ModifyTargetGroupAttributesInput{TargetGroupArn: &arn}
	for _, kv := range pairs(attrs) {
		in.Attributes = append(in.Attributes, types.TargetGroupAttribute{Key: &kv[0], Value: &kv[1]})
	}
	return run(ctx, c, "modify attributes of "+nameIn(arn), c.elb.ModifyTargetGroupAttributes, in)
}
