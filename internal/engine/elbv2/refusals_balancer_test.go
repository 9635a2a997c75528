package elbv2

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func create(edit func(*elb.CreateLoadBalancerInput)) func(*harness, world) error {
	return func(h *harness, _ world) error {
		in := &elb.CreateLoadBalancerInput{Name: aws.String("new"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a", "subnet-b"}}
		edit(in)
		_, err := h.CreateLoadBalancer(h.ctx(), in)
		return err
	}
}

func named(name string) func(*harness, world) error {
	return create(func(in *elb.CreateLoadBalancerInput) { in.Name = &name })
}

func mapped(scheme types.LoadBalancerSchemeEnum, m ...types.SubnetMapping) func(*harness, world) error {
	return create(func(in *elb.CreateLoadBalancerInput) { in.Scheme, in.Subnets, in.SubnetMappings = scheme, nil, m })
}

func subnets(ids ...string) func(*harness, world) error {
	return create(func(in *elb.CreateLoadBalancerInput) { in.Subnets = ids })
}

var (
	inside  = types.LoadBalancerSchemeEnumInternal
	outside = types.LoadBalancerSchemeEnumInternetFacing
)

var createBalancerRefusals = map[string]refusal{
	"a name too long":           {named(strings.Repeat("x", 33)), "ValidationError", "cannot be longer than '32' characters"},
	"a name with an underscore": {named("a_b"), "ValidationError", "can only contain characters that are alphanumeric characters or hyphens(-)"},
	"a name that begins with -": {named("-a"), "ValidationError", "cannot begin or end with '-'"},
	"a name that ends with -":   {named("a-"), "ValidationError", "cannot begin or end with '-'"},
	"a reserved name":           {named("internal-a"), "ValidationError", "cannot begin with 'internal-'"},
	"an empty name":             {named(""), "ValidationError", ""},
	"no subnets":                {subnets(), "ValidationError", "At least one subnet must be specified"},
	"an absent subnet":          {subnets("subnet-x"), "SubnetNotFound", "The subnet ID 'subnet-x' does not exist"},
	"two subnets of a zone":     {subnets("subnet-a", "subnet-a2"), "InvalidConfigurationRequest", "multiple subnets in the same Availability Zone"},
	"subnets of two VPCs":       {subnets("subnet-b", "subnet-private"), "InvalidSubnet", "same VPC"},
	"a VPC without a gateway":   {subnets("subnet-private"), "InvalidSubnet", "VPC vpc-2 has no internet gateway"},
	"a scheme that is none":     {create(func(in *elb.CreateLoadBalancerInput) { in.Scheme = "public" }), "ValidationError", "Member must satisfy enum value set"},
	"an absent security group":  {create(func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-x"} }), "InvalidSecurityGroup", "sg-x"},
	"a group of another VPC":    {create(func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-other"} }), "InvalidSecurityGroup", "sg-other"},
	"too many security groups":  {create(func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = []string{"1", "2", "3", "4", "5", "6"} }), "InvalidConfigurationRequest", "more than 5 security groups"},
	"an address type of ALB": {create(func(in *elb.CreateLoadBalancerInput) {
		in.IpAddressType = types.IpAddressTypeDualstackWithoutPublicIpv4
	}), "ValidationError", "must be one of 'ipv4, dualstack'"},
	"dualstack without IPv6": {create(func(in *elb.CreateLoadBalancerInput) {
		in.IpAddressType, in.Subnets = types.IpAddressTypeDualstack, []string{"subnet-a2"}
	}), "InvalidSubnet", "must have an associated IPv6 CIDR block"},
	"source NAT without IPv6": {create(func(in *elb.CreateLoadBalancerInput) { in.EnablePrefixForIpv6SourceNat = "on" }), "InvalidConfigurationRequest", "dualstack"},
	"the default type":        {create(func(in *elb.CreateLoadBalancerInput) { in.Type = "" }), "OperationNotPermitted", "type 'application' are not offered"},
	"a gateway load balancer": {create(func(in *elb.CreateLoadBalancerInput) { in.Type = types.LoadBalancerTypeEnumGateway }), "OperationNotPermitted", "type 'gateway' are not offered"},
	"subnets and mappings": {create(func(in *elb.CreateLoadBalancerInput) {
		in.SubnetMappings = []types.SubnetMapping{{SubnetId: aws.String("subnet-a")}}
	}), "ValidationError", "but not both"},
	"a private address outside":  {mapped(outside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.16.9")}), "InvalidConfigurationRequest", "only be specified for internal load balancers"},
	"an address of another net":  {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.32.9")}), "InvalidConfigurationRequest", "not an assignable address of the subnet 'subnet-a'"},
	"a reserved address":         {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.16.3")}), "InvalidConfigurationRequest", "not an assignable address"},
	"the last address":           {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.31.255")}), "InvalidConfigurationRequest", "not an assignable address"},
	"an instance's address":      {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.16.16")}), "ResourceInUse", "198.18.16.16"},
	"a pod's address":            {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.17.5")}), "ResourceInUse", "198.18.17.5"},
	"an edge's address":          {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.16.4")}), "ResourceInUse", "198.18.16.4"},
	"what is no address":         {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("here")}), "ValidationError", "'here' is not a valid IPv4 address"},
	"IPv6 on an IPv4 balancer":   {mapped(outside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), IPv6Address: aws.String("2001:db8:0:1::9")}), "InvalidConfigurationRequest", "dualstack"},
	"an absent allocation":       {mapped(outside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), AllocationId: aws.String("eipalloc-1")}), "AllocationIdNotFound", "eipalloc-1"},
	"an allocation inside":       {mapped(inside, types.SubnetMapping{SubnetId: aws.String("subnet-a"), AllocationId: aws.String("eipalloc-1")}), "InvalidConfigurationRequest", "internet-facing"},
	"a mapping without a subnet": {mapped(inside, types.SubnetMapping{PrivateIPv4Address: aws.String("198.18.16.9")}), "ValidationError", "subnet ID must be specified"},
	"a tag twice": {create(func(in *elb.CreateLoadBalancerInput) {
		in.Tags = []types.Tag{{Key: aws.String("a")}, {Key: aws.String("a")}}
	}), "DuplicateTagKeys", "'a'"},
	"a tag of AWS's": {create(func(in *elb.CreateLoadBalancerInput) { in.Tags = []types.Tag{{Key: aws.String("aws:x")}} }), "ValidationError", "reserved"},
	"too many tags":  {create(func(in *elb.CreateLoadBalancerInput) { in.Tags = manyTags(51) }), "TooManyTags", "50"},
}

func manyTags(n int) []types.Tag {
	var tags []types.Tag
	for i := range n {
		tags = append(tags, types.Tag{Key: aws.String(fmt.Sprint("k", i))})
	}
	return tags
}

var settingRefusals = map[string]refusal{
	"security groups on a balancer made without": {func(h *harness, w world) error {
		_, err := h.SetSecurityGroups(h.ctx(), &elb.SetSecurityGroupsInput{LoadBalancerArn: w.bare.LoadBalancerArn, SecurityGroups: []string{"sg-nodes"}})
		return err
	}, "InvalidConfigurationRequest", "You cannot set security groups on a Network Load Balancer which was created without any security groups."},
	"no security groups any more": {func(h *harness, w world) error {
		_, err := h.SetSecurityGroups(h.ctx(), &elb.SetSecurityGroupsInput{LoadBalancerArn: w.public.LoadBalancerArn, SecurityGroups: []string{}})
		return err
	}, "InvalidConfigurationRequest", "remove all security groups"},
	"an absent load balancer": {func(h *harness, w world) error {
		_, err := h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: aws.String(strings.Replace(*w.public.LoadBalancerArn, "public", "absent", 1)), Subnets: []string{"subnet-a"}})
		return err
	}, "LoadBalancerNotFound", "not found"},
	"what is no ARN": {func(h *harness, _ world) error {
		_, err := h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: aws.String("web"), Subnets: []string{"subnet-a"}})
		return err
	}, "ValidationError", "'web' is not a valid load balancer ARN"},
	"subnets of another VPC": {func(h *harness, w world) error {
		_, err := h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: w.internal.LoadBalancerArn, Subnets: []string{"subnet-private"}})
		return err
	}, "InvalidSubnet", "VPC"},
	"deletion of a listener as a load balancer": {func(h *harness, w world) error {
		_, err := h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: w.listener.ListenerArn})
		return err
	}, "ValidationError", "is not a valid load balancer ARN"},
	"a reservation without a number": {func(h *harness, w world) error {
		_, err := h.ModifyCapacityReservation(h.ctx(), &elb.ModifyCapacityReservationInput{LoadBalancerArn: w.public.LoadBalancerArn})
		return err
	}, "ValidationError", "either a minimum load balancer capacity or a reset"},
}
