package elbv2

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// conditions are the values of condition keys that a request is judged by.
// Names are those of the Service Authorization Reference.
type conditions map[string][]string

const (
	servicePrefix = "elasticloadbalancing:"
	anyResource   = "*" // actions without resource-level permissions
)

// allow asks whether the caller may do action on a resource.
func (s *Service) allow(ctx context.Context, action, resource string, keys conditions) error {
	return s.Authorizer.Authorize(ctx, servicePrefix+action, resource, keys)
}

// allowAll is for reads, which AWS judges without a resource.
func (s *Service) allowAll(ctx context.Context, action string) error {
	return s.allow(ctx, action, anyResource, nil)
}

// allowOn is for actions on a resource that may exist: its tags count.
func (s *Service) allowOn(ctx context.Context, action, arn string, extra ...conditions) error {
	return s.allow(ctx, action, arn, joined(append(extra, resourceTags(s.DB.Current(), arn))...))
}

// allowCreate is for actions that make a resource: the tags in the request
// count, and to give any needs AddTags as well.
func (s *Service) allowCreate(ctx context.Context, action, resource, created string, tags []types.Tag, extra ...conditions) error {
	keys := joined(append(extra, requestTags(tags))...)
	if err := s.allowOn(ctx, action, resource, keys); err != nil || len(tags) == 0 {
		return err
	}
	return s.allow(ctx, "AddTags", created, joined(requestTags(tags), conditions{servicePrefix + "CreateAction": {action}}))
}

func joined(all ...conditions) conditions {
	sum := conditions{}
	for _, c := range all {
		maps.Copy(sum, c)
	}
	return sum
}

func resourceTags(r store.Reader, arn string) conditions {
	keys := conditions{}
	for k, v := range state.Tags(r, arn) {
		keys["aws:ResourceTag/"+k] = []string{v}
		keys[servicePrefix+"ResourceTag/"+k] = []string{v}
	}
	return keys
}

func requestTags(tags []types.Tag) conditions {
	keys := conditions{}
	for _, t := range tags {
		keys["aws:RequestTag/"+aws.ToString(t.Key)] = []string{aws.ToString(t.Value)}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], aws.ToString(t.Key))
	}
	slices.Sort(keys["aws:TagKeys"])
	return keys
}
