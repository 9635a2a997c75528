package iam

import (
	"encoding/json"
	"strings"
	"testing"
)

// clusterTag marks what the AWS Load Balancer Controller owns.
const clusterTag = "elbv2.k8s.aws/cluster"

func actions(service, names string) []string {
	var all []string
	for name := range strings.FieldsSeq(names) {
		all = append(all, service+":"+name)
	}
	return all
}

// controllerPolicy has the actions, operators and condition keys of the policy
// that a load balancer controller for AWS is given.
func controllerPolicy(t *testing.T) *Policy {
	t.Helper()
	type object = map[string]any
	null := func(pairs ...string) object {
		keys := object{}
		for i := 0; i < len(pairs); i += 2 {
			keys[pairs[i]+"/"+clusterTag] = pairs[i+1]
		}
		return object{"Null": keys}
	}
	allow := func(what []string, on any, condition object) object {
		s := object{"Effect": "Allow", "Action": what, "Resource": on}
		if condition != nil {
			s["Condition"] = condition
		}
		return s
	}
	owned, stamped := null("aws:ResourceTag", "false"), null("aws:RequestTag", "false")
	handedOver := null("aws:RequestTag", "true", "aws:ResourceTag", "false")
	created := null("aws:RequestTag", "false")
	created["StringEquals"] = object{"elasticloadbalancing:CreateAction": []string{"CreateTargetGroup", "CreateLoadBalancer"}}
	newGroup := null("aws:RequestTag", "false")
	newGroup["StringEquals"] = object{"ec2:CreateAction": "CreateSecurityGroup"}
	groups, balancers := "arn:aws:ec2:*:*:security-group/*", []string{"arn:aws:elasticloadbalancing:*:*:targetgroup/*/*", "arn:aws:elasticloadbalancing:*:*:loadbalancer/net/*/*", "arn:aws:elasticloadbalancing:*:*:loadbalancer/app/*/*"}
	document := object{"Version": "2012-10-17", "Statement": []object{
		allow([]string{"iam:CreateServiceLinkedRole"}, "*", object{"StringEquals": object{"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}}),
		allow(actions("ec2", `DescribeAccountAttributes DescribeAddresses DescribeAvailabilityZones DescribeInternetGateways DescribeVpcs DescribeVpcPeeringConnections
			DescribeSubnets DescribeSecurityGroups DescribeInstances DescribeNetworkInterfaces DescribeTags GetCoipPoolUsage DescribeCoipPools GetSecurityGroupsForVpc
			DescribeIpamPools DescribeRouteTables`), "*", nil),
		allow(actions("elasticloadbalancing", `DescribeLoadBalancers DescribeLoadBalancerAttributes DescribeListeners DescribeListenerCertificates DescribeListenerAttributes
			DescribeSSLPolicies DescribeRules DescribeTargetGroups DescribeTargetGroupAttributes DescribeTargetHealth DescribeTags DescribeTrustStores DescribeCapacityReservation`), "*", nil),
		allow(append(append(actions("acm", "ListCertificates DescribeCertificate"), actions("iam", "ListServerCertificates GetServerCertificate")...),
			append(actions("shield", "GetSubscriptionState DescribeProtection CreateProtection DeleteProtection"), actions("wafv2", "GetWebACL GetWebACLForResource AssociateWebACL DisassociateWebACL")...)...), "*", nil),
		allow(actions("ec2", "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress CreateSecurityGroup"), "*", nil),
		allow(actions("ec2", "CreateTags"), groups, newGroup),
		allow(actions("ec2", "CreateTags DeleteTags"), groups, handedOver),
		allow(actions("ec2", "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress DeleteSecurityGroup"), "*", owned),
		allow(actions("elasticloadbalancing", "CreateLoadBalancer CreateTargetGroup"), "*", stamped),
		allow(actions("elasticloadbalancing", "CreateListener DeleteListener CreateRule DeleteRule"), "*", nil),
		allow(actions("elasticloadbalancing", "AddTags RemoveTags"), balancers, handedOver),
		allow(actions("elasticloadbalancing", "AddTags"), balancers, created),
		allow(actions("elasticloadbalancing", `ModifyLoadBalancerAttributes SetIpAddressType SetSecurityGroups SetSubnets DeleteLoadBalancer ModifyTargetGroup
			ModifyTargetGroupAttributes DeleteTargetGroup ModifyListenerAttributes ModifyCapacityReservation ModifyIpPools`), "*", owned),
		allow(actions("elasticloadbalancing", "RegisterTargets DeregisterTargets"), "arn:aws:elasticloadbalancing:*:*:targetgroup/*/*", nil),
		allow(actions("elasticloadbalancing", "SetWebAcl ModifyListener AddListenerCertificates RemoveListenerCertificates ModifyRule SetRulePriorities"), "*", nil),
	}}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse("controller", text)
	if err != nil {
		t.Fatalf("the policy is refused: %v", err)
	}
	return p
}

func TestThePolicyOfALoadBalancerControllerIsAcceptedAndMeansWhatItSays(t *testing.T) {
	p := controllerPolicy(t)
	const elb = "elasticloadbalancing:"
	group := "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/pods/0123456789abcdef"
	tag := func(prefix string) map[string][]string { return map[string][]string{prefix + "/" + clusterTag: {"c"}} }
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
