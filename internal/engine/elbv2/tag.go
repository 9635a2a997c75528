package elbv2

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Bounds of a tag (Tag in the API reference), in characters.
const (
	maxTagKey   = 128
	maxTagValue = 256
)

var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// newTags checks the tags of a request.
func (s *Service) newTags(list []types.Tag) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	for _, t := range list {
		key, value := aws.ToString(t.Key), aws.ToString(t.Value)
		if err := checkTag(key, value); err != nil {
			return nil, err
		}
		if _, twice := tags[key]; twice {
			return nil, wire.Errorf("DuplicateTagKeys", "A tag key was specified more than once: '%s'", key)
		}
		tags[key] = value
	}
	if len(tags) > s.Quotas.TagsPerResource {
		return nil, tooMany("TooManyTags", "tags for a resource", s.Quotas.TagsPerResource)
	}
	return tags, nil
}

func checkTag(key, value string) error {
	switch {
	case key == "":
		return invalid("1 validation error detected: Value '' at 'tags.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case utf8.RuneCountInString(key) > maxTagKey:
		return invalid("Tag key '%s' cannot be longer than '%d' characters", key, maxTagKey)
	case utf8.RuneCountInString(value) > maxTagValue:
		return invalid("Tag value '%s' cannot be longer than '%d' characters", value, maxTagValue)
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return invalid("Tag key '%s' is not valid: the prefix 'aws:' is reserved", key)
	case !tagPattern.MatchString(key):
		return invalid("Tag key '%s' contains characters that are not valid", key)
	case !tagPattern.MatchString(value):
		return invalid("Tag value '%s' contains characters that are not valid", value)
	}
	return nil
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
func (s *Service) editTags(ctx context.Context, action string, arns []string, keys conditions, edit func(tags map[string]string) error) error {
	for _, arn := range arns {
		if err := s.allowOn(ctx, action, arn, keys); err != nil {
			return err
		}
	}
	return s.DB.Update(func(tx *store.Tx) error {
		for _, arn := range distinct(arns) {
			if err := checkExists(tx, arn); err != nil {
				return err
			}
			tags := state.Tags(tx, arn)
			if err := edit(tags); err != nil {
				return err
			}
			if len(tags) > s.Quotas.TagsPerResource {
				return tooMany("TooManyTags", "tags for a resource", s.Quotas.TagsPerResource)
			}
			state.PutTags(tx, arn, tags)
		}
		return nil
	})
}

func (s *Service) addTags(ctx context.Context, in *elb.AddTagsInput) (*elb.AddTagsOutput, error) {
	return &elb.AddTagsOutput{}, s.editTags(ctx, "AddTags", in.ResourceArns, requestTags(in.Tags), func(tags map[string]string) error {
		added, err := s.newTags(in.Tags)
		maps.Copy(tags, added)
		return err
	})
}

func (s *Service) removeTags(ctx context.Context, in *elb.RemoveTagsInput) (*elb.RemoveTagsOutput, error) {
	keys := conditions{"aws:TagKeys": slices.Sorted(slices.Values(in.TagKeys))}
	return &elb.RemoveTagsOutput{}, s.editTags(ctx, "RemoveTags", in.ResourceArns, keys, func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return nil
	})
}

func (s *Service) describeTags(ctx context.Context, in *elb.DescribeTagsInput) (*elb.DescribeTagsOutput, error) {
	if err := s.allowAll(ctx, "DescribeTags"); err != nil {
		return nil, err
	}
	arns := distinct(in.ResourceArns)
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
			Tags: convert(slices.Sorted(maps.Keys(tags)), func(k string) types.Tag {
				return types.Tag{Key: &k, Value: aws.String(tags[k])}
			}),
		})
	}
	return out, nil
}
