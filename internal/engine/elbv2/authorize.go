package elbv2

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
)

// allowCreate is for actions that make a resource: the tags in the request
// count, and to give any needs AddTags as well.
func (s *Service) allowCreate(ctx context.Context, action, resource, created string, tags []types.Tag, extra ...balancing.Conditions) error {
	return s.AllowCreate(ctx, action, resource, created, plainTags(tags), extra...)
}

func plainTags(tags []types.Tag) []balancing.Tag {
	return balancing.Convert(tags, func(t types.Tag) balancing.Tag {
		return balancing.Tag{Key: aws.ToString(t.Key), Value: aws.ToString(t.Value)}
	})
}
