package tagging

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

const (
	balancer = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/0123456789abcdef"
	classic  = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/web"
	target   = "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/web/0123456789abcdef"
	group    = "arn:aws:ec2:us-west-2:000000000000:security-group/sg-1"
)

type authorizer struct{ refusal error }

func (a authorizer) Authorize(_ context.Context, action, resource string, _ map[string][]string) error {
	if action != "tag:GetResources" || resource != "*" {
		return fmt.Errorf("asked for %s on %s", action, resource)
	}
	return a.refusal
}

// client is a real client of a service with some tagged resources.
func client(t *testing.T, a Authorizer) *sdk.Client {
	t.Helper()
	db := statetest.New(t)
	err := db.Update(func(tx *store.Tx) error {
		state.PutTags(tx, balancer, map[string]string{"cluster": "a", "service": "x"})
		state.PutTags(tx, classic, map[string]string{"cluster": "b"})
		state.PutTags(tx, target, map[string]string{"cluster": "a", "service": "y"})
		state.PutTags(tx, "sg-1", map[string]string{"not": "by its ID"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ec2 := func(store.Reader, iter.Seq[state.TagSet]) iter.Seq2[string, map[string]string] {
		return maps.All(map[string]map[string]string{group: {"cluster": "a"}, "arn:aws:ec2:us-west-2:000000000000:vpc/vpc-1": {}})
	}
	service := New(Config{Region: apitest.Region, AccountID: apitest.AccountID, DB: db, Authorizer: a, EC2: ec2})
	return sdk.NewFromConfig(apitest.Serve(t, service.API()))
}

func find(t *testing.T, c *sdk.Client, in *sdk.GetResourcesInput) []string {
	t.Helper()
	var arns []string
	pages := sdk.NewGetResourcesPaginator(c, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.ResourceTagMappingList {
			arns = append(arns, *r.ResourceARN)
		}
	}
	return arns
}

func TestGetResources(t *testing.T) {
	c := client(t, authorizer{})
	filter := func(key string, values ...string) types.TagFilter { return types.TagFilter{Key: &key, Values: values} }
	for name, tc := range map[string]struct {
		in   sdk.GetResourcesInput
		want []string
	}{
		"all":                 {sdk.GetResourcesInput{}, []string{group, balancer, classic, target}},
		"all, in small pages": {sdk.GetResourcesInput{ResourcesPerPage: aws.Int32(1)}, []string{group, balancer, classic, target}},
		"with a tag":          {sdk.GetResourcesInput{TagFilters: []types.TagFilter{filter("cluster", "a")}}, []string{group, balancer, target}},
		"with any value":      {sdk.GetResourcesInput{TagFilters: []types.TagFilter{filter("service")}}, []string{balancer, target}},
		"with all of several": {sdk.GetResourcesInput{TagFilters: []types.TagFilter{filter("cluster", "a", "b"), filter("service", "y")}}, []string{target}},
		"no wildcards":        {sdk.GetResourcesInput{TagFilters: []types.TagFilter{filter("cluster", "*")}}, nil},
		"of a service":        {sdk.GetResourcesInput{ResourceTypeFilters: []string{"ec2"}}, []string{group}},
		"of types":            {sdk.GetResourcesInput{ResourceTypeFilters: []string{"elasticloadbalancing:loadbalancer", "ec2:security-group"}}, []string{group, balancer, classic}},
		"of a narrower type":  {sdk.GetResourcesInput{ResourceTypeFilters: []string{"elasticloadbalancing:loadbalancer/net"}}, []string{balancer}},
		"by ARN":              {sdk.GetResourcesInput{ResourceARNList: []string{target, "arn:absent"}}, []string{target}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, find(t, c, &tc.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestGetResourcesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		auth Authorizer
		in   sdk.GetResourcesInput
		code string
	}{
		"by IAM":               {authorizer{wire.AccessDeniedf("no")}, sdk.GetResourcesInput{}, "AccessDeniedException"},
		"too large a page":     {authorizer{}, sdk.GetResourcesInput{ResourcesPerPage: aws.Int32(101)}, "InvalidParameterException"},
		"ARNs and filters":     {authorizer{}, sdk.GetResourcesInput{ResourceARNList: []string{target}, ResourceTypeFilters: []string{"ec2"}}, "InvalidParameterException"},
		"a filter without key": {authorizer{}, sdk.GetResourcesInput{TagFilters: []types.TagFilter{{Key: aws.String("")}}}, "InvalidParameterException"},
		"a token that is none": {authorizer{}, sdk.GetResourcesInput{PaginationToken: aws.String("?")}, "PaginationTokenExpiredException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, tc.auth).GetResources(t.Context(), &tc.in)
			if apitest.Code(err) != tc.code {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
}

// TestFiltersLookAtWhatTheyAreAboutAlone: a request costs what it is about, not
// what the account has.
func TestFiltersLookAtWhatTheyAreAboutAlone(t *testing.T) {
	db := statetest.New(t)
	const others = 100
	err := db.Update(func(tx *store.Tx) error {
		state.PutTags(tx, balancer, map[string]string{"cluster": "a", "service": "x"})
		state.PutTags(tx, target, map[string]string{"cluster": "ab"})
		for i := range others {
			state.PutTags(tx, fmt.Sprint("sg-", i), map[string]string{"other": "a"})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Region: "us-west-2", AccountID: "000000000000", DB: db})
	for name, tc := range map[string]struct {
		in   getResourcesInput
		want int
	}{
		"all":              {getResourcesInput{}, others + 2},
		"a tag":            {getResourcesInput{TagFilters: []tagFilter{{Key: "cluster", Values: []string{"a"}}}}, 1},
		"a tag's key":      {getResourcesInput{TagFilters: []tagFilter{{Key: "cluster"}}}, 2},
		"part of a key":    {getResourcesInput{TagFilters: []tagFilter{{Key: "clust"}}}, 0},
		"a type":           {getResourcesInput{ResourceTypeFilters: []string{"elasticloadbalancing:loadbalancer"}}, 1},
		"ARNs":             {getResourcesInput{ResourceARNList: []string{target, "arn:aws:ec2:us-west-2:000000000000:security-group/sg-7"}}, 2},
		"a tag and a type": {getResourcesInput{TagFilters: []tagFilter{{Key: "cluster"}}, ResourceTypeFilters: []string{"ec2"}}, 2},
	} {
		n := 0
		for range s.candidates(db.Current(), &tc.in) {
			n++
		}
		if n != tc.want {
			t.Errorf("%s: %d looked at, want %d", name, n, tc.want)
		}
	}
}
