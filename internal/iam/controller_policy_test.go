package iam

import (
	"testing"

	"github.com/fairlead-lb/fairlead/internal/iam/iamtest"
)

func TestThePolicyOfALoadBalancerControllerIsAcceptedAndMeansWhatItSays(t *testing.T) {
	p, err := Parse("controller", iamtest.ControllerPolicy(t))
	if err != nil {
		t.Fatalf("the policy is refused: %v", err)
	}
	const elb = "elasticloadbalancing:"
	group := "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/pods/0123456789abcdef"
	tag := func(prefix string) map[string][]string {
		return map[string][]string{prefix + "/" + iamtest.ClusterTag: {"c"}}
	}
	with := func(keys map[string][]string, name, value string) map[string][]string {
		keys[name] = []string{value}
		return keys
	}
	for name, test := range map[string]struct {
		request Request
		want    bool
	}{
		"to read":                                {Request{elb + "DescribeLoadBalancers", "*", nil}, true},
		"to create with its tag":                 {Request{elb + "CreateLoadBalancer", balancer, tag("aws:RequestTag")}, true},
		"to create without its tag":              {Request{elb + "CreateLoadBalancer", balancer, nil}, false},
		"to tag on creation":                     {Request{elb + "AddTags", balancer, with(tag("aws:RequestTag"), elb+"CreateAction", "CreateLoadBalancer")}, true},
		"to tag on another creation":             {Request{elb + "AddTags", balancer, with(tag("aws:RequestTag"), elb+"CreateAction", "CreateListener")}, false},
		"to tag what it owns":                    {Request{elb + "AddTags", group, tag("aws:ResourceTag")}, true},
		"to claim what is another's":             {Request{elb + "AddTags", group, tag("aws:RequestTag")}, false},
		"to tag a listener":                      {Request{elb + "AddTags", "arn:aws:elasticloadbalancing:us-west-2:000000000000:listener/net/web/0123456789abcdef/0123456789abcdef", nil}, true},
		"to delete what it owns":                 {Request{elb + "DeleteLoadBalancer", balancer, tag("aws:ResourceTag")}, true},
		"to delete what it does not own":         {Request{elb + "DeleteLoadBalancer", balancer, nil}, false},
		"to register targets":                    {Request{elb + "RegisterTargets", group, nil}, true},
		"to tag a new security group":            {Request{"ec2:CreateTags", "arn:aws:ec2:us-west-2:000000000000:security-group/sg-1", with(tag("aws:RequestTag"), "ec2:CreateAction", "CreateSecurityGroup")}, true},
		"to tag an instance":                     {Request{"ec2:CreateTags", "arn:aws:ec2:us-west-2:000000000000:instance/i-1", with(tag("aws:RequestTag"), "ec2:CreateAction", "CreateSecurityGroup")}, false},
		"to delete a group that it owns":         {Request{"ec2:DeleteSecurityGroup", "arn:aws:ec2:us-west-2:000000000000:security-group/sg-1", tag("aws:ResourceTag")}, true},
		"to delete a group that it does not own": {Request{"ec2:DeleteSecurityGroup", "arn:aws:ec2:us-west-2:000000000000:security-group/sg-1", nil}, false},
		"to delete a VPC":                        {Request{"ec2:DeleteVpc", "arn:aws:ec2:us-west-2:000000000000:vpc/vpc-1", tag("aws:ResourceTag")}, false},
	} {
		if got := Evaluate([]*Policy{p}, test.request); got.Allowed != test.want {
			t.Errorf("%s: %+v, want allowed %t", name, got, test.want)
		}
	}
}
