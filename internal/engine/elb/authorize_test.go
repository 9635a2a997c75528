package elb_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
)

// team may do what its policy says with load balancers whose names begin with
// team-, in AWS's words for Classic ones.
const team = `
users:
- name: team
  accessKeys: [{accessKeyId: AKIAFAIRLEADTEST0001, secretAccessKey: secret}]
  policies:
  - name: team
    document:
      Version: 2012-10-17
      Statement:
      - {Effect: Allow, Action: "elasticloadbalancing:Describe*", Resource: "*"}
      - Effect: Allow
        Action: "elasticloadbalancing:*"
        Resource: "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/team-*"
      - Effect: Deny
        Action: "elasticloadbalancing:CreateLoadBalancer"
        Resource: "*"
        Condition: {StringEquals: {"elasticloadbalancing:Scheme": internal}}
      - Effect: Deny
        Action: "elasticloadbalancing:CreateLoadBalancer"
        Resource: "*"
        Condition: {"ForAnyValue:StringEquals": {"elasticloadbalancing:ListenerProtocol": HTTP}}
      - Effect: Deny
        Action: "elasticloadbalancing:AttachLoadBalancerToSubnets"
        Resource: "*"
        Condition: {"ForAnyValue:StringEquals": {"elasticloadbalancing:Subnet": subnet-c}}
      - Effect: Deny
        Action: "elasticloadbalancing:ApplySecurityGroupsToLoadBalancer"
        Resource: "*"
        Condition: {"ForAnyValue:StringEquals": {"elasticloadbalancing:SecurityGroup": sg-default}}
      - Effect: Deny
        Action: ["elasticloadbalancing:CreateLoadBalancerPolicy", "elasticloadbalancing:SetLoadBalancerPoliciesOfListener"]
        Resource: "*"
        Condition: {StringEquals: {"elasticloadbalancing:SecurityPolicy": ELBSecurityPolicy-2015-05}}
      - Effect: Deny
        Action: "elasticloadbalancing:AddTags"
        Resource: "*"
        Condition: {StringEquals: {"elasticloadbalancing:CreateAction": CreateLoadBalancer, "aws:RequestTag/owner": root}}
      - Effect: Deny
        Action: "elasticloadbalancing:DeleteLoadBalancer"
        Resource: "*"
        Condition: {StringEquals: {"elasticloadbalancing:ResourceTag/keep": "true"}}
      - Effect: Deny
        Action: "elasticloadbalancing:RemoveTags"
        Resource: "*"
        Condition: {"ForAnyValue:StringEquals": {"aws:TagKeys": keep}}
`

func TestPoliciesJudgeByNameAndConditionKeys(t *testing.T) {
	r := newRig(t, team)
	r.create("team-web", func(in *sdk.CreateLoadBalancerInput) {
		in.Tags = []types.Tag{{Key: aws.String("keep"), Value: aws.String("true")}}
	})
	r.create("other")
	client := r.client("AKIAFAIRLEADTEST0001", "secret")
	const denied = "AccessDenied 403"
	web, other := aws.String("team-web"), aws.String("other")
	create := func(name string, edit func(*sdk.CreateLoadBalancerInput), want string) refused {
		return fails((*sdk.Client).CreateLoadBalancer, input(name, edit), want)
	}
	tagged := func(value string) func(*sdk.CreateLoadBalancerInput) {
		return func(in *sdk.CreateLoadBalancerInput) {
			in.Tags = []types.Tag{{Key: aws.String("owner"), Value: &value}}
		}
	}
	same := func(*sdk.CreateLoadBalancerInput) {}
	reference := policy("p", "SSLNegotiationPolicyType", "Reference-Security-Policy", "ELBSecurityPolicy-2015-05")
	reference.LoadBalancerName = web
	for name, c := range map[string]refused{
		"create under its own name":        create("team-new", same, ""),
		"create under another name":        create("new", same, denied),
		"create an internal one":           create("team-internal", func(in *sdk.CreateLoadBalancerInput) { in.Scheme = aws.String("internal") }, denied),
		"create one for HTTP":              create("team-http", func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0] = listens("http", 80, "", 80) }, denied),
		"create with a tag":                create("team-tagged", tagged("team"), ""),
		"create with a tag that is denied": create("team-root", tagged("root"), denied),
		"read all":                         fails((*sdk.Client).DescribeLoadBalancers, &sdk.DescribeLoadBalancersInput{}, ""),
		"register with its own":            fails((*sdk.Client).RegisterInstancesWithLoadBalancer, &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: web, Instances: instances("i-a")}, ""),
		"register with another":            fails((*sdk.Client).RegisterInstancesWithLoadBalancer, &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: other, Instances: instances("i-a")}, denied),
		"attach a subnet that is denied":   fails((*sdk.Client).AttachLoadBalancerToSubnets, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: web, Subnets: []string{"subnet-c"}}, denied),
		"apply a group that is denied":     fails((*sdk.Client).ApplySecurityGroupsToLoadBalancer, &sdk.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: web, SecurityGroups: []string{"sg-default"}}, denied),
		"refer to a policy that is denied": fails((*sdk.Client).CreateLoadBalancerPolicy, reference, denied),
		"delete what is to be kept":        fails((*sdk.Client).DeleteLoadBalancer, &sdk.DeleteLoadBalancerInput{LoadBalancerName: web}, denied),
		"remove the tag that says so":      fails((*sdk.Client).RemoveTags, &sdk.RemoveTagsInput{LoadBalancerNames: []string{"team-web"}, Tags: []types.TagKeyOnly{{Key: aws.String("keep")}}}, denied),
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call(t.Context(), client)
			if got := failure(err); err != nil && got != c.want || err == nil && c.want != "" {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for _, absent := range []string{"new", "team-internal", "team-http", "team-root"} {
		if _, err := r.DescribeLoadBalancers(t.Context(), &sdk.DescribeLoadBalancersInput{LoadBalancerNames: []string{absent}}); failure(err) != "LoadBalancerNotFound 400" {
			t.Errorf("%s was made although it was denied: %v", absent, err)
		}
	}
}
