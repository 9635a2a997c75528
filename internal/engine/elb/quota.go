package elb

import (
	"context"
	"slices"
	"strconv"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
)

// Quotas are the limits of an account in a region.
type Quotas struct {
	LoadBalancers  int
	Listeners      int // per load balancer
	Instances      int // per load balancer
	Policies       int // per load balancer
	SecurityGroups int // per load balancer
	Tags           int // per load balancer
}

// DefaultQuotas are AWS's (user guide for Classic Load Balancers, quotas),
// except for the number of load balancers, which cost nothing here. AWS
// publishes no number of policies.
func DefaultQuotas() Quotas {
	return Quotas{LoadBalancers: 20_000, Listeners: 100, Instances: 1000, Policies: 200, SecurityGroups: 5, Tags: 50}
}

// limits are the quotas that AWS names, in order of their names.
func (q Quotas) limits() []types.Limit {
	limit := func(name string, n int) types.Limit {
		most := strconv.Itoa(n)
		return types.Limit{Name: &name, Max: &most}
	}
	return []types.Limit{
		limit("classic-listeners", q.Listeners),
		limit("classic-load-balancers", q.LoadBalancers),
		limit("classic-registered-instances", q.Instances),
	}
}

func (s *Service) describeAccountLimits(ctx context.Context, in *elb.DescribeAccountLimitsInput) (*elb.DescribeAccountLimitsOutput, error) {
	if err := s.AllowAll(ctx, "DescribeAccountLimits"); err != nil {
		return nil, err
	}
	c, err := balancing.NewCursor(in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	limits, next := balancing.Page(c, slices.Values(s.Quotas.limits()), func(l types.Limit) string { return *l.Name })
	return &elb.DescribeAccountLimitsOutput{Limits: limits, NextMarker: next}, nil
}
