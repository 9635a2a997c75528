package elbv2

import (
	"cmp"
	"context"
	"iter"
	"strconv"

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

func (s *Service) createTargetGroup(ctx context.Context, in *elb.CreateTargetGroupInput) (*elb.CreateTargetGroupOutput, error) {
	pattern := s.groupARN(*in.Name, anyID)
	if err := s.AllowCreate(ctx, balancing.Creation{
		Action: balancing.Action{Name: "CreateTargetGroup"}, On: pattern, Made: pattern, Tags: plainTags(in.Tags),
	}); err != nil {
		return nil, err
	}
	tags, err := s.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	wanted, err := s.wantedGroup(in)
	if err != nil {
		return nil, err
	}
	made, err := state.Update(s.DB, func(tx *store.Tx) (state.TargetGroup, error) { return s.putNewGroup(tx, wanted, tags) })
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, made.ARN)
	return &elb.CreateTargetGroupOutput{TargetGroups: []types.TargetGroup{describeGroup(s.DB.Current(), made)}}, nil
}

// wantedGroup checks a request by itself and against the network.
func (s *Service) wantedGroup(in *elb.CreateTargetGroupInput) (state.TargetGroup, error) {
	g := state.TargetGroup{
		Name: *in.Name, Protocol: lb.Protocol(in.Protocol), VPCID: aws.ToString(in.VpcId),
		TargetType: lb.TargetType(cmp.Or(in.TargetType, types.TargetTypeEnumInstance)), IPAddressType: lb.IPAddressType(cmp.Or(in.IpAddressType, types.TargetGroupIpAddressTypeEnumIpv4)),
	}
	if err := balancing.CheckName("Target group", g.Name); err != nil {
		return g, err
	}
	switch g.TargetType {
	case lb.InstanceTarget, lb.IPTarget:
	default:
		return g, unfit("Target groups with the target type '%s' are not offered by this endpoint; the target type must be one of 'instance, ip'", g.TargetType)
	}
	if err := checkGroupProtocol(in); err != nil {
		return g, err
	}
	g.Port = uint16(*in.Port)
	if _, ok := s.Network().VPC(g.VPCID); !ok {
		return g, invalid("The VPC ID '%s' is not found", g.VPCID)
	}
	var err error
	g.HealthCheck, err = newHealthCheck(checkSettings{
		enabled: in.HealthCheckEnabled, protocol: in.HealthCheckProtocol, port: in.HealthCheckPort, path: in.HealthCheckPath, matcher: in.Matcher,
		interval: in.HealthCheckIntervalSeconds, timeout: in.HealthCheckTimeoutSeconds,
		healthy: in.HealthyThresholdCount, unhealthy: in.UnhealthyThresholdCount,
	})
	return g, err
}

func checkGroupProtocol(in *elb.CreateTargetGroupInput) error {
	switch {
	case in.Protocol == "":
		return invalid("A target group protocol must be specified")
	case in.Port == nil:
		return invalid("A target group port must be specified")
	case aws.ToString(in.VpcId) == "":
		return invalid("A VPC ID must be specified")
	case in.TargetControlPort != nil:
		return unfit("A target control port is not supported for target groups with the %s protocol", in.Protocol)
	}
	if err := balancing.CheckRange("port", in.Port, 1, 65535); err != nil {
		return err
	}
	switch lb.Protocol(in.Protocol) {
	case lb.TCP, lb.TLS, lb.UDP, lb.TCPUDP:
	default:
		return unfit("Target groups with the protocol '%s' are not offered by this endpoint; the protocol must be one of 'UDP, TCP, TLS, TCP_UDP'", in.Protocol)
	}
	if in.ProtocolVersion != nil {
		return invalid("A protocol version cannot be specified for target groups with the %s protocol", in.Protocol)
	}
	return nil
}

// putNewGroup creates the group, or returns the one of the same name when its
// settings are the same.
func (s *Service) putNewGroup(tx *store.Tx, g state.TargetGroup, tags map[string]string) (state.TargetGroup, error) {
	if old, exists := state.TargetGroupsByName.First(tx, g.Name); exists {
		if old.Protocol != g.Protocol || old.Port != g.Port || old.VPCID != g.VPCID || old.TargetType != g.TargetType ||
			old.IPAddressType != g.IPAddressType || old.HealthCheck != g.HealthCheck {
			return old, wire.Errorf("DuplicateTargetGroupName", "A target group with the same name '%s' exists, but with different settings", g.Name)
		}
		return old, nil
	}
	if state.TargetGroups.Len(tx) >= s.Quotas.TargetGroups {
		return g, balancing.TooMany("TooManyTargetGroups", "target groups", s.Quotas.TargetGroups)
	}
	g.ARN, g.CreatedTime = s.groupARN(g.Name, newID()), s.Now().UTC()
	state.TargetGroups.Put(tx, g)
	state.PutTags(tx, g.ARN, tags)
	return g, nil
}

func (s *Service) describeTargetGroups(ctx context.Context, in *elb.DescribeTargetGroupsInput) (*elb.DescribeTargetGroupsOutput, error) {
	if err := s.AllowAll(ctx, "DescribeTargetGroups"); err != nil {
		return nil, err
	}
	c, err := balancing.NewCursor(in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	ways := 0
	for _, given := range []bool{len(in.Names) > 0, len(in.TargetGroupArns) > 0, in.LoadBalancerArn != nil} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		return nil, invalid("Target group names, target group ARNs, and a load balancer ARN cannot be specified at the same time")
	}
	r := s.DB.Current()
	found, next, err := findGroups(r, in, c)
	if err != nil {
		return nil, err
	}
	groups := balancing.Convert(found, func(g state.TargetGroup) types.TargetGroup { return describeGroup(r, g) })
	return &elb.DescribeTargetGroupsOutput{TargetGroups: groups, NextMarker: next}, nil
}

func findGroups(r store.Reader, in *elb.DescribeTargetGroupsInput, c balancing.Cursor) (found []state.TargetGroup, next *string, err error) {
	key := func(g state.TargetGroup) string { return g.ARN }
	switch {
	case len(in.Names) > 0:
		found, err = lookUp(in.Names, func(name string) (state.TargetGroup, bool) { return state.TargetGroupsByName.First(r, name) }, groupsNotFound)
	case len(in.TargetGroupArns) > 0:
		for _, arn := range in.TargetGroupArns {
			if err := checkARN(groupNoun, arn); err != nil {
				return nil, nil, err
			}
		}
		found, err = lookUp(in.TargetGroupArns, func(arn string) (state.TargetGroup, bool) { return state.TargetGroups.Get(r, arn) }, groupsNotFound)
	case in.LoadBalancerArn != nil:
		var b state.LoadBalancer
		if b, err = balancer(r, in.LoadBalancerArn); err == nil {
			found, next = balancing.Page(c, groupsOf(r, b), key)
		}
	default:
		found, next = balancing.Page(c, state.TargetGroups.From(r, c.First()), key)
	}
	return found, next, err
}

func groupsNotFound(...string) error {
	return wire.Errorf("TargetGroupNotFound", "One or more target groups not found")
}

// groupsOf yields the groups that a load balancer's listeners forward to.
func groupsOf(r store.Reader, b state.LoadBalancer) iter.Seq[state.TargetGroup] {
	return func(yield func(state.TargetGroup) bool) {
		for _, arn := range state.GroupsOfLoadBalancer(r, b.ARN) {
			if g, ok := state.TargetGroups.Get(r, arn); ok && !yield(g) {
				return
			}
		}
	}
}

// group finds the target group of a call that names one.
func group(r store.Reader, arn *string) (state.TargetGroup, error) {
	if err := checkARN(groupNoun, *arn); err != nil {
		return state.TargetGroup{}, err
	}
	g, ok := state.TargetGroups.Get(r, *arn)
	if !ok {
		return g, groupsNotFound()
	}
	return g, nil
}

// describeGroup is a target group as clients see it.
func describeGroup(r store.Reader, g state.TargetGroup) types.TargetGroup {
	check := g.HealthCheck
	out := types.TargetGroup{
		TargetGroupArn: &g.ARN, TargetGroupName: &g.Name, Protocol: types.ProtocolEnum(g.Protocol), Port: aws.Int32(int32(g.Port)),
		VpcId: &g.VPCID, TargetType: types.TargetTypeEnum(g.TargetType), IpAddressType: types.TargetGroupIpAddressTypeEnum(g.IPAddressType),
		LoadBalancerArns:   append([]string{}, state.LoadBalancersOfGroup(r, g.ARN)...),
		HealthCheckEnabled: aws.Bool(true), HealthCheckProtocol: types.ProtocolEnum(check.Protocol), HealthCheckPort: &check.Port,
		HealthCheckIntervalSeconds: aws.Int32(int32(check.Interval.Seconds())), HealthCheckTimeoutSeconds: aws.Int32(int32(check.Timeout.Seconds())),
		HealthyThresholdCount: aws.Int32(int32(check.HealthyThreshold)), UnhealthyThresholdCount: aws.Int32(int32(check.UnhealthyThreshold)),
	}
	if check.Protocol != lb.TCP {
		out.HealthCheckPath, out.Matcher = &check.Path, &types.Matcher{HttpCode: &check.Matcher}
	}
	return out
}

// editGroup authorises action on a target group and replaces its record by what
// edit makes of it.
func (s *Service) editGroup(ctx context.Context, action string, arn *string, edit func(*store.Tx, *state.TargetGroup) error) (state.TargetGroup, error) {
	if err := s.AllowOn(ctx, action, *arn); err != nil {
		return state.TargetGroup{}, err
	}
	return state.Edit(s.DB, state.TargetGroups, func(tx *store.Tx) (state.TargetGroup, error) { return group(tx, arn) }, edit)
}

func (s *Service) modifyTargetGroup(ctx context.Context, in *elb.ModifyTargetGroupInput) (*elb.ModifyTargetGroupOutput, error) {
	g, err := s.editGroup(ctx, "ModifyTargetGroup", in.TargetGroupArn, func(_ *store.Tx, g *state.TargetGroup) error {
		var err error
		g.HealthCheck, err = changeHealthCheck(g.HealthCheck, checkSettings{
			enabled: in.HealthCheckEnabled, protocol: in.HealthCheckProtocol, port: in.HealthCheckPort, path: in.HealthCheckPath, matcher: in.Matcher,
			interval: in.HealthCheckIntervalSeconds, timeout: in.HealthCheckTimeoutSeconds,
			healthy: in.HealthyThresholdCount, unhealthy: in.UnhealthyThresholdCount,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &elb.ModifyTargetGroupOutput{TargetGroups: []types.TargetGroup{describeGroup(s.DB.Current(), g)}}, nil
}

func (s *Service) deleteTargetGroup(ctx context.Context, in *elb.DeleteTargetGroupInput) (*elb.DeleteTargetGroupOutput, error) {
	arn := *in.TargetGroupArn
	if err := s.AllowOn(ctx, "DeleteTargetGroup", arn); err != nil {
		return nil, err
	}
	if err := checkARN(groupNoun, arn); err != nil {
		return nil, err
	}
	return &elb.DeleteTargetGroupOutput{}, s.DB.Update(func(tx *store.Tx) error {
		if _, used := state.ListenersByTargetGroup.First(tx, arn); used {
			return wire.Errorf("ResourceInUse", "Target group '%s' is currently in use by a listener or a rule", arn)
		}
		for t := range state.TargetsOfGroup(tx, arn) {
			state.Targets.Delete(tx, state.TargetKey(arn, t.ID, t.Port))
		}
		state.TargetGroups.Delete(tx, arn)
		state.PutTags(tx, arn, nil)
		return nil
	})
}

func (s *Service) describeTargetGroupAttributes(ctx context.Context, in *elb.DescribeTargetGroupAttributesInput) (*elb.DescribeTargetGroupAttributesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeTargetGroupAttributes"); err != nil {
		return nil, err
	}
	g, err := group(s.DB.Current(), in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeTargetGroupAttributesOutput{Attributes: groupAttributes(g)}, nil
}

func (s *Service) modifyTargetGroupAttributes(ctx context.Context, in *elb.ModifyTargetGroupAttributesInput) (*elb.ModifyTargetGroupAttributesOutput, error) {
	g, err := s.editGroup(ctx, "ModifyTargetGroupAttributes", in.TargetGroupArn, func(_ *store.Tx, g *state.TargetGroup) error {
		changes, err := attributeChanges(in.Attributes, func(a types.TargetGroupAttribute) (*string, *string) { return a.Key, a.Value })
		if err != nil {
			return err
		}
		g.Attributes, err = attributes.MergeTargetGroup(*g, changes)
		return attributeError(err)
	})
	if err != nil {
		return nil, err
	}
	return &elb.ModifyTargetGroupAttributesOutput{Attributes: groupAttributes(g)}, nil
}

func groupAttributes(g state.TargetGroup) []types.TargetGroupAttribute {
	return attributeList(attributes.OfTargetGroup(g), func(k, v *string) types.TargetGroupAttribute {
		return types.TargetGroupAttribute{Key: k, Value: v}
	})
}

// healthCheckPort is the port that a target is probed on.
func healthCheckPort(g state.TargetGroup, t state.Target) string {
	if g.HealthCheck.Port == lb.TrafficPort {
		return strconv.Itoa(int(t.Port))
	}
	return g.HealthCheck.Port
}
