package elbv2

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// A listener of a network load balancer has its default rule and no other.

// listenerOfRule finds the listener whose default rule an ARN names.
func listenerOfRule(r store.Reader, arn string) (state.Listener, bool) {
	l, ok := state.ListenersByRule.First(r, arn)
	return l, ok
}

func (s *Service) describeRules(ctx context.Context, in *elb.DescribeRulesInput) (*elb.DescribeRulesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeRules"); err != nil {
		return nil, err
	}
	c, err := balancing.NewCursor(in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	r := s.DB.Current()
	var found []state.Listener
	switch {
	case len(in.RuleArns) > 0 && in.ListenerArn != nil:
		return nil, invalid("Rule ARNs and a listener ARN cannot be specified at the same time")
	case len(in.RuleArns) > 0:
		found, err = rulesByARN(r, in.RuleArns)
	case in.ListenerArn != nil:
		found = make([]state.Listener, 1)
		found[0], err = listener(r, in.ListenerArn)
	default:
		return nil, invalid("You must specify either listener ARNs or rule ARNs")
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b state.Listener) int { return strings.Compare(a.RuleARN, b.RuleARN) })
	found, next := balancing.Page(c, slices.Values(found), func(l state.Listener) string { return l.RuleARN })
	return &elb.DescribeRulesOutput{Rules: balancing.Convert(found, describeRule), NextMarker: next}, nil
}

func rulesByARN(r store.Reader, arns []string) ([]state.Listener, error) {
	for _, arn := range arns {
		if err := checkARN(ruleNoun, arn); err != nil {
			return nil, err
		}
	}
	return lookUp(arns, func(arn string) (state.Listener, bool) { return listenerOfRule(r, arn) },
		func(...string) error { return wire.Errorf("RuleNotFound", "One or more rules not found") })
}

func describeRule(l state.Listener) types.Rule {
	return types.Rule{
		RuleArn: &l.RuleARN, Priority: aws.String("default"), IsDefault: aws.Bool(true),
		Conditions: []types.RuleCondition{}, Actions: describeForward(l),
	}
}
