package elbv2

import (
	"reflect"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

var hexID = regexp.MustCompile(`[0-9a-f]{16}`)

// TestWhatIAMIsAsked holds actions, resources and condition keys, which are
// those of AWS's Service Authorization Reference. ID stands for identifiers.
func TestWhatIAMIsAsked(t *testing.T) {
	h := newHarness(t)
	tags := []types.Tag{{Key: aws.String("owner"), Value: aws.String("me")}}
	b := h.balancer("web", func(in *elb.CreateLoadBalancerInput) { in.Tags = tags })
	g := h.group("pods")
	h.asked.Take()

	const balancer, group = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/", "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/"
	requested := map[string][]string{"aws:RequestTag/owner": {"me"}, "aws:TagKeys": {"owner"}}
	existing := map[string][]string{"aws:ResourceTag/owner": {"me"}, "elasticloadbalancing:ResourceTag/owner": {"me"}}
	tests := map[string]struct {
		call func() error
		want []apitest.Question
	}{
		"CreateLoadBalancer with tags": {func() error {
			_, err := h.CreateLoadBalancer(h.ctx(), &elb.CreateLoadBalancerInput{Name: aws.String("other"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a"}, SecurityGroups: []string{"sg-nodes"}, Tags: tags})
			return err
		}, []apitest.Question{
			{Action: "elasticloadbalancing:CreateLoadBalancer", Resource: balancer + "other/*", Keys: apitest.Keys(requested, map[string][]string{
				"elasticloadbalancing:Scheme": {"internet-facing"}, "elasticloadbalancing:Subnet": {"subnet-a"}, "elasticloadbalancing:SecurityGroup": {"sg-nodes"}})},
			{Action: "elasticloadbalancing:AddTags", Resource: balancer + "other/*", Keys: apitest.Keys(requested, map[string][]string{"elasticloadbalancing:CreateAction": {"CreateLoadBalancer"}})},
		}},
		"CreateTargetGroup without tags": {func() error {
			_, err := h.CreateTargetGroup(h.ctx(), &elb.CreateTargetGroupInput{Name: aws.String("pods"), Protocol: types.ProtocolEnumTcp, Port: aws.Int32(30080), VpcId: aws.String("vpc-1")})
			return err
		}, []apitest.Question{{Action: "elasticloadbalancing:CreateTargetGroup", Resource: group + "pods/*"}}},
		"CreateListener with tags": {func() error {
			in := listenTo(b, g, 80)
			in.Tags = tags
			_, err := h.CreateListener(h.ctx(), in)
			return err
		}, []apitest.Question{
			{Action: "elasticloadbalancing:CreateListener", Resource: balancer + "web/ID", Keys: apitest.Keys(requested, existing, map[string][]string{"elasticloadbalancing:ListenerProtocol": {"TCP"}})},
			{Action: "elasticloadbalancing:AddTags", Resource: "arn:aws:elasticloadbalancing:us-west-2:000000000000:listener/net/web/ID/*", Keys: apitest.Keys(requested, map[string][]string{"elasticloadbalancing:CreateAction": {"CreateListener"}})},
		}},
		"AddTags": {func() error {
			_, err := h.AddTags(h.ctx(), &elb.AddTagsInput{ResourceArns: []string{*b.LoadBalancerArn}, Tags: tags})
			return err
		}, []apitest.Question{{Action: "elasticloadbalancing:AddTags", Resource: balancer + "web/ID", Keys: apitest.Keys(requested, existing)}}},
		"RegisterTargets": {func() error {
			_, err := h.RegisterTargets(h.ctx(), &elb.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: instances("i-a")})
			return err
		}, []apitest.Question{{Action: "elasticloadbalancing:RegisterTargets", Resource: group + "pods/ID"}}},
		"SetSubnets": {func() error {
			_, err := h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, Subnets: []string{"subnet-a"}})
			return err
		}, []apitest.Question{{Action: "elasticloadbalancing:SetSubnets", Resource: balancer + "web/ID", Keys: apitest.Keys(existing, map[string][]string{"elasticloadbalancing:Subnet": {"subnet-a"}})}}},
		"DescribeLoadBalancers": {func() error {
			_, err := h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: []string{"web"}})
			return err
		}, []apitest.Question{{Action: "elasticloadbalancing:DescribeLoadBalancers", Resource: "*"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := test.call(); err != nil {
				t.Fatal(err)
			}
			asked := h.asked.Take()
			for i := range asked {
				asked[i].Resource = hexID.ReplaceAllString(asked[i].Resource, "ID")
			}
			if diff := cmp.Diff(test.want, asked, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("questions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestACreateWithTagsNeedsAddTags(t *testing.T) {
	h := newHarness(t)
	h.asked.Deny("elasticloadbalancing:AddTags")
	_, err := h.CreateLoadBalancer(h.ctx(), &elb.CreateLoadBalancerInput{Name: aws.String("web"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a"}, Tags: []types.Tag{{Key: aws.String("k")}}})
	if apitest.Code(err) != "AccessDenied" || h.db.Current().Number() != 0 {
		t.Errorf("a create with tags that may not be added: %v, revision %d", err, h.db.Current().Number())
	}
}

// TestEveryActionAsksIAMFirst calls all 51 actions with made-up input and denies
// each by its own name.
func TestEveryActionAsksIAMFirst(t *testing.T) {
	h := newHarness(t)
	actions := h.service.API().Actions
	if len(actions) != 51 {
		t.Errorf("%d actions, want all 51 of the API", len(actions))
	}
	for _, a := range actions {
		h.asked.Deny("elasticloadbalancing:" + a.Name())
		method := reflect.ValueOf(h.Client).MethodByName(a.Name())
		in := reflect.New(method.Type().In(1).Elem())
		fill(in.Elem(), 0)
		out := method.Call([]reflect.Value{reflect.ValueOf(h.ctx()), in})
		if err, _ := reflect.TypeAssert[error](out[1]); apitest.Code(err) != "AccessDenied" {
			t.Errorf("%s: %v, want AccessDenied", a.Name(), err)
		}
	}
	if n := h.db.Current().Number(); n != 0 {
		t.Errorf("denied calls made %d transactions", n)
	}
}

// fill gives every field of a request some value, enums a valid one.
func fill(v reflect.Value, depth int) {
	if depth > 12 || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.String:
		v.SetString("x")
		if values := v.MethodByName("Values"); values.IsValid() {
			v.Set(values.Call(nil)[0].Index(0))
		}
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field, depth+1)
		}
	}
}
