// Package iamtest has policies that tests give to callers.
package iamtest

import (
	"encoding/json"
	"strings"
	"testing"
)

// ClusterTag marks what the AWS Load Balancer Controller owns.
const ClusterTag = "elbv2.k8s.aws/cluster"

type object = map[string]any

// ControllerPolicy has the actions, resources, operators and condition keys of
// the policy that the AWS Load Balancer Controller publishes for itself
// (docs/install/iam_policy.json of its repository).
func ControllerPolicy(t testing.TB) []byte {
	t.Helper()
	statements := append(readers(), groupWriters()...)
	document, err := json.Marshal(object{"Version": "2012-10-17", "Statement": append(statements, balancerWriters()...)})
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// null has pairs of a condition key and whether it must be absent.
func null(pairs ...string) object {
	keys := object{}
	for i := 0; i < len(pairs); i += 2 {
		keys[pairs[i]+"/"+ClusterTag] = pairs[i+1]
	}
	return object{"Null": keys}
}

func owned() object      { return null("aws:ResourceTag", "false") }
func stamped() object    { return null("aws:RequestTag", "false") }
func handedOver() object { return null("aws:RequestTag", "true", "aws:ResourceTag", "false") }

// created is about the tags that a resource is created with.
func created(key string, by ...string) object {
	condition := stamped()
	condition["StringEquals"] = object{key: by}
	return condition
}

func allow(what []string, on any, condition object) object {
	s := object{"Effect": "Allow", "Action": what, "Resource": on}
	if condition != nil {
		s["Condition"] = condition
	}
	return s
}

func actions(service, names string) []string {
	var all []string
	for name := range strings.FieldsSeq(names) {
		all = append(all, service+":"+name)
	}
	return all
}

func readers() []object {
	others := actions("cognito-idp", "DescribeUserPoolClient")
	others = append(others, actions("acm", "ListCertificates DescribeCertificate")...)
	others = append(others, actions("iam", "ListServerCertificates GetServerCertificate")...)
	others = append(others, actions("shield", "GetSubscriptionState DescribeProtection CreateProtection DeleteProtection")...)
	for _, waf := range []string{"waf-regional", "wafv2"} {
		others = append(others, actions(waf, "GetWebACL GetWebACLForResource AssociateWebACL DisassociateWebACL")...)
	}
	return []object{
		allow(actions("iam", "CreateServiceLinkedRole"), "*", object{"StringEquals": object{"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}}),
		allow(actions("ec2", `DescribeAccountAttributes DescribeAddresses DescribeAvailabilityZones DescribeInternetGateways DescribeVpcs DescribeVpcPeeringConnections
			DescribeSubnets DescribeSecurityGroups DescribeInstances DescribeNetworkInterfaces DescribeTags GetCoipPoolUsage DescribeCoipPools GetSecurityGroupsForVpc
			DescribeIpamPools DescribeRouteTables`), "*", nil),
		allow(actions("elasticloadbalancing", `DescribeLoadBalancers DescribeLoadBalancerAttributes DescribeListeners DescribeListenerCertificates DescribeListenerAttributes
			DescribeSSLPolicies DescribeRules DescribeTargetGroups DescribeTargetGroupAttributes DescribeTargetHealth DescribeTags DescribeTrustStores DescribeCapacityReservation`), "*", nil),
		allow(others, "*", nil),
	}
}

func groupWriters() []object {
	const groups = "arn:aws:ec2:*:*:security-group/*"
	return []object{
		allow(actions("ec2", "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress CreateSecurityGroup"), "*", nil),
		allow(actions("ec2", "CreateTags"), groups, created("ec2:CreateAction", "CreateSecurityGroup")),
		allow(actions("ec2", "CreateTags DeleteTags"), groups, handedOver()),
		allow(actions("ec2", "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress DeleteSecurityGroup"), "*", owned()),
	}
}

func balancerWriters() []object {
	const elb, arn = "elasticloadbalancing", "arn:aws:elasticloadbalancing:*:*:"
	groups := arn + "targetgroup/*/*"
	balancers := []string{groups, arn + "loadbalancer/net/*/*", arn + "loadbalancer/app/*/*"}
	listeners := []string{arn + "listener/net/*/*/*", arn + "listener/app/*/*/*", arn + "listener-rule/net/*/*/*", arn + "listener-rule/app/*/*/*"}
	return []object{
		allow(actions(elb, "CreateLoadBalancer CreateTargetGroup"), "*", stamped()),
		allow(actions(elb, "CreateListener DeleteListener CreateRule DeleteRule"), "*", nil),
		allow(actions(elb, "AddTags RemoveTags"), balancers, handedOver()),
		allow(actions(elb, "AddTags RemoveTags"), listeners, nil),
		allow(actions(elb, `ModifyLoadBalancerAttributes SetIpAddressType SetSecurityGroups SetSubnets DeleteLoadBalancer ModifyTargetGroup
			ModifyTargetGroupAttributes DeleteTargetGroup ModifyListenerAttributes ModifyCapacityReservation ModifyIpPools`), "*", owned()),
		allow(actions(elb, "AddTags"), balancers, created("elasticloadbalancing:CreateAction", "CreateTargetGroup", "CreateLoadBalancer")),
		allow(actions(elb, "RegisterTargets DeregisterTargets"), groups, nil),
		allow(actions(elb, "SetWebAcl ModifyListener AddListenerCertificates RemoveListenerCertificates ModifyRule SetRulePriorities"), "*", nil),
	}
}
