package cloud

import (
	"context"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Classic is everything that the controller asks of version 2012-06-01 of ELB,
// the API of Classic Load Balancers. A name is all the ID that they have.
type Classic interface {
	ClassicLoadBalancers
	ClassicListeners
	ClassicInstances
	ClassicTags
}

// ClassicLoadBalancers are the actions on Classic Load Balancers.
type ClassicLoadBalancers interface {
	CreateClassicLoadBalancer(ctx context.Context, want lb.LoadBalancer, listeners []lb.ClassicListener) (dnsName string, err error)
	// DescribeClassicLoadBalancers leaves out names that do not exist.
	DescribeClassicLoadBalancers(ctx context.Context, names []string) ([]ClassicLoadBalancer, error)
	DeleteClassicLoadBalancer(ctx context.Context, name string) error
	AttachSubnets(ctx context.Context, name string, subnets []string) error
	DetachSubnets(ctx context.Context, name string, subnets []string) error
	ApplySecurityGroups(ctx context.Context, name string, groups []string) error
	ConfigureHealthCheck(ctx context.Context, name string, check lb.HealthCheck) error
	// DescribeClassicAttributes and ModifyClassicAttributes know attributes by the
	// names in lb. A group of them is written whole.
	DescribeClassicAttributes(ctx context.Context, name string) (map[string]string, error)
	ModifyClassicAttributes(ctx context.Context, name string, attrs map[string]string) error
}

// ClassicListeners are the actions on listeners and policies.
type ClassicListeners interface {
	CreateListeners(ctx context.Context, name string, listeners []lb.ClassicListener) error
	DeleteListeners(ctx context.Context, name string, ports []uint16) error
	SetListenerCertificate(ctx context.Context, name string, port uint16, arn string) error
	CreatePolicy(ctx context.Context, name string, policy lb.ClassicPolicy) error
	DeletePolicy(ctx context.Context, name, policy string) error
	SetListenerPolicies(ctx context.Context, name string, port uint16, policies []string) error
	SetBackendPolicies(ctx context.Context, name string, instancePort uint16, policies []string) error
}

// ClassicInstances are the actions on instances.
type ClassicInstances interface {
	RegisterInstances(ctx context.Context, name string, ids []string) error
	DeregisterInstances(ctx context.Context, name string, ids []string) error
	// DescribeInstanceHealth tells of instances as targets without a port: healthy
	// is InService, initial what the load balancer has not judged yet.
	DescribeInstanceHealth(ctx context.Context, name string) ([]TargetHealth, error)
}

// ClassicTags are the actions on tags of Classic Load Balancers.
type ClassicTags interface {
	AddClassicTags(ctx context.Context, name string, tags map[string]string) error
	RemoveClassicTags(ctx context.Context, name string, keys []string) error
	// DescribeClassicTags are the tags by name.
	DescribeClassicTags(ctx context.Context, names []string) (map[string]map[string]string, error)
}

// ClassicLoadBalancer is a Classic Load Balancer as ELB describes it: without
// attributes and tags. Of policies it has the names, and none for stickiness,
// which are not our concern.
type ClassicLoadBalancer struct {
	lb.LoadBalancer
	lb.ClassicParts
	DNSName string
}
