package balancing

import (
	"context"
	"maps"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// Authorizer decides whether the caller in ctx may do something; the error is
// what the client gets.
type Authorizer interface {
	Authorize(ctx context.Context, action, resourceARN string, keys map[string][]string) error
}

// Conditions are the values of condition keys that a request is judged by.
// Names are those of the Service Authorization Reference.
type Conditions map[string][]string

// Action is an action of the API with the condition keys that a request for it
// is judged by.
type Action struct {
	Name string
	Keys Conditions
}

const (
	// KeyPrefix begins the service's own condition keys, and its actions.
	KeyPrefix = "elasticloadbalancing:"
	// AnyResource is for actions without resource-level permissions.
	AnyResource = "*"
)

// Permits asks for permissions.
type Permits struct {
	authorizer Authorizer
	current    func() *store.Revision
}

// NewPermits asks an authorizer; resources have their tags in the current
// revision.
func NewPermits(authorizer Authorizer, current func() *store.Revision) Permits {
	return Permits{authorizer, current}
}

// AllowAll is for reads, which AWS judges without a resource.
func (p Permits) AllowAll(ctx context.Context, action string) error {
	return p.allow(ctx, action, AnyResource, nil)
}

// AllowOn is for actions on a resource that may exist: its tags count.
func (p Permits) AllowOn(ctx context.Context, action, arn string, extra ...Conditions) error {
	return p.allow(ctx, action, arn, joined(append(extra, resourceTags(p.current(), arn))...))
}

// Creation is a request to make a resource.
type Creation struct {
	Action
	On   string // the ARN, or the pattern of ARNs, that the action is judged on
	Made string // the pattern of ARNs that the new resource will match
	Tags []Tag
}

// AllowCreate is for actions that make a resource: the tags in the request
// count, and to give any needs AddTags as well.
func (p Permits) AllowCreate(ctx context.Context, c Creation) error {
	tags := RequestTags(c.Tags)
	if err := p.AllowOn(ctx, c.Name, c.On, c.Keys, tags); err != nil || len(c.Tags) == 0 {
		return err
	}
	return p.allow(ctx, "AddTags", c.Made, joined(tags, Conditions{KeyPrefix + "CreateAction": {c.Name}}))
}

func (p Permits) allow(ctx context.Context, action, resource string, keys Conditions) error {
	return p.authorizer.Authorize(ctx, KeyPrefix+action, resource, keys)
}

func joined(all ...Conditions) Conditions {
	sum := Conditions{}
	for _, c := range all {
		maps.Copy(sum, c)
	}
	return sum
}

func resourceTags(r store.Reader, arn string) Conditions {
	keys := Conditions{}
	for k, v := range state.Tags(r, arn) {
		keys["aws:ResourceTag/"+k] = []string{v}
		keys[KeyPrefix+"ResourceTag/"+k] = []string{v}
	}
	return keys
}

// CreateConditions are the condition keys of CreateLoadBalancer beside tags.
func CreateConditions(scheme lb.Scheme, subnets, securityGroups []string) Conditions {
	keys := Conditions{KeyPrefix + "Scheme": {string(scheme)}}
	if len(subnets) > 0 {
		keys[KeyPrefix+"Subnet"] = subnets
	}
	if len(securityGroups) > 0 {
		keys[KeyPrefix+"SecurityGroup"] = securityGroups
	}
	return keys
}

// RequestTags are the condition keys that tell of tags in a request.
func RequestTags(tags []Tag) Conditions {
	keys := Conditions{}
	for _, t := range tags {
		keys["aws:RequestTag/"+t.Key] = []string{t.Value}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], t.Key)
	}
	slices.Sort(keys["aws:TagKeys"])
	return keys
}
