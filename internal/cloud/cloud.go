// Package cloud is what the controller asks of AWS, in words of its own, and
// what its errors mean.
//
// Invariants: it imports no AWS client (awssdk does); every error from an API
// is an *Error, whose class decides what happens next and nothing else does.
package cloud

import (
	"context"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// API is everything that the controller asks of AWS.
type API interface {
	LoadBalancers
	TargetGroups
	Targets
	Listeners
	SecurityGroups
	Tags
	Classic
	// DescribeSubnets are the subnets of the VPC.
	DescribeSubnets(ctx context.Context) ([]intent.Subnet, error)
}

// LoadBalancers are the actions on load balancers.
type LoadBalancers interface {
	CreateLoadBalancer(ctx context.Context, want lb.LoadBalancer) (LoadBalancer, error)
	// DescribeLoadBalancers leaves out names that do not exist.
	DescribeLoadBalancers(ctx context.Context, names []string) ([]LoadBalancer, error)
	DeleteLoadBalancer(ctx context.Context, arn string) error
	// SetSubnets sets subnets, the addresses chosen in them, address type and
	// prefixes for source NAT at once.
	SetSubnets(ctx context.Context, arn string, want lb.LoadBalancer) error
	// SetSecurityGroups also says whether the groups' rules spare PrivateLink.
	SetSecurityGroups(ctx context.Context, arn string, groups []string, privateLinkUnfiltered bool) error
	SetIPAddressType(ctx context.Context, arn string, t lb.IPAddressType) error
	DescribeLoadBalancerAttributes(ctx context.Context, arn string) (map[string]string, error)
	ModifyLoadBalancerAttributes(ctx context.Context, arn string, attrs map[string]string) error
	// DescribeCapacityReservation is the number of reserved capacity units.
	DescribeCapacityReservation(ctx context.Context, arn string) (int32, error)
	// ModifyCapacityReservation reserves capacity units; 0 gives them back.
	ModifyCapacityReservation(ctx context.Context, arn string, units int32) error
}

// TargetGroups are the actions on target groups.
type TargetGroups interface {
	CreateTargetGroup(ctx context.Context, want lb.TargetGroup) (TargetGroup, error)
	// DescribeTargetGroups leaves out names that do not exist.
	DescribeTargetGroups(ctx context.Context, names []string) ([]TargetGroup, error)
	ModifyTargetGroup(ctx context.Context, arn string, check lb.HealthCheck) error
	DeleteTargetGroup(ctx context.Context, arn string) error
	DescribeTargetGroupAttributes(ctx context.Context, arn string) (map[string]string, error)
	ModifyTargetGroupAttributes(ctx context.Context, arn string, attrs map[string]string) error
}

// Targets are the actions on the targets of a group.
type Targets interface {
	RegisterTargets(ctx context.Context, groupARN string, targets []Target) error
	DeregisterTargets(ctx context.Context, groupARN string, targets []Target) error
	DescribeTargetHealth(ctx context.Context, groupARN string) ([]TargetHealth, error)
}

// Listeners are the actions on listeners.
type Listeners interface {
	CreateListener(ctx context.Context, balancerARN string, want Listener, tags map[string]string) (string, error)
	DescribeListeners(ctx context.Context, balancerARN string) ([]Listener, error)
	// DescribeListenersByARN leaves out what does not exist.
	DescribeListenersByARN(ctx context.Context, arns []string) ([]Listener, error)
	ModifyListener(ctx context.Context, want Listener) error
	// DescribeListenerCertificates are the certificates beside the default one.
	DescribeListenerCertificates(ctx context.Context, arn string) ([]string, error)
	AddListenerCertificates(ctx context.Context, arn string, certificates []string) error
	RemoveListenerCertificates(ctx context.Context, arn string, certificates []string) error
	DeleteListener(ctx context.Context, arn string) error
	DescribeListenerAttributes(ctx context.Context, arn string) (map[string]string, error)
	ModifyListenerAttributes(ctx context.Context, arn string, attrs map[string]string) error
}

// SecurityGroups are the actions on security groups of the VPC.
type SecurityGroups interface {
	CreateSecurityGroup(ctx context.Context, want lb.SecurityGroup) (string, error)
	// DescribeSecurityGroups leaves out what does not exist.
	DescribeSecurityGroups(ctx context.Context, by GroupFilter) ([]SecurityGroup, error)
	AuthorizeIngress(ctx context.Context, groupID string, rules []lb.Rule) error
	RevokeIngress(ctx context.Context, groupID string, rules []lb.Rule) error
	DeleteSecurityGroup(ctx context.Context, groupID string) error
}

// Tags are the actions on tags: of ELBv2 resources by ARN, of EC2 ones by ID.
type Tags interface {
	AddTags(ctx context.Context, arn string, tags map[string]string) error
	RemoveTags(ctx context.Context, arn string, keys []string) error
	// DescribeTags are the tags by ARN.
	DescribeTags(ctx context.Context, arns []string) (map[string]map[string]string, error)
	CreateTags(ctx context.Context, id string, tags map[string]string) error
	DeleteTags(ctx context.Context, id string, keys []string) error
	// FindByTags are all resources that carry these tags: all their tags by ARN.
	// It may be behind, in what it tells and in what it does not.
	FindByTags(ctx context.Context, tags map[string]string) (map[string]map[string]string, error)
}

// LoadBalancer is a load balancer as ELBv2 describes it.
type LoadBalancer struct {
	lb.LoadBalancer // without attributes and tags
	ARN             string
	DNSName         string
	State           lb.State
}

// TargetGroup is a target group as ELBv2 describes it.
type TargetGroup struct {
	lb.TargetGroup // without key, attributes, tags and targets
	ARN            string
	VPCID          string
	Balancers      []string // ARNs of those that use it
}

// Target is a target as it is registered. Zone is "all" for an address outside
// the VPC's subnets and empty otherwise.
type Target struct {
	lb.Target
	Zone string
}

// TargetHealth is a registered target with its health.
type TargetHealth struct {
	lb.Target
	lb.TargetHealth
}

// Listener is a listener and the groups that it forwards to, by ARN. Of the
// certificates it has the default one only.
type Listener struct {
	ARN        string
	Port       uint16
	Protocol   lb.Protocol
	Forward    []Forward
	Stickiness bool // a client stays with one of several groups
	Security   lb.Security
}

// Forward is one group of a listener. The weight has no meaning when the group
// is the only one.
type Forward struct {
	GroupARN string
	Weight   int
}

// GroupFilter says which security groups are meant: by IDs, by names, by one
// Name tag, or by a tag's key. Exactly one field is set.
type GroupFilter struct {
	IDs     []string
	Names   []string
	NameTag string
	TagKey  string
}

// SecurityGroup is a security group as EC2 describes it.
type SecurityGroup struct {
	ID      string
	Name    string
	Tags    map[string]string
	Ingress []IngressRule
}

// IngressRule is a rule with the description that says whose it is.
type IngressRule struct {
	lb.Rule
	Description string
}
