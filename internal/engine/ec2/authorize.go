package ec2

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// conditions are the values of condition keys that a request is judged by.
// Names are those of the Service Authorization Reference for EC2.
type conditions map[string][]string

// anyResource is what actions without resource-level permissions are judged on.
const anyResource = "*"

// DryRun is part of every request: only find out whether it would be allowed.
type DryRun struct {
	DryRun bool `ec2:"DryRun"`
}

// check ends a dry run, once the request is known to be allowed.
func (d DryRun) check() error {
	if !d.DryRun {
		return nil
	}
	return &wire.Error{Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set.", Status: http.StatusPreconditionFailed}
}

func (s *Service) allow(ctx context.Context, action, resource string, keys ...conditions) error {
	all := conditions{}
	for _, k := range keys {
		maps.Copy(all, k)
	}
	return s.Authorizer.Authorize(ctx, "ec2:"+action, resource, all)
}

// allowRead is for the Describe actions, which EC2 judges without a resource.
func (s *Service) allowRead(ctx context.Context, action string, d DryRun) error {
	if err := s.allow(ctx, action, anyResource); err != nil {
		return err
	}
	return d.check()
}

// arn is that of a resource of this account, such as security-group/sg-1.
func (s *Service) arn(kind, id string) string {
	return "arn:aws:ec2:" + s.Region + ":" + s.AccountID + ":" + kind + "/" + id
}

func (s *Service) vpcCondition(vpcID string) conditions {
	return conditions{"ec2:Vpc": {s.arn("vpc", vpcID)}}
}

func resourceTags(tags map[string]string) conditions {
	keys := conditions{}
	for k, v := range tags {
		keys["aws:ResourceTag/"+k] = []string{v}
		keys["ec2:ResourceTag/"+k] = []string{v}
	}
	return keys
}

func requestTags(tags map[string]string) conditions {
	keys := conditions{}
	for k, v := range tags {
		keys["aws:RequestTag/"+k] = []string{v}
	}
	if len(tags) > 0 {
		keys["aws:TagKeys"] = slices.Sorted(maps.Keys(tags))
	}
	return keys
}

// allowTagging asks for CreateTags when a create comes with tags.
func (s *Service) allowTagging(ctx context.Context, action, kind string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	return s.allow(ctx, "CreateTags", s.arn(kind, anyResource), requestTags(tags), conditions{"ec2:CreateAction": {action}})
}
