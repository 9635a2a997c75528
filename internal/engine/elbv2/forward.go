package elbv2

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Bounds of a target group's weight in a forward action (TargetGroupTuple).
const (
	maxWeight     = 999
	defaultWeight = 1
)

// setForward reads the default actions of a listener: exactly one, of type forward.
func (s *Service) setForward(l *state.Listener, actions []types.Action) (err error) {
	if l.Forward, err = s.forward(actions); err != nil {
		return err
	}
	config := actions[0].ForwardConfig
	l.Stickiness = config != nil && config.TargetGroupStickinessConfig != nil && aws.ToBool(config.TargetGroupStickinessConfig.Enabled)
	return nil
}

func (s *Service) forward(actions []types.Action) ([]lb.WeightedGroup, error) {
	switch {
	case len(actions) == 0:
		return nil, invalid("A default action must be specified")
	case len(actions) > 1:
		return nil, wire.Errorf("TooManyActions", "A listener of a load balancer with type 'network' can have only one default action, not %d", len(actions))
	case actions[0].Type != types.ActionTypeEnumForward:
		return nil, wire.Errorf("InvalidLoadBalancerAction", "Action type '%s' is not supported on load balancers with type 'network'; it must be 'forward'", actions[0].Type)
	}
	single, config := aws.ToString(actions[0].TargetGroupArn), actions[0].ForwardConfig
	if config == nil || len(config.TargetGroups) == 0 {
		if single == "" {
			return nil, invalid("A target group ARN must be specified")
		}
		if err := checkARN(groupNoun, single); err != nil {
			return nil, err
		}
		return []lb.WeightedGroup{{TargetGroupARN: single, Weight: defaultWeight}}, nil
	}
	return s.weighted(single, config.TargetGroups)
}

func (s *Service) weighted(single string, tuples []types.TargetGroupTuple) ([]lb.WeightedGroup, error) {
	if single != "" && (len(tuples) != 1 || aws.ToString(tuples[0].TargetGroupArn) != single) {
		return nil, invalid("A target group ARN and a forward configuration can be specified together only when they name the same single target group")
	}
	if len(tuples) > s.Quotas.GroupsPerAction {
		return nil, balancing.TooMany("TooManyUniqueTargetGroupsPerLoadBalancer", "target groups for an action", s.Quotas.GroupsPerAction)
	}
	seen := map[string]bool{}
	var groups []lb.WeightedGroup
	for _, t := range tuples {
		g := lb.WeightedGroup{TargetGroupARN: aws.ToString(t.TargetGroupArn), Weight: defaultWeight}
		if err := checkARN(groupNoun, g.TargetGroupARN); err != nil {
			return nil, err
		}
		if err := balancing.CheckRange("targetGroups.member.weight", t.Weight, 0, maxWeight); err != nil {
			return nil, err
		}
		if t.Weight != nil {
			g.Weight = int(*t.Weight)
		}
		if seen[g.TargetGroupARN] {
			return nil, invalid("The target group '%s' is specified more than once in a forward action", g.TargetGroupARN)
		}
		seen[g.TargetGroupARN] = true
		groups = append(groups, g)
	}
	return groups, nil
}

// describeForward is a forward action as clients see it: the short form beside
// the long one when there is a single group.
func describeForward(l state.Listener) []types.Action {
	groups := l.Forward
	action := types.Action{
		Type: types.ActionTypeEnumForward,
		ForwardConfig: &types.ForwardActionConfig{
			TargetGroups: balancing.Convert(groups, func(g lb.WeightedGroup) types.TargetGroupTuple {
				return types.TargetGroupTuple{TargetGroupArn: &g.TargetGroupARN, Weight: aws.Int32(int32(g.Weight))}
			}),
			TargetGroupStickinessConfig: &types.TargetGroupStickinessConfig{Enabled: &l.Stickiness},
		},
	}
	if len(groups) == 1 {
		action.TargetGroupArn = &groups[0].TargetGroupARN
	}
	return []types.Action{action}
}
