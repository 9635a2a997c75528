package elbv2

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func setGroup(group func(world) types.TargetGroup, pairs ...string) func(*harness, world) error {
	return func(h *harness, w world) error {
		in := &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: group(w).TargetGroupArn, Attributes: []types.TargetGroupAttribute{}}
		for i := 0; i < len(pairs); i += 2 {
			in.Attributes = append(in.Attributes, types.TargetGroupAttribute{Key: &pairs[i], Value: &pairs[i+1]})
		}
		_, err := h.ModifyTargetGroupAttributes(h.ctx(), in)
		return err
	}
}

func setBalancer(key, value string) func(*harness, world) error {
	return func(h *harness, w world) error {
		_, err := h.ModifyLoadBalancerAttributes(h.ctx(), &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: w.public.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: &key, Value: &value}}})
		return err
	}
}

func setListener(listener func(world) types.Listener, key, value string) func(*harness, world) error {
	return func(h *harness, w world) error {
		_, err := h.ModifyListenerAttributes(h.ctx(), &elb.ModifyListenerAttributesInput{ListenerArn: listener(w).ListenerArn, Attributes: []types.ListenerAttribute{{Key: &key, Value: &value}}})
		return err
	}
}

func udpOf(w world) types.TargetGroup { return w.udp }
func tlsOf(w world) types.TargetGroup { return w.tls }
func plainOf(w world) types.Listener  { return w.listener }
func secureOf(w world) types.Listener { return w.secure }

var attributeRefusals = map[string]refusal{
	"no attributes":                {setGroup(tcpOf), "ValidationError", "Attributes cannot be empty"},
	"an unknown group key":         {setGroup(tcpOf, "x", "1"), "ValidationError", "attribute key 'x' is not recognized"},
	"a key twice":                  {setGroup(tcpOf, lb.AttrDeregistrationDelay, "1", lb.AttrDeregistrationDelay, "2"), "ValidationError", "more than once"},
	"a group key of ALB":           {setGroup(tcpOf, "slow_start.duration_seconds", "30"), "InvalidConfigurationRequest", "attribute key 'slow_start.duration_seconds' is not supported"},
	"a delay too long":             {setGroup(tcpOf, lb.AttrDeregistrationDelay, "3601"), "ValidationError", "'deregistration_delay.timeout_seconds' value '3601' must be between '0-3600' inclusive"},
	"a delay that is no number":    {setGroup(tcpOf, lb.AttrDeregistrationDelay, "1s"), "ValidationError", "must be between '0-3600' inclusive"},
	"a boolean that is none":       {setGroup(tcpOf, lb.AttrProxyProtocolV2, "yes"), "ValidationError", "must be one of 'true, false'"},
	"client address off for UDP":   {setGroup(udpOf, lb.AttrPreserveClientIP, "false"), "InvalidConfigurationRequest", "UDP"},
	"stickiness over TLS":          {setGroup(tlsOf, lb.AttrStickinessEnabled, "true"), "InvalidConfigurationRequest", "You cannot enable stickiness on target groups with the TLS protocol"},
	"cookie stickiness":            {setGroup(tcpOf, lb.AttrStickinessType, "lb_cookie"), "InvalidConfigurationRequest", "Stickiness type 'lb_cookie' is not supported for target groups with the TCP protocol"},
	"termination for UDP":          {setGroup(udpOf, lb.AttrUnhealthyTermination, "true"), "InvalidConfigurationRequest", "UDP"},
	"an interval that is unused":   {setGroup(tcpOf, lb.AttrUnhealthyDrainingInterval, "60"), "InvalidConfigurationRequest", "can only be set when"},
	"thresholds the wrong way":     {setGroup(tcpOf, lb.AttrUnhealthyRoutingCount, "2"), "InvalidConfigurationRequest", "must be greater than or equal to"},
	"an unknown balancer key":      {setBalancer("x", "1"), "ValidationError", "attribute key 'x' is not recognized"},
	"a balancer key of ALB":        {setBalancer("idle_timeout.timeout_seconds", "60"), "InvalidConfigurationRequest", "attribute key 'idle_timeout.timeout_seconds' is not supported on load balancers with type 'network'"},
	"access logs to nowhere":       {setBalancer(lb.AttrAccessLogsEnabled, "true"), "ValidationError", "The value of 'access_logs.s3.bucket' cannot be empty"},
	"an empty bucket":              {setBalancer(lb.AttrAccessLogsBucket, ""), "ValidationError", "The value of 'access_logs.s3.bucket' cannot be empty"},
	"a bucket's name that is none": {setBalancer(lb.AttrAccessLogsBucket, "../logs"), "ValidationError", "not a valid bucket name: '../logs'"},
	"an address as a bucket":       {setBalancer(lb.AttrAccessLogsBucket, "10.0.0.1"), "ValidationError", "not a valid bucket name: '10.0.0.1'"},
	"a prefix after a slash":       {setBalancer(lb.AttrAccessLogsPrefix, "/shop"), "ValidationError", "The value of 'access_logs.s3.prefix' cannot start or end with '/'"},
	"a prefix that leads out":      {setBalancer(lb.AttrAccessLogsPrefix, "a/../b"), "ValidationError", "can only consist of"},
	"a prefix with a blank":        {setBalancer(lb.AttrAccessLogsPrefix, "my shop"), "ValidationError", "can only consist of"},
	"AWS's own part of a path":     {setBalancer(lb.AttrAccessLogsPrefix, "x/AWSLogs"), "ValidationError", "cannot contain 'AWSLogs'"},
	"a routing policy of none":     {setBalancer(lb.AttrClientRoutingPolicy, "mine"), "ValidationError", "must be one of"},
	"an idle timeout too short":    {setListener(plainOf, lb.AttrTCPIdleTimeout, "59"), "ValidationError", "must be between '60-6000' inclusive"},
	"an idle timeout for TLS":      {setListener(secureOf, lb.AttrTCPIdleTimeout, "60"), "InvalidConfigurationRequest", "is not supported"},
	"an unknown listener key":      {setListener(plainOf, "x", "1"), "ValidationError", "is not recognized"},
}

var describeRefusals = map[string]refusal{
	"a page of 0": {func(h *harness, _ world) error {
		_, err := h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(0)})
		return err
	}, "ValidationError", "Value '0' at 'pageSize' failed to satisfy constraint: Member must have value greater than or equal to 1"},
	"a page of 401": {func(h *harness, _ world) error {
		_, err := h.DescribeTargetGroups(h.ctx(), &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(401)})
		return err
	}, "ValidationError", "less than or equal to 400"},
	"a marker of nobody": {func(h *harness, _ world) error {
		_, err := h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Marker: aws.String("?")})
		return err
	}, "ValidationError", "'?' is not a valid marker"},
	"one name of two absent": {func(h *harness, _ world) error {
		_, err := h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: []string{"public", "absent"}})
		return err
	}, "LoadBalancerNotFound", "Load balancers '[absent]' not found"},
	"names and ARNs": {func(h *harness, w world) error {
		_, err := h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: []string{"public"}, LoadBalancerArns: []string{*w.public.LoadBalancerArn}})
		return err
	}, "ValidationError", "at the same time"},
	"too many names": {func(h *harness, _ world) error {
		_, err := h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: strings.Split("abcdefghijklmnopqrstu", "")})
		return err
	}, "ValidationError", "more than 20"},
	"one group of two absent": {func(h *harness, w world) error {
		_, err := h.DescribeTargetGroups(h.ctx(), &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{*w.tcp.TargetGroupArn, *w.tcp.TargetGroupArn + "0"}})
		return err
	}, "TargetGroupNotFound", "One or more target groups not found"},
	"groups in two ways": {func(h *harness, w world) error {
		_, err := h.DescribeTargetGroups(h.ctx(), &elb.DescribeTargetGroupsInput{Names: []string{"tcp"}, LoadBalancerArn: w.public.LoadBalancerArn})
		return err
	}, "ValidationError", "Target group names, target group ARNs, and a load balancer ARN cannot be specified at the same time"},
	"listeners of nothing": {func(h *harness, _ world) error {
		_, err := h.DescribeListeners(h.ctx(), &elb.DescribeListenersInput{})
		return err
	}, "ValidationError", "You must specify either listener ARNs or a load balancer ARN"},
	"tags of 21": {func(h *harness, w world) error {
		var arns []string
		for i := range 21 {
			arns = append(arns, fmt.Sprint(*w.public.LoadBalancerArn, i))
		}
		_, err := h.DescribeTags(h.ctx(), &elb.DescribeTagsInput{ResourceArns: arns})
		return err
	}, "ValidationError", "Cannot have more than 20 resources described"},
	"an unknown SSL policy": {func(h *harness, _ world) error {
		_, err := h.DescribeSSLPolicies(h.ctx(), &elb.DescribeSSLPoliciesInput{Names: []string{"mine"}})
		return err
	}, "SSLPolicyNotFound", "'mine'"},
}

var tagRefusals = map[string]refusal{
	"tags on what is absent": {func(h *harness, w world) error {
		_, err := h.AddTags(h.ctx(), &elb.AddTagsInput{ResourceArns: []string{*w.public.LoadBalancerArn, *w.tcp.TargetGroupArn + "0"}, Tags: manyTags(1)})
		return err
	}, "TargetGroupNotFound", "not found"},
	"tags on what is no ARN": {func(h *harness, _ world) error {
		_, err := h.AddTags(h.ctx(), &elb.AddTagsInput{ResourceArns: []string{"x"}, Tags: manyTags(1)})
		return err
	}, "ValidationError", "'x' is not a valid ARN"},
	"a key too long": {func(h *harness, w world) error {
		_, err := h.AddTags(h.ctx(), &elb.AddTagsInput{ResourceArns: []string{*w.public.LoadBalancerArn}, Tags: []types.Tag{{Key: aws.String(strings.Repeat("k", 129))}}})
		return err
	}, "ValidationError", "'128' characters"},
	"a value with a newline": {func(h *harness, w world) error {
		_, err := h.AddTags(h.ctx(), &elb.AddTagsInput{ResourceArns: []string{*w.public.LoadBalancerArn}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("a\nb")}}})
		return err
	}, "ValidationError", "not valid"},
}

var offerRefusals = map[string]refusal{
	"a rule": {func(h *harness, w world) error {
		_, err := h.CreateRule(h.ctx(), &elb.CreateRuleInput{ListenerArn: w.listener.ListenerArn, Priority: aws.Int32(1), Conditions: []types.RuleCondition{}, Actions: forwardTo(w.tcp)})
		return err
	}, "InvalidConfigurationRequest", "not supported"},
	"the default rule's deletion": {func(h *harness, w world) error {
		rules, err := h.DescribeRules(h.ctx(), &elb.DescribeRulesInput{ListenerArn: w.listener.ListenerArn})
		if err != nil {
			return err
		}
		_, err = h.DeleteRule(h.ctx(), &elb.DeleteRuleInput{RuleArn: rules.Rules[0].RuleArn})
		return err
	}, "OperationNotPermitted", "default rule"},
	"a trust store": {func(h *harness, _ world) error {
		_, err := h.CreateTrustStore(h.ctx(), &elb.CreateTrustStoreInput{Name: aws.String("x"), CaCertificatesBundleS3Bucket: aws.String("b"), CaCertificatesBundleS3Key: aws.String("k")})
		return err
	}, "OperationNotPermitted", "Trust stores are not offered"},
	"an absent trust store": {func(h *harness, _ world) error {
		_, err := h.DescribeTrustStores(h.ctx(), &elb.DescribeTrustStoresInput{Names: []string{"x"}})
		return err
	}, "TrustStoreNotFound", "'x'"},
	"IPAM pools": {func(h *harness, w world) error {
		_, err := h.ModifyIpPools(h.ctx(), &elb.ModifyIpPoolsInput{LoadBalancerArn: w.public.LoadBalancerArn})
		return err
	}, "InvalidConfigurationRequest", "IPAM pools"},
	"a resource policy": {func(h *harness, w world) error {
		_, err := h.GetResourcePolicy(h.ctx(), &elb.GetResourcePolicyInput{ResourceArn: w.public.LoadBalancerArn})
		return err
	}, "ResourceNotFound", "no resource policy"},
}
