package elbv2

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

func plainTags(tags []types.Tag) []balancing.Tag {
	return balancing.Convert(tags, func(t types.Tag) balancing.Tag {
		return balancing.Tag{Key: aws.ToString(t.Key), Value: aws.ToString(t.Value)}
	})
}

// newTags checks the tags of a request.
func (s *Service) newTags(list []types.Tag) (map[string]string, error) {
	return balancing.NewTags(plainTags(list), s.Quotas.TagsPerResource)
}

// checkExists wants a resource that can be tagged to be there.
func checkExists(r store.Reader, arn string) error {
	found := false
	n := nounOf(arn)
	switch n {
	case balancerNoun:
		_, found = state.LoadBalancers.Get(r, arn)
	case groupNoun:
		_, found = state.TargetGroups.Get(r, arn)
	case listenerNoun:
		_, found = state.Listeners.Get(r, arn)
	case ruleNoun:
		_, found = listenerOfRule(r, arn)
	case trustStoreNoun, otherNoun:
	}
	if !found {
		return notFound(n, arn)
	}
	return nil
}

// editTags authorises action on every resource and replaces their tags in one
// transaction.
func (s *Service) editTags(ctx context.Context, action balancing.Action, arns []string, edit func(tags map[string]string) error) error {
	for _, arn := range arns {
		if err := s.AllowOn(ctx, action.Name, arn, action.Keys); err != nil {
			return err
		}
	}
	return s.DB.Update(func(tx *store.Tx) error {
		for _, arn := range balancing.Distinct(arns) {
			if err := checkExists(tx, arn); err != nil {
				return err
			}
			tags := state.Tags(tx, arn)
			if err := edit(tags); err != nil {
				return err
			}
			if err := balancing.CheckTagCount(tags, s.Quotas.TagsPerResource); err != nil {
				return err
			}
			state.PutTags(tx, arn, tags)
		}
		return nil
	})
}

func (s *Service) addTags(ctx context.Context, in *elb.AddTagsInput) (*elb.AddTagsOutput, error) {
	return &elb.AddTagsOutput{}, s.editTags(ctx, balancing.Action{Name: "AddTags", Keys: balancing.RequestTags(plainTags(in.Tags))}, in.ResourceArns, func(tags map[string]string) error {
		added, err := s.newTags(in.Tags)
		maps.Copy(tags, added)
		return err
	})
}

func (s *Service) removeTags(ctx context.Context, in *elb.RemoveTagsInput) (*elb.RemoveTagsOutput, error) {
	keys := balancing.Conditions{"aws:TagKeys": slices.Sorted(slices.Values(in.TagKeys))}
	return &elb.RemoveTagsOutput{}, s.editTags(ctx, balancing.Action{Name: "RemoveTags", Keys: keys}, in.ResourceArns, func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return nil
	})
}

func (s *Service) describeTags(ctx context.Context, in *elb.DescribeTagsInput) (*elb.DescribeTagsOutput, error) {
	if err := s.AllowAll(ctx, "DescribeTags"); err != nil {
		return nil, err
	}
	arns := balancing.Distinct(in.ResourceArns)
	if len(arns) > maxDescribed {
		return nil, invalid("Cannot have more than %d resources described", maxDescribed)
	}
	r := s.DB.Current()
	out := &elb.DescribeTagsOutput{TagDescriptions: []types.TagDescription{}}
	for _, arn := range arns {
		if err := checkExists(r, arn); err != nil {
			return nil, err
		}
		tags := state.Tags(r, arn)
		out.TagDescriptions = append(out.TagDescriptions, types.TagDescription{
			ResourceArn: &arn,
			Tags: balancing.Convert(slices.Sorted(maps.Keys(tags)), func(k string) types.Tag {
				return types.Tag{Key: &k, Value: aws.String(tags[k])}
			}),
		})
	}
	return out, nil
}
