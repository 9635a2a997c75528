package elb

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// maxDescribedTags is how many load balancers one DescribeTags may name.
const maxDescribedTags = 20

func plainTags(tags []types.Tag) []balancing.Tag {
	return balancing.Convert(tags, func(t types.Tag) balancing.Tag {
		return balancing.Tag{Key: aws.ToString(t.Key), Value: aws.ToString(t.Value)}
	})
}

// editTags authorises action on a load balancer and replaces its tags. The API
// takes a list of names that has one.
func (s *Service) editTags(ctx context.Context, action balancing.Action, names []string, edit func(tags map[string]string) error) error {
	if len(names) != 1 {
		return invalid("Exactly one load balancer name must be specified, not %d", len(names))
	}
	_, err := s.edit(ctx, action, &names[0], func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		tags := state.Tags(tx, b.ARN)
		if err := edit(tags); err != nil {
			return err
		}
		state.PutTags(tx, b.ARN, tags)
		return balancing.CheckTagCount(tags, s.Quotas.Tags)
	})
	return err
}

func (s *Service) addTags(ctx context.Context, in *elb.AddTagsInput) (*elb.AddTagsOutput, error) {
	plain := plainTags(in.Tags)
	return &elb.AddTagsOutput{}, s.editTags(ctx, balancing.Action{Name: "AddTags", Keys: balancing.RequestTags(plain)}, in.LoadBalancerNames, func(tags map[string]string) error {
		if len(plain) == 0 {
			return invalid("At least one tag must be specified")
		}
		added, err := balancing.NewTags(plain, s.Quotas.Tags)
		maps.Copy(tags, added)
		return err
	})
}

func (s *Service) removeTags(ctx context.Context, in *elb.RemoveTagsInput) (*elb.RemoveTagsOutput, error) {
	removed := balancing.Convert(in.Tags, func(t types.TagKeyOnly) string { return aws.ToString(t.Key) })
	keys := balancing.Conditions{"aws:TagKeys": slices.Sorted(slices.Values(removed))}
	return &elb.RemoveTagsOutput{}, s.editTags(ctx, balancing.Action{Name: "RemoveTags", Keys: keys}, in.LoadBalancerNames, func(tags map[string]string) error {
		for _, k := range removed {
			delete(tags, k)
		}
		return nil
	})
}

func (s *Service) describeTags(ctx context.Context, in *elb.DescribeTagsInput) (*elb.DescribeTagsOutput, error) {
	if err := s.AllowAll(ctx, "DescribeTags"); err != nil {
		return nil, err
	}
	names := balancing.Distinct(in.LoadBalancerNames)
	if len(names) == 0 || len(names) > maxDescribedTags {
		return nil, invalid("1 validation error detected: Value of %d names at 'loadBalancerNames' failed to satisfy constraint: Member must have length between 1 and %d", len(names), maxDescribedTags)
	}
	r := s.DB.Current()
	out := &elb.DescribeTagsOutput{TagDescriptions: []types.TagDescription{}}
	for _, name := range names {
		b, err := s.balancer(r, &name)
		if err != nil {
			return nil, err
		}
		tags := state.Tags(r, b.ARN)
		out.TagDescriptions = append(out.TagDescriptions, types.TagDescription{
			LoadBalancerName: &b.Name,
			Tags: balancing.Convert(slices.Sorted(maps.Keys(tags)), func(k string) types.Tag {
				return types.Tag{Key: &k, Value: aws.String(tags[k])}
			}),
		})
	}
	return out, nil
}
