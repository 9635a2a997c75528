package elbv2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
)

// Quotas are the limits of an account in a region.
type Quotas struct {
	LoadBalancers            int
	ListenersPerLoadBalancer int
	TargetGroups             int
	TargetsPerGroup          int
	TargetsPerLoadBalancer   int
	TargetsPerZone           int // per load balancer; all its targets with cross-zone load balancing
	CertificatesPerBalancer  int
	GroupsPerAction          int
	SecurityGroups           int // per load balancer
	TagsPerResource          int
}

// DefaultQuotas are AWS's (NLB user guide, quotas), except for the number of
// load balancers, target groups and addresses, which cost nothing here.
func DefaultQuotas() Quotas {
	return Quotas{
		LoadBalancers: 20_000, ListenersPerLoadBalancer: 50, TargetGroups: 60_000, TargetsPerGroup: 1000,
		TargetsPerLoadBalancer: 3000, TargetsPerZone: 500, CertificatesPerBalancer: 25, GroupsPerAction: 5,
		SecurityGroups: 5, TagsPerResource: 50,
	}
}

// limits are the quotas under AWS's names.
func (q Quotas) limits() []types.Limit {
	values := map[string]int{
		"network-load-balancers":                                  q.LoadBalancers,
		"listeners-per-network-load-balancer":                     q.ListenersPerLoadBalancer,
		"target-groups":                                           q.TargetGroups,
		"targets-per-target-group":                                q.TargetsPerGroup,
		"targets-per-network-load-balancer":                       q.TargetsPerLoadBalancer,
		"targets-per-availability-zone-per-network-load-balancer": q.TargetsPerZone,
		"certificates-per-network-load-balancer":                  q.CertificatesPerBalancer,
		"target-groups-per-action-on-network-load-balancer":       q.GroupsPerAction,
		"application-load-balancers":                              0,
		"gateway-load-balancers":                                  0,
	}
	var limits []types.Limit
	for name, n := range values {
		limit := strconv.Itoa(n)
		limits = append(limits, types.Limit{Name: &name, Max: &limit})
	}
	slices.SortFunc(limits, func(a, b types.Limit) int { return strings.Compare(*a.Name, *b.Name) })
	return limits
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
