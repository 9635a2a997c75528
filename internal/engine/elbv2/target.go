package elbv2

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/attributes"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

func invalidTarget(format string, args ...any) error {
	return wire.Errorf("InvalidTarget", format, args...)
}

func (s *Service) registerTargets(ctx context.Context, in *elb.RegisterTargetsInput) (*elb.RegisterTargetsOutput, error) {
	if err := s.AllowOn(ctx, "RegisterTargets", *in.TargetGroupArn); err != nil {
		return nil, err
	}
	network, now, delay := s.Network(), s.Now().UTC(), s.delays().Registration
	return &elb.RegisterTargetsOutput{}, s.DB.Update(func(tx *store.Tx) error {
		g, err := group(tx, in.TargetGroupArn)
		if err != nil {
			return err
		}
		targets, err := newTargets(network, g, in.Targets, now)
		if err != nil {
			return err
		}
		for _, t := range targets {
			if old, ok := state.Targets.Get(tx, state.TargetKey(g.ARN, t.ID, t.Port)); !ok || !old.DrainUntil.IsZero() || old.Zone != t.Zone {
				if delay > 0 {
					t.PendingUntil = now.Add(delay)
				}
				state.Targets.Put(tx, t)
			}
		}
		return s.checkTargetCounts(tx, network, g)
	})
}

// newTargets reads the targets of a request and checks them against the network.
func newTargets(network *inventory.Index, g state.TargetGroup, list []types.TargetDescription, now time.Time) ([]state.Target, error) {
	var targets []state.Target
	var stopped []string
	for _, d := range list {
		t, err := target(g, d)
		if err != nil {
			return nil, err
		}
		t.RegisteredTime = now
		if g.TargetType == lb.IPTarget {
			if err := checkAddressTarget(network, g, &t); err != nil {
				return nil, err
			}
			targets = append(targets, t)
			continue
		}
		running, err := checkInstanceTarget(network, g, t)
		if err != nil {
			return nil, err
		}
		if !running {
			stopped = append(stopped, "'"+t.ID+"'")
		}
		targets = append(targets, t)
	}
	if len(stopped) > 0 {
		return nil, invalidTarget("The following targets are not in a running state and cannot be registered: %s", strings.Join(stopped, ", "))
	}
	return targets, nil
}

// target reads one target of a request.
func target(g state.TargetGroup, d types.TargetDescription) (state.Target, error) {
	t := state.Target{TargetGroupARN: g.ARN, ID: aws.ToString(d.Id), Port: g.Port, Zone: aws.ToString(d.AvailabilityZone)}
	if d.Port != nil {
		if err := balancing.CheckRange("targets.member.port", d.Port, 1, 65535); err != nil {
			return t, err
		}
		t.Port = uint16(*d.Port)
	}
	if aws.ToString(d.QuicServerId) != "" {
		return t, invalid("A QUIC server ID cannot be specified for target groups with the %s protocol", g.Protocol)
	}
	if g.TargetType == lb.IPTarget {
		addr, err := netip.ParseAddr(t.ID)
		if err != nil || addr.Is6() != (g.IPAddressType == lb.IPv6) || addr.Zone() != "" {
			return t, invalid("The IP address '%s' is not a valid %s address", t.ID, map[bool]string{true: "IPv6", false: "IPv4"}[g.IPAddressType == lb.IPv6])
		}
		t.ID = addr.String()
	}
	return t, nil
}

func checkInstanceTarget(network *inventory.Index, g state.TargetGroup, t state.Target) (running bool, err error) {
	instance, ok := network.Instance(t.ID)
	switch {
	case !ok:
		return false, invalidTarget("Instance ID '%s' is not valid", t.ID)
	case t.Zone != "":
		return false, invalid("You cannot specify an Availability Zone for targets of target groups with the target type 'instance'")
	case network.VPCOf(instance) != g.VPCID:
		return false, invalidTarget("The following targets are not in the target group VPC '%s': '%s'", g.VPCID, t.ID)
	case !instance.PrimaryAddress(g.IPAddressType == lb.IPv6).IsValid():
		return false, invalidTarget("The instance '%s' has no primary address of the target group's IP address type '%s'", t.ID, g.IPAddressType)
	}
	return instance.Running(), nil
}

// privateRanges are where addresses outside the VPC may lie: RFC 1918 and
// RFC 6598 (RegisterTargets in the API reference).
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
}

// checkAddressTarget wants an address in a subnet of the VPC, whose zone it
// then has, or a private one outside with the zone "all".
func checkAddressTarget(network *inventory.Index, g state.TargetGroup, t *state.Target) error {
	addr := netip.MustParseAddr(t.ID) // target has parsed it
	subnet, inside := network.SubnetAt(g.VPCID, addr)
	switch {
	case inside && t.Zone == zonal.AllZones:
		return invalid("The IP address '%s' is within the VPC, and cannot have its Availability Zone overridden to 'all' from '%s'", t.ID, subnet.AvailabilityZone)
	case inside && t.Zone != "" && t.Zone != subnet.AvailabilityZone:
		return invalid("The IP address '%s' is within the VPC, and cannot have its Availability Zone overridden to '%s' from '%s'", t.ID, t.Zone, subnet.AvailabilityZone)
	case inside:
		t.Zone = ""
		return nil
	}
	private := false
	for _, p := range privateRanges {
		private = private || p.Contains(addr)
	}
	switch {
	case !private:
		return invalidTarget("The IP address '%s' is not within a subnet of the VPC '%s' or a private address range", t.ID, g.VPCID)
	case t.Zone != zonal.AllZones:
		return invalid("You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since the IP address '%s' is outside the VPC", t.ID)
	}
	return nil
}

// checkTargetCounts enforces the quotas on targets after a registration.
func (s *Service) checkTargetCounts(r store.Reader, network *inventory.Index, g state.TargetGroup) error {
	count := 0
	for range state.TargetsOfGroup(r, g.ARN) {
		count++
	}
	if count > s.Quotas.TargetsPerGroup {
		return balancing.TooMany("TooManyTargets", "targets for a target group", s.Quotas.TargetsPerGroup)
	}
	group := zonal.NewGroup(r, network, g)
	if !group.Attached {
		return nil
	}
	return s.checkBalancerTargets(r, network, group.Balancer, state.GroupsOfLoadBalancer(r, group.Balancer.ARN))
}

// checkTargetQuota checks a listener that is about to be written.
func (s *Service) checkTargetQuota(r store.Reader, b state.LoadBalancer, l state.Listener) error {
	groups := state.GroupsOfLoadBalancer(r, b.ARN)
	return s.checkBalancerTargets(r, s.Network(), b, balancing.Distinct(append(groups, l.TargetGroupARNs()...)))
}

func (s *Service) checkBalancerTargets(r store.Reader, network *inventory.Index, b state.LoadBalancer, groups []string) error {
	total, perZone := 0, map[string]int{}
	for _, arn := range groups {
		g, _ := state.TargetGroups.Get(r, arn)
		where := zonal.NewGroup(r, network, g)
		for t := range state.TargetsOfGroup(r, arn) {
			total++
			zone := where.Zone(t)
			if attributes.CrossZone(b, g) {
				zone = zonal.AllZones
			}
			perZone[zone]++
			if perZone[zone] > s.Quotas.TargetsPerZone {
				return balancing.TooMany("TooManyTargets", "targets per Availability Zone for a load balancer", s.Quotas.TargetsPerZone)
			}
		}
	}
	if total > s.Quotas.TargetsPerLoadBalancer {
		return balancing.TooMany("TooManyTargets", "targets for a load balancer", s.Quotas.TargetsPerLoadBalancer)
	}
	return nil
}

func (s *Service) deregisterTargets(ctx context.Context, in *elb.DeregisterTargetsInput) (*elb.DeregisterTargetsOutput, error) {
	if err := s.AllowOn(ctx, "DeregisterTargets", *in.TargetGroupArn); err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	return &elb.DeregisterTargetsOutput{}, s.DB.Update(func(tx *store.Tx) error {
		g, err := group(tx, in.TargetGroupArn)
		if err != nil {
			return err
		}
		for _, d := range in.Targets {
			t, err := target(g, d)
			if err != nil {
				return err
			}
			s.drain(tx, g, state.TargetKey(g.ARN, t.ID, t.Port), now)
		}
		return nil
	})
}

// drain starts the deregistration of a target: it goes at once when no load
// balancer uses the group or there is no delay. An absent target is fine.
func (s *Service) drain(tx *store.Tx, g state.TargetGroup, key string, now time.Time) {
	t, ok := state.Targets.Get(tx, key)
	if !ok || !t.DrainUntil.IsZero() {
		return
	}
	delay := attributes.DeregistrationDelay(g) + s.delays().Deregistration
	_, attached := state.ListenersByTargetGroup.First(tx, g.ARN)
	if delay == 0 || !attached || !t.PendingUntil.IsZero() {
		state.Targets.Delete(tx, key)
		return
	}
	t.DrainUntil = now.Add(delay)
	state.Targets.Put(tx, t)
}

func (s *Service) describeTargetHealth(ctx context.Context, in *elb.DescribeTargetHealthInput) (*elb.DescribeTargetHealthOutput, error) {
	if err := s.AllowAll(ctx, "DescribeTargetHealth"); err != nil {
		return nil, err
	}
	r, network := s.DB.Current(), s.Network()
	g, err := group(r, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	where := zonal.NewGroup(r, network, g)
	out := &elb.DescribeTargetHealthOutput{TargetHealthDescriptions: []types.TargetHealthDescription{}}
	add := func(t state.Target, h lb.TargetHealth) {
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, describeTarget(where, t, h))
	}
	if len(in.Targets) == 0 {
		for t := range state.TargetsOfGroup(r, g.ARN) {
			add(t, targethealth.Aggregate(where, network, s.Health, t))
		}
		return out, nil
	}
	for _, d := range in.Targets {
		asked, err := target(g, d)
		if err != nil {
			return nil, err
		}
		if t, ok := state.Targets.Get(r, state.TargetKey(g.ARN, asked.ID, asked.Port)); ok {
			add(t, targethealth.Aggregate(where, network, s.Health, t))
			continue
		}
		if _, known := network.Instance(asked.ID); g.TargetType == lb.InstanceTarget && !known {
			return nil, invalidTarget("Instance ID '%s' is not valid", asked.ID)
		}
		add(asked, targethealth.NotRegistered())
	}
	return out, nil
}

// describeTarget is a target's health as clients see it. Reason and description
// are absent when it is healthy.
func describeTarget(g zonal.Group, t state.Target, h lb.TargetHealth) types.TargetHealthDescription {
	out := types.TargetHealthDescription{
		Target:          &types.TargetDescription{Id: &t.ID, Port: aws.Int32(int32(t.Port))},
		HealthCheckPort: aws.String(healthCheckPort(g.TargetGroup, t)),
		TargetHealth:    &types.TargetHealth{State: types.TargetHealthStateEnum(h.State), Reason: types.TargetHealthReasonEnum(h.Reason)},
	}
	if h.Description != "" {
		out.TargetHealth.Description = &h.Description
	}
	if zone := g.Zone(t); g.TargetType == lb.IPTarget && zone != "" {
		out.Target.AvailabilityZone = &zone
	}
	return out
}
