package elbv2

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func TestTheLifeOfANetworkLoadBalancer(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web", func(in *elb.CreateLoadBalancerInput) {
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}
	})
	checkNewBalancer(t, b)
	g := h.group("pods")
	l := h.listener(b, g, 80)
	h.register(g, instances("i-a", "i-b")...)

	groups := apitest.Must(h.DescribeTargetGroups(h.ctx(), &elb.DescribeTargetGroupsInput{LoadBalancerArn: b.LoadBalancerArn}))(t).TargetGroups
	if len(groups) != 1 || !cmp.Equal(groups[0].LoadBalancerArns, []string{*b.LoadBalancerArn}) {
		t.Errorf("target groups of the load balancer: %+v, want one that names it", groups)
	}
	rules := apitest.Must(h.DescribeRules(h.ctx(), &elb.DescribeRulesInput{ListenerArn: l.ListenerArn}))(t).Rules
	if len(rules) != 1 || !*rules[0].IsDefault || *rules[0].Priority != "default" || *rules[0].Actions[0].TargetGroupArn != *g.TargetGroupArn {
		t.Errorf("rules = %+v, want the default one", rules)
	}
	tags := apitest.Must(h.DescribeTags(h.ctx(), &elb.DescribeTagsInput{ResourceArns: []string{*b.LoadBalancerArn}}))(t)
	if got := *tags.TagDescriptions[0].Tags[0].Value; got != "a" {
		t.Errorf("tag team = %q", got)
	}

	_, err := h.DeleteTargetGroup(h.ctx(), &elb.DeleteTargetGroupInput{TargetGroupArn: g.TargetGroupArn})
	if inUse, ok := errors.AsType[*types.ResourceInUseException](err); !ok || inUse.ErrorMessage() != "Target group '"+*g.TargetGroupArn+"' is currently in use by a listener or a rule" {
		t.Errorf("delete of a group in use: %v", err)
	}
	for range 2 { // deletes of absent things succeed
		apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))(t)
	}
	_, err = h.DescribeListeners(h.ctx(), &elb.DescribeListenersInput{ListenerArns: []string{*l.ListenerArn}})
	if apitest.Code(err) != "ListenerNotFound" {
		t.Errorf("a listener outlives its load balancer: %v", err)
	}
	for range 2 {
		apitest.Must(h.DeleteTargetGroup(h.ctx(), &elb.DeleteTargetGroupInput{TargetGroupArn: g.TargetGroupArn}))(t)
	}
	_, err = h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{*b.LoadBalancerArn}})
	if _, ok := errors.AsType[*types.LoadBalancerNotFoundException](err); !ok {
		t.Errorf("describe of a deleted load balancer: %v", err)
	}
}

func checkNewBalancer(t *testing.T, b types.LoadBalancer) {
	t.Helper()
	match := regexp.MustCompile(`^arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/([0-9a-f]{16})$`).FindStringSubmatch(*b.LoadBalancerArn)
	if match == nil {
		t.Fatalf("ARN %s", *b.LoadBalancerArn)
	}
	want := types.LoadBalancer{
		LoadBalancerArn: b.LoadBalancerArn, LoadBalancerName: aws.String("web"), DNSName: aws.String("web-" + match[1] + ".elb.us-west-2.amazonaws.com"),
		CanonicalHostedZoneId: aws.String("Z18D5FSROUN65G"), CreatedTime: b.CreatedTime, Scheme: types.LoadBalancerSchemeEnumInternetFacing,
		VpcId: aws.String("vpc-1"), State: &types.LoadBalancerState{Code: types.LoadBalancerStateEnumActive}, Type: types.LoadBalancerTypeEnumNetwork,
		IpAddressType: types.IpAddressTypeIpv4, SecurityGroups: []string{"sg-frontend"},
		AvailabilityZones: []types.AvailabilityZone{
			{ZoneName: aws.String("us-west-2a"), SubnetId: aws.String("subnet-a"), LoadBalancerAddresses: []types.LoadBalancerAddress{}},
			{ZoneName: aws.String("us-west-2b"), SubnetId: aws.String("subnet-b"), LoadBalancerAddresses: []types.LoadBalancerAddress{}},
		},
		EnablePrefixForIpv6SourceNat:                         types.EnablePrefixForIpv6SourceNatEnumOff,
		EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: aws.String("on"),
	}
	if diff := cmp.Diff(want, b, cmpopts.IgnoreUnexported(types.LoadBalancer{}, types.LoadBalancerState{}, types.AvailabilityZone{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("new load balancer (-want +got):\n%s", diff)
	}
}

func TestCreatesAreIdempotent(t *testing.T) {
	h := newHarness(t)
	b, g := h.balancer("web"), h.group("pods")
	l := h.listener(b, g, 80)
	if again := h.balancer("web"); *again.LoadBalancerArn != *b.LoadBalancerArn {
		t.Errorf("the same load balancer again: %s, want %s", *again.LoadBalancerArn, *b.LoadBalancerArn)
	}
	if again := h.group("pods"); *again.TargetGroupArn != *g.TargetGroupArn {
		t.Errorf("the same target group again: %s, want %s", *again.TargetGroupArn, *g.TargetGroupArn)
	}
	if again := h.listener(b, g, 80); *again.ListenerArn != *l.ListenerArn {
		t.Errorf("the same listener again: %s, want %s", *again.ListenerArn, *l.ListenerArn)
	}
	other := h.group("others")
	_, err := h.CreateListener(h.ctx(), listenTo(b, other, 80))
	if apitest.Code(err) != "DuplicateListener" {
		t.Errorf("another listener on the port: %v", err)
	}
	for what, edit := range map[string]func(*elb.CreateLoadBalancerInput){
		"scheme":          func(in *elb.CreateLoadBalancerInput) { in.Scheme = types.LoadBalancerSchemeEnumInternal },
		"subnets":         func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a"} },
		"security groups": func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = nil },
		"address type":    func(in *elb.CreateLoadBalancerInput) { in.IpAddressType = types.IpAddressTypeDualstack },
	} {
		in := &elb.CreateLoadBalancerInput{Name: aws.String("web"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a", "subnet-b"}, SecurityGroups: []string{"sg-frontend"}}
		edit(in)
		if _, err := h.CreateLoadBalancer(h.ctx(), in); apitest.Code(err) != "DuplicateLoadBalancerName" {
			t.Errorf("the same name with another %s: %v", what, err)
		}
	}
	_, err = h.CreateTargetGroup(h.ctx(), &elb.CreateTargetGroupInput{Name: aws.String("pods"), Protocol: types.ProtocolEnumUdp, Port: aws.Int32(30080), VpcId: aws.String("vpc-1")})
	if apitest.Code(err) != "DuplicateTargetGroupName" {
		t.Errorf("the same group name with another protocol: %v", err)
	}
}

func TestEverythingSurvivesARestart(t *testing.T) {
	h := newHarness(t)
	b, g := h.balancer("web"), h.group("pods")
	l := h.listener(b, g, 80)
	h.register(g, instances("i-a", "i-b")...)
	apitest.Must(h.DeregisterTargets(h.ctx(), &elb.DeregisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: instances("i-b")}))(t)
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := h.DeleteListener(h.ctx(), &elb.DeleteListenerInput{ListenerArn: l.ListenerArn})
	if apitest.Code(err) != "InternalFailure" {
		t.Errorf("a write while the store is closed: %v, want InternalFailure", err)
	}
	h.start()
	again := apitest.Must(h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: []string{"web"}}))(t).LoadBalancers[0]
	ignore := cmpopts.IgnoreUnexported(types.LoadBalancer{}, types.LoadBalancerState{}, types.AvailabilityZone{})
	if diff := cmp.Diff(b, again, ignore, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	if got, want := h.states(g), []string{"i-a:30080 initial Elb.RegistrationInProgress", "i-b:30080 draining Target.DeregistrationInProgress"}; !cmp.Equal(got, want) {
		t.Errorf("targets = %q, want %q", got, want)
	}
}

func TestTargetHealthTransitions(t *testing.T) {
	h := newHarness(t)
	b, g := h.balancer("web"), h.group("pods")
	h.register(g, instances("i-a", "i-b", "i-c")...)
	expect := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, h.states(g)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	expect("before a listener uses the group", "i-a:30080 unused Target.NotInUse", "i-b:30080 unused Target.NotInUse", "i-c:30080 unused Target.NotInUse")
	h.listener(b, g, 80)
	const outside = "i-c:30080 unused Target.NotInUse" // its zone is not enabled
	expect("before any report", "i-a:30080 initial Elb.RegistrationInProgress", "i-b:30080 initial Elb.RegistrationInProgress", outside)

	report := func(zone, id string, health lb.TargetHealth) {
		h.health.Take(lb.HealthReport{Zone: zone, Targets: []lb.TargetHealthReport{{
			Target: lb.TargetKey{TargetGroupARN: *g.TargetGroupArn, ID: id, Port: 30080}, Health: health,
		}}})
	}
	report("us-west-2a", "i-a", lb.TargetHealth{State: lb.Healthy})
	report("us-west-2b", "i-b", lb.TargetHealth{State: lb.Unhealthy, Reason: lb.FailedHealthChecks, Description: "Health checks failed"})
	report("us-west-2a", "i-b", lb.TargetHealth{State: lb.Healthy}) // not asked while cross-zone is off
	expect("after reports", "i-a:30080 healthy", "i-b:30080 unhealthy Target.FailedHealthChecks", outside)

	apitest.Must(h.ModifyLoadBalancerAttributes(h.ctx(), &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn,
		Attributes: []types.LoadBalancerAttribute{{Key: aws.String(lb.AttrCrossZone), Value: aws.String("true")}}}))(t)
	expect("with cross-zone, healthy anywhere is healthy", "i-a:30080 healthy", "i-b:30080 healthy", outside)

	apitest.Must(h.DeregisterTargets(h.ctx(), &elb.DeregisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: append(instances("i-a"), instances("i-absent")...)}))(t)
	expect("after deregistration", "i-a:30080 draining Target.DeregistrationInProgress", "i-b:30080 healthy", outside)
	h.register(g, instances("i-a")...)
	expect("registered again while draining", "i-a:30080 healthy", "i-b:30080 healthy", outside)

	asked := h.states(g, types.TargetDescription{Id: aws.String("i-a"), Port: aws.Int32(1)}, instances("i-b")[0])
	if diff := cmp.Diff([]string{"i-a:1 unused Target.NotRegistered", "i-b:30080 healthy"}, asked); diff != "" {
		t.Errorf("targets that were asked for (-want +got):\n%s", diff)
	}
	_, err := h.DescribeTargetHealth(h.ctx(), &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn, Targets: instances("i-absent")})
	if apitest.Code(err) != "InvalidTarget" {
		t.Errorf("health of an instance that does not exist: %v", err)
	}
	apitest.Must(h.ModifyTargetGroupAttributes(h.ctx(), &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn,
		Attributes: []types.TargetGroupAttribute{{Key: aws.String(lb.AttrDeregistrationDelay), Value: aws.String("0")}}}))(t)
	apitest.Must(h.DeregisterTargets(h.ctx(), &elb.DeregisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: instances("i-a", "i-c")}))(t)
	expect("without a delay targets go at once", "i-b:30080 healthy")
}

func TestProvisioningTakesItsTime(t *testing.T) {
	now := time.Now()
	h := newHarness(t, func(c *Config) {
		c.Delays, c.Now = func() Delays { return Delays{Provisioning: time.Minute} }, func() time.Time { return now }
	})
	if b := h.balancer("web"); b.State.Code != types.LoadBalancerStateEnumProvisioning {
		t.Errorf("state = %s, want provisioning", b.State.Code)
	}
	now = now.Add(time.Minute)
	b := apitest.Must(h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: []string{"web"}}))(t).LoadBalancers[0]
	if b.State.Code != types.LoadBalancerStateEnumActive {
		t.Errorf("state = %s a minute later, want active", b.State.Code)
	}
}

func TestListenersFollowModifications(t *testing.T) {
	h := newHarness(t)
	b, blue, green := h.balancer("web"), h.group("blue"), h.group("green")
	l := h.listener(b, blue, 80)
	apitest.Must(h.ModifyListener(h.ctx(), &elb.ModifyListenerInput{ListenerArn: l.ListenerArn, DefaultActions: forwardTo(green), Port: aws.Int32(8080)}))(t)
	got := apitest.Must(h.DescribeTargetGroups(h.ctx(), &elb.DescribeTargetGroupsInput{Names: []string{"blue", "green"}}))(t).TargetGroups
	if len(got[0].LoadBalancerArns) != 0 || !cmp.Equal(got[1].LoadBalancerArns, []string{*b.LoadBalancerArn}) {
		t.Errorf("load balancers of blue and green: %v, %v; want none and the one", got[0].LoadBalancerArns, got[1].LoadBalancerArns)
	}
	weighted := []types.Action{{Type: types.ActionTypeEnumForward, ForwardConfig: &types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{
		{TargetGroupArn: blue.TargetGroupArn, Weight: aws.Int32(3)}, {TargetGroupArn: green.TargetGroupArn, Weight: aws.Int32(0)},
	}}}}
	out := apitest.Must(h.ModifyListener(h.ctx(), &elb.ModifyListenerInput{ListenerArn: l.ListenerArn, DefaultActions: weighted}))(t).Listeners[0]
	if *out.Port != 8080 || len(out.DefaultActions[0].ForwardConfig.TargetGroups) != 2 || *out.DefaultActions[0].ForwardConfig.TargetGroups[0].Weight != 3 || out.DefaultActions[0].TargetGroupArn != nil {
		t.Errorf("weighted listener: %+v", out.DefaultActions[0])
	}
	if out.SslPolicy != nil {
		t.Errorf("a TCP listener has the SSL policy %q", *out.SslPolicy)
	}
	_, err := h.CreateListener(h.ctx(), listenTo(h.balancer("other"), blue, 80))
	if want := "The following target groups cannot be associated with more than one load balancer: " + *blue.TargetGroupArn; apitest.Code(err) != "TargetGroupAssociationLimit" || messageOf(err) != want {
		t.Errorf("a group of another load balancer: %v", err)
	}
}
