package elbv2

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
)

func TestSecurityGroupsAreReplaced(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web")
	out := apitest.Must(h.SetSecurityGroups(h.ctx(), &elb.SetSecurityGroupsInput{LoadBalancerArn: b.LoadBalancerArn, SecurityGroups: []string{"sg-nodes", "sg-frontend"},
		EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: "off"}))(t)
	if !slices.Equal(out.SecurityGroupIds, []string{"sg-nodes", "sg-frontend"}) || out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != "off" {
		t.Errorf("SetSecurityGroups = %+v", out)
	}
	if _, found := state.LoadBalancersBySecurityGroup.First(h.db.Current(), "sg-nodes"); !found {
		t.Error("the load balancer is not found by its new group")
	}
}

func TestHealthChecksOfGroups(t *testing.T) {
	h := newHarness(t)
	show := func(g types.TargetGroup) string {
		s := fmt.Sprintf("%s %s %d/%d %d/%d", g.HealthCheckProtocol, *g.HealthCheckPort, *g.HealthCheckIntervalSeconds, *g.HealthCheckTimeoutSeconds, *g.HealthyThresholdCount, *g.UnhealthyThresholdCount)
		if g.HealthCheckPath != nil {
			s += " " + *g.HealthCheckPath + " " + *g.Matcher.HttpCode
		}
		return s
	}
	expect := func(what string, g types.TargetGroup, want string) {
		t.Helper()
		if got := show(g); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	tcp := h.group("tcp")
	expect("TCP", tcp, "TCP traffic-port 30/10 5/2")
	expect("HTTP", h.group("http", func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = types.ProtocolEnumHttp }), "HTTP traffic-port 30/6 5/2 / 200-399")
	expect("HTTPS", h.group("https", func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = types.ProtocolEnumHttps }), "HTTPS traffic-port 30/10 5/2 / 200-399")
	modify := func(in elb.ModifyTargetGroupInput) types.TargetGroup {
		t.Helper()
		in.TargetGroupArn = tcp.TargetGroupArn
		return apitest.Must(h.ModifyTargetGroup(h.ctx(), &in))(t).TargetGroups[0]
	}
	expect("modified to HTTP", modify(elb.ModifyTargetGroupInput{HealthCheckProtocol: types.ProtocolEnumHttp, HealthCheckPort: aws.String("31000"), HealthCheckPath: aws.String("/healthz"),
		HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(2), HealthyThresholdCount: aws.Int32(2)}), "HTTP 31000 5/2 2/2 /healthz 200-399")
	expect("modified in part", modify(elb.ModifyTargetGroupInput{Matcher: &types.Matcher{HttpCode: aws.String("200,202-204")}}), "HTTP 31000 5/2 2/2 /healthz 200,202-204")
	expect("modified back to TCP", modify(elb.ModifyTargetGroupInput{HealthCheckProtocol: types.ProtocolEnumTcp}), "TCP 31000 5/2 2/2")
}

func TestCapacityReservations(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web")
	describe := func() *elb.DescribeCapacityReservationOutput {
		t.Helper()
		return apitest.Must(h.DescribeCapacityReservation(h.ctx(), &elb.DescribeCapacityReservationInput{LoadBalancerArn: b.LoadBalancerArn}))(t)
	}
	if out := describe(); out.MinimumLoadBalancerCapacity != nil || len(out.CapacityReservationState) != 0 {
		t.Errorf("without a reservation: %+v", out)
	}
	apitest.Must(h.ModifyCapacityReservation(h.ctx(), &elb.ModifyCapacityReservationInput{LoadBalancerArn: b.LoadBalancerArn, MinimumLoadBalancerCapacity: &types.MinimumLoadBalancerCapacity{CapacityUnits: aws.Int32(3000)}}))(t)
	if out := describe(); *out.MinimumLoadBalancerCapacity.CapacityUnits != 3000 || len(out.CapacityReservationState) != 2 || *out.CapacityReservationState[0].EffectiveCapacityUnits != 1500 {
		t.Errorf("with a reservation: %+v", out)
	}
	apitest.Must(h.ModifyCapacityReservation(h.ctx(), &elb.ModifyCapacityReservationInput{LoadBalancerArn: b.LoadBalancerArn, ResetCapacityReservation: aws.Bool(true)}))(t)
	if out := describe(); out.MinimumLoadBalancerCapacity != nil {
		t.Errorf("after a reset: %+v", out)
	}
}

func TestListsArePaged(t *testing.T) {
	h := newHarness(t)
	want := map[string]bool{}
	for i := range 7 {
		want[*h.balancer(fmt.Sprint("b", i)).LoadBalancerName] = true
		h.group(fmt.Sprint("g", i))
	}
	pages, seen := 0, map[string]bool{}
	for p := elb.NewDescribeLoadBalancersPaginator(h.Client, &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(3)}); p.HasMorePages(); pages++ {
		for _, b := range apitest.Must(p.NextPage(h.ctx()))(t).LoadBalancers {
			seen[*b.LoadBalancerName] = true
		}
	}
	if diff := cmp.Diff(want, seen); diff != "" || pages != 3 {
		t.Errorf("%d pages (-want +got):\n%s", pages, diff)
	}
	pages, groups := 0, 0
	for p := elb.NewDescribeTargetGroupsPaginator(h.Client, &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(7)}); p.HasMorePages(); pages++ {
		groups += len(apitest.Must(p.NextPage(h.ctx()))(t).TargetGroups)
	}
	if pages != 1 || groups != 7 {
		t.Errorf("%d groups on %d pages, want 7 on 1", groups, pages)
	}
	policies := apitest.Must(h.DescribeSSLPolicies(h.ctx(), &elb.DescribeSSLPoliciesInput{}))(t).SslPolicies
	if !slices.IsSortedFunc(policies, func(a, b types.SslPolicy) int { return strings.Compare(*a.Name, *b.Name) }) {
		t.Error("SSL policies are not sorted by name, so pages would lose some")
	}
}

func TestTagsAreMergedAndRemoved(t *testing.T) {
	h := newHarness(t)
	g := h.group("pods", func(in *elb.CreateTargetGroupInput) {
		in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}
	})
	l := h.listener(h.balancer("web"), g, 80)
	rules := apitest.Must(h.DescribeRules(h.ctx(), &elb.DescribeRulesInput{ListenerArn: l.ListenerArn}))(t).Rules
	arns := []string{*g.TargetGroupArn, *l.ListenerArn, *rules[0].RuleArn}
	apitest.Must(h.AddTags(h.ctx(), &elb.AddTagsInput{ResourceArns: arns, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("2")}, {Key: aws.String("b")}}}))(t)
	apitest.Must(h.RemoveTags(h.ctx(), &elb.RemoveTagsInput{ResourceArns: arns[1:], TagKeys: []string{"a", "absent"}}))(t)
	out := apitest.Must(h.DescribeTags(h.ctx(), &elb.DescribeTagsInput{ResourceArns: arns}))(t).TagDescriptions
	got := balancing.Convert(out, func(d types.TagDescription) string {
		return strings.Join(balancing.Convert(d.Tags, func(t types.Tag) string { return *t.Key + "=" + aws.ToString(t.Value) }), " ")
	})
	if diff := cmp.Diff([]string{"a=2 b=", "b=", "b="}, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}
