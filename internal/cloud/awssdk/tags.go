package awssdk

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	taggingtypes "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
)

// AddTags implements cloud.Tags.
func (c *Client) AddTags(ctx context.Context, arn string, tags map[string]string) error {
	return run(ctx, c, "tag "+nameIn(arn), c.elb.AddTags, &elbv2.AddTagsInput{ResourceArns: []string{arn}, Tags: elbTags(tags)})
}

// RemoveTags implements cloud.Tags.
func (c *Client) RemoveTags(ctx context.Context, arn string, keys []string) error {
	return run(ctx, c, "untag "+nameIn(arn), c.elb.RemoveTags, &elbv2.RemoveTagsInput{ResourceArns: []string{arn}, TagKeys: keys})
}

// DescribeTags implements cloud.Tags.
func (c *Client) DescribeTags(ctx context.Context, arns []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for batch := range slices.Chunk(arns, cloud.BatchSize) {
		page, err := call(ctx, c, "describe tags", c.elb.DescribeTags, &elbv2.DescribeTagsInput{ResourceArns: batch})
		if err != nil {
			return nil, err
		}
		for _, d := range page.TagDescriptions {
			tags := map[string]string{}
			for _, t := range d.Tags {
				tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
			out[aws.ToString(d.ResourceArn)] = tags
		}
	}
	return out, nil
}

// FindByTags implements cloud.Tags.
func (c *Client) FindByTags(ctx context.Context, tags map[string]string) (map[string]map[string]string, error) {
	in := &tagging.GetResourcesInput{ResourcesPerPage: aws.Int32(100)}
	for _, kv := range pairs(tags) {
		in.TagFilters = append(in.TagFilters, taggingtypes.TagFilter{Key: &kv[0], Values: []string{kv[1]}})
	}
	out := map[string]map[string]string{}
	for {
		page, err := call(ctx, c, "find resources by tags", c.tagging.GetResources, in)
		if err != nil {
			return nil, err
		}
		for _, r := range page.ResourceTagMappingList {
			found := map[string]string{}
			for _, t := range r.Tags {
				found[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
			out[aws.ToString(r.ResourceARN)] = found
		}
		if in.PaginationToken = page.PaginationToken; aws.ToString(in.PaginationToken) == "" {
			return out, nil
		}
	}
}

func elbTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, kv := range pairs(tags) {
		out = append(out, types.Tag{Key: &kv[0], Value: &kv[1]})
	}
	return out
}

// pairs are the entries of a map by key, so that equal requests look equal.
func pairs(m map[string]string) [][2]string {
	out := make([][2]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, [2]string{k, m[k]})
	}
	return out
}

func mapped[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func seconds(d time.Duration) *int32 { return aws.Int32(int32(d / time.Second)) }

// ignore makes nil of an error of a class.
func ignore(class cloud.Class, err error) error {
	if cloud.Is(err, class) {
		return nil
	}
	return err
}

// actionOf is the API's name of the action that takes this input.
func actionOf(in any) string {
	return strings.TrimSuffix(reflect.TypeOf(in).Elem().Name(), "Input")
}
