package awssdk

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// maxTargets is how many targets one call may register or deregister.
const maxTargets = 200

// RegisterTargets implements cloud.Targets.
func (c *Client) RegisterTargets(ctx context.Context, arn string, all []cloud.Target) error {
	for batch := range slices.Chunk(all, maxTargets) {
		in := &elbv2.RegisterTargetsInput{TargetGroupArn: &arn, Targets: mapped(batch, toTarget)}
		if err := run(ctx, c, "register targets in "+nameIn(arn), c.elb.RegisterTargets, in); err != nil {
			return err
		}
	}
	return nil
}

// DeregisterTargets implements cloud.Targets.
func (c *Client) DeregisterTargets(ctx context.Context, arn string, all []cloud.Target) error {
	for batch := range slices.Chunk(all, maxTargets) {
		in := &elbv2.DeregisterTargetsInput{TargetGroupArn: &arn, Targets: mapped(batch, toTarget)}
		if err := run(ctx, c, "deregister targets from "+nameIn(arn), c.elb.DeregisterTargets, in); err != nil {
			return err
		}
	}
	return nil
}

func toTarget(t cloud.Target) types.TargetDescription {
	out := types.TargetDescription{Id: &t.ID, Port: aws.Int32(int32(t.Port))}
	if t.Zone != "" {
		out.AvailabilityZone = &t.Zone
	}
	return out
}

// DescribeTargetHealth implements cloud.Targets.
func (c *Client) DescribeTargetHealth(ctx context.Context, arn string) ([]cloud.TargetHealth, error) {
	out, err := call(ctx, c, "describe target health of "+nameIn(arn), c.elb.DescribeTargetHealth, &elbv2.DescribeTargetHealthInput{TargetGroupArn: &arn})
	if err != nil {
		return nil, err
	}
	return mapped(out.TargetHealthDescriptions, fromHealth), nil
}

func fromHealth(d types.TargetHealthDescription) cloud.TargetHealth {
	var out cloud.TargetHealth
	if d.Target != nil {
		out.ID, out.Port = aws.ToString(d.Target.Id), uint16(aws.ToInt32(d.Target.Port))
	}
	if h := d.TargetHealth; h != nil {
		out.State, out.Reason, out.Description = lb.HealthState(h.State), lb.Reason(h.Reason), aws.ToString(h.Description)
	}
	return out
}

// CreateListener implements cloud.Listeners.
func (c *Client) CreateListener(ctx context.Context, balancer string, want cloud.Listener, tags map[string]string) (string, error) {
	in := &elbv2.CreateListenerInput{
		LoadBalancerArn: &balancer, Port: aws.Int32(int32(want.Port)), Protocol: types.ProtocolEnum(want.Protocol),
		DefaultActions: forward(want), Tags: elbTags(tags),
	}
	if s := want.Security; want.Protocol == lb.TLS {
		in.Certificates, in.SslPolicy, in.AlpnPolicy = certificates(s.Certificates), &s.SSLPolicy, []string{s.ALPNPolicy}
	}
	out, err := call(ctx, c, "create listener on "+nameIn(balancer), c.elb.CreateListener, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Listeners[0].ListenerArn), nil
}

// forward uses the plain form for a single group: older partitions know no
// weighted groups on Network Load Balancers.
func forward(l cloud.Listener) []types.Action {
	a := types.Action{Type: types.ActionTypeEnumForward}
	if len(l.Forward) == 1 {
		a.TargetGroupArn = &l.Forward[0].GroupARN
		return []types.Action{a}
	}
	a.ForwardConfig = &types.ForwardActionConfig{}
	if l.Protocol != lb.TLS { // where even "not enabled" may be refused
		a.ForwardConfig.TargetGroupStickinessConfig = &types.TargetGroupStickinessConfig{Enabled: &l.Stickiness}
	}
	for _, f := range l.Forward {
		a.ForwardConfig.TargetGroups = append(a.ForwardConfig.TargetGroups, types.TargetGroupTuple{TargetGroupArn: aws.String(f.GroupARN), Weight: aws.Int32(int32(f.Weight))})
	}
	return []types.Action{a}
}

// DescribeListeners implements cloud.Listeners.
func (c *Client) DescribeListeners(ctx context.Context, balancer string) ([]cloud.Listener, error) {
	var out []cloud.Listener
	in := &elbv2.DescribeListenersInput{LoadBalancerArn: &balancer}
	for {
		page, err := call(ctx, c, "describe listeners of "+nameIn(balancer), c.elb.DescribeListeners, in)
		if err != nil {
			return nil, err
		}
		out = append(out, mapped(page.Listeners, fromListener)...)
		if in.Marker = page.NextMarker; aws.ToString(in.Marker) == "" {
			return out, nil
		}
	}
}

// DescribeListenersByARN implements cloud.Listeners.
func (c *Client) DescribeListenersByARN(ctx context.Context, arns []string) ([]cloud.Listener, error) {
	return cloud.Existing(ctx, arns, func(ctx context.Context, arns []string) ([]cloud.Listener, error) {
		out, err := call(ctx, c, "describe listeners", c.elb.DescribeListeners, &elbv2.DescribeListenersInput{ListenerArns: arns})
		if err != nil {
			return nil, err
		}
		return mapped(out.Listeners, fromListener), nil
	})
}

func fromListener(l types.Listener) cloud.Listener {
	out := cloud.Listener{ARN: aws.ToString(l.ListenerArn), Port: uint16(aws.ToInt32(l.Port)), Protocol: lb.Protocol(l.Protocol)}
	if out.Protocol == lb.TLS {
		out.Security = lb.Security{SSLPolicy: aws.ToString(l.SslPolicy), ALPNPolicy: lb.NoALPN}
		for _, c := range l.Certificates {
			out.Security.Certificates = append(out.Security.Certificates, aws.ToString(c.CertificateArn))
		}
		if len(l.AlpnPolicy) > 0 {
			out.Security.ALPNPolicy = l.AlpnPolicy[0]
		}
	}
	for _, a := range l.DefaultActions {
		if a.ForwardConfig != nil && len(a.ForwardConfig.TargetGroups) > 0 {
			if s := a.ForwardConfig.TargetGroupStickinessConfig; s != nil {
				out.Stickiness = aws.ToBool(s.Enabled)
			}
			for _, t := range a.ForwardConfig.TargetGroups {
				out.Forward = append(out.Forward, cloud.Forward{GroupARN: aws.ToString(t.TargetGroupArn), Weight: int(aws.ToInt32(t.Weight))})
			}
		} else if a.TargetGroupArn != nil {
			out.Forward = append(out.Forward, cloud.Forward{GroupARN: *a.TargetGroupArn, Weight: 1})
		}
	}
	return out
}

// ModifyListener implements cloud.Listeners.
func (c *Client) ModifyListener(ctx context.Context, want cloud.Listener) error {
	in := &elbv2.ModifyListenerInput{ListenerArn: &want.ARN, Protocol: types.ProtocolEnum(want.Protocol), DefaultActions: forward(want)}
	if s := want.Security; want.Protocol == lb.TLS {
		in.Certificates, in.SslPolicy, in.AlpnPolicy = certificates(s.Certificates), &s.SSLPolicy, []string{s.ALPNPolicy}
	}
	return run(ctx, c, "modify listener "+nameIn(want.ARN), c.elb.ModifyListener, in)
}

// DeleteListener implements cloud.Listeners. Deleting what is not there succeeds.
func (c *Client) DeleteListener(ctx context.Context, arn string) error {
	return ignore(cloud.NotFound, run(ctx, c, "delete listener "+nameIn(arn), c.elb.DeleteListener, &elbv2.DeleteListenerInput{ListenerArn: &arn}))
}

// DescribeListenerAttributes implements cloud.Listeners.
func (c *Client) DescribeListenerAttributes(ctx context.Context, arn string) (map[string]string, error) {
	out, err := call(ctx, c, "describe attributes of "+nameIn(arn), c.elb.DescribeListenerAttributes, &elbv2.DescribeListenerAttributesInput{ListenerArn: &arn})
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{}
	for _, a := range out.Attributes {
		attrs[aws.ToString(a.Key)] = aws.ToString(a.Value)
	}
	return attrs, nil
}

// ModifyListenerAttributes implements cloud.Listeners.
func (c *Client) ModifyListenerAttributes(ctx context.Context, arn string, attrs map[string]string) error {
	in := &elbv2.ModifyListenerAttributesInput{ListenerArn: &arn}
	for _, kv := range pairs(attrs) {
		in.Attributes = append(in.Attributes, types.ListenerAttribute{Key: &kv[0], Value: &kv[1]})
	}
	return run(ctx, c, "modify attributes of "+nameIn(arn), c.elb.ModifyListenerAttributes, in)
}
