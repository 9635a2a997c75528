package elbv2

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

func TestQuotas(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Quotas = Quotas{LoadBalancers: 1, ListenersPerLoadBalancer: 1, TargetGroups: 2, TargetsPerGroup: 2, TargetsPerLoadBalancer: 3, TargetsPerZone: 2, GroupsPerAction: 1, SecurityGroups: 1, TagsPerResource: 1}
	})
	b, g, spare := h.balancer("web"), h.group("pods"), h.group("spare")
	h.listener(b, g, 80)
	port := func(id string, port int32) types.TargetDescription {
		return types.TargetDescription{Id: &id, Port: &port}
	}
	register := func(g types.TargetGroup, targets ...types.TargetDescription) error {
		_, err := h.RegisterTargets(h.ctx(), &elb.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets})
		return err
	}
	_, balancers := h.CreateLoadBalancer(h.ctx(), &elb.CreateLoadBalancerInput{Name: aws.String("more"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a"}})
	_, listeners := h.CreateListener(h.ctx(), listenTo(b, spare, 81))
	_, groups := h.CreateTargetGroup(h.ctx(), &elb.CreateTargetGroupInput{Name: aws.String("more"), Protocol: types.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: aws.String("vpc-1")})
	for code, err := range map[string]error{"TooManyLoadBalancers": balancers, "TooManyListeners": listeners, "TooManyTargetGroups": groups} {
		if apitest.Code(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	if err := register(g, port("i-a", 1), port("i-a", 2), port("i-b", 1)); apitest.Code(err) != "TooManyTargets" {
		t.Errorf("three targets in a group of two: %v", err)
	}
	if got := h.states(g); len(got) != 0 {
		t.Errorf("a registration that was refused left %q", got)
	}
	h.register(g, port("i-a", 1), port("i-a", 2))
	h.register(spare, port("i-a", 3), port("i-b", 3))
	_, err := h.ModifyListener(h.ctx(), &elb.ModifyListenerInput{ListenerArn: apitest.Must(h.DescribeListeners(h.ctx(), &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn}))(t).Listeners[0].ListenerArn,
		DefaultActions: forwardTo(spare)})
	if apitest.Code(err) != "TooManyTargets" {
		t.Errorf("a listener to a group that brings a zone above its quota: %v", err)
	}
	limits := apitest.Must(h.DescribeAccountLimits(h.ctx(), &elb.DescribeAccountLimitsInput{}))(t).Limits
	i := slices.IndexFunc(limits, func(l types.Limit) bool { return *l.Name == "targets-per-network-load-balancer" })
	if i < 0 || *limits[i].Max != "3" {
		t.Errorf("account limits: %+v", limits)
	}
}
