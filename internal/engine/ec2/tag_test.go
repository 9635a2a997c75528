package ec2

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

func (b bench) tag(t *testing.T, tags []types.Tag, resources ...string) error {
	return apitest.Err(b.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: resources, Tags: tags}))
}

func (b bench) untag(t *testing.T, tags []types.Tag, resources ...string) error {
	return apitest.Err(b.DeleteTags(t.Context(), &sdk.DeleteTagsInput{Resources: resources, Tags: tags}))
}

func TestTags(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front", tag("a", "1"))
	if err := b.tag(t, []types.Tag{tag("a", "2"), tag("b", "")}, id, subnetB, node1); err != nil {
		t.Fatal(err)
	}
	out := apitest.Must(b.DescribeTags(t.Context(), &sdk.DescribeTagsInput{Filters: []types.Filter{filter("key", "a", "Name")}}))(t)
	var got []string
	for _, d := range out.Tags {
		got = append(got, strings.Join([]string{*d.ResourceId, string(d.ResourceType), *d.Key, *d.Value}, " "))
	}
	want := []string{
		id + " security-group a 2", subnetB + " subnet a 2", node1 + " instance a 2",
		node1 + " instance Name node-1", vpcID + " vpc Name lab",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if err := b.untag(t, []types.Tag{tag("a", "1"), {Key: aws.String("b")}}, id); err != nil { // a has another value
		t.Fatal(err)
	}
	if tags := describeGroup(t, b, id).Tags; len(tags) != 1 || *tags[0].Key != "a" {
		t.Errorf("tags after deleting: %v", tags)
	}
	if err := b.untag(t, nil, id, subnetB); err != nil {
		t.Fatal(err)
	}
	if tags := describeGroup(t, b, id).Tags; len(tags) != 0 {
		t.Errorf("tags after deleting all: %v", tags)
	}
	wantCode(t, b.untag(t, []types.Tag{{Key: aws.String("Name")}}, vpcID), "OperationNotPermitted")
}

func TestTagsThatAreRefused(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front")
	for name, tc := range map[string]struct {
		tags     []types.Tag
		resource string
		code     string
	}{
		"an absent group":        {[]types.Tag{tag("a", "b")}, "sg-0", "InvalidGroup.NotFound"},
		"an absent instance":     {[]types.Tag{tag("a", "b")}, "i-0", "InvalidInstanceID.NotFound"},
		"an absent rule":         {[]types.Tag{tag("a", "b")}, "sgr-0", "InvalidSecurityGroupRuleId.NotFound"},
		"an ID of nothing":       {[]types.Tag{tag("a", "b")}, "bucket", "InvalidID"},
		"a reserved key":         {[]types.Tag{tag("aws:x", "b")}, id, "InvalidParameterValue"},
		"a long key":             {[]types.Tag{tag(strings.Repeat("k", 129), "b")}, id, "InvalidParameterValue"},
		"a long value":           {[]types.Tag{tag("k", strings.Repeat("v", 257))}, id, "InvalidParameterValue"},
		"a key twice":            {[]types.Tag{tag("k", "1"), tag("k", "2")}, id, "InvalidParameterValue"},
		"more than there may be": {manyTags(51), id, "TagLimitExceeded"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, b.tag(t, tc.tags, tc.resource), tc.code) })
	}
	if err := b.tag(t, manyTags(50), id); err != nil {
		t.Errorf("50 tags: %v", err)
	}
	wantCode(t, b.tag(t, []types.Tag{tag("one more", "")}, id), "TagLimitExceeded")
}

func manyTags(n int) []types.Tag {
	var tags []types.Tag
	for i := range n {
		tags = append(tags, tag(fmt.Sprint("k", i), "v"))
	}
	return tags
}
