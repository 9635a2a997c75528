package elbv2

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func (h *harness) balancerAttributes(b types.LoadBalancer) string {
	h.t.Helper()
	out := apitest.Must(h.DescribeLoadBalancerAttributes(h.ctx(), &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn}))(h.t)
	return strings.Join(balancing.Convert(out.Attributes, func(a types.LoadBalancerAttribute) string { return *a.Key + "=" + *a.Value }), " ")
}

func (h *harness) groupAttributes(g types.TargetGroup) string {
	h.t.Helper()
	out := apitest.Must(h.DescribeTargetGroupAttributes(h.ctx(), &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn}))(h.t)
	return strings.Join(balancing.Convert(out.Attributes, func(a types.TargetGroupAttribute) string { return *a.Key + "=" + *a.Value }), " ")
}

func TestDeletionProtection(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web")
	protect := func(value string) {
		t.Helper()
		apitest.Must(h.ModifyLoadBalancerAttributes(h.ctx(), &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn,
			Attributes: []types.LoadBalancerAttribute{{Key: aws.String(lb.AttrDeletionProtection), Value: &value}}}))(t)
	}
	protect("true")
	_, err := h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn})
	if apitest.Code(err) != "OperationNotPermitted" {
		t.Errorf("deletion of a protected load balancer: %v", err)
	}
	protect("false")
	apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))(t)
}

// TestAttributeDefaults holds every default, because controllers write what
// they find missing or different, again and again.
func TestAttributeDefaults(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web")
	inside := h.balancer("inside", func(in *elb.CreateLoadBalancerInput) { in.Scheme = types.LoadBalancerSchemeEnumInternal })
	instance, udp := h.group("instance"), h.group("udp", func(in *elb.CreateTargetGroupInput) { in.Protocol = types.ProtocolEnumUdp })
	address := h.group("address", func(in *elb.CreateTargetGroupInput) { in.TargetType = types.TargetTypeEnumIp })
	l := h.listener(b, instance, 80)

	balancer := "access_logs.s3.bucket= access_logs.s3.enabled=false access_logs.s3.prefix= deletion_protection.enabled=false " +
		"dns_record.client_routing_policy=any_availability_zone ipv6.deny_all_igw_traffic=false load_balancing.cross_zone.enabled=false " +
		"secondary_ips.auto_assigned.per_subnet=0 zonal_shift.config.enabled=false"
	group := "deregistration_delay.connection_termination.enabled=false deregistration_delay.timeout_seconds=300 " +
		"load_balancing.cross_zone.enabled=use_load_balancer_configuration preserve_client_ip.enabled=true proxy_protocol_v2.enabled=false " +
		"stickiness.enabled=false stickiness.type=source_ip target_group_health.dns_failover.minimum_healthy_targets.count=1 " +
		"target_group_health.dns_failover.minimum_healthy_targets.percentage=off " +
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count=1 " +
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage=off " +
		"target_health_state.unhealthy.connection_termination.enabled=true target_health_state.unhealthy.draining_interval_seconds=0"
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(group) }
	for what, pair := range map[string][2]string{
		"internet-facing load balancer": {h.balancerAttributes(b), balancer},
		"internal load balancer":        {h.balancerAttributes(inside), strings.Replace(balancer, "igw_traffic=false", "igw_traffic=true", 1)},
		"instance group":                {h.groupAttributes(instance), group},
		"address group":                 {h.groupAttributes(address), replace("preserve_client_ip.enabled=true", "preserve_client_ip.enabled=false")},
		"UDP group":                     {h.groupAttributes(udp), replace("delay.connection_termination.enabled=false", "delay.connection_termination.enabled=true", "unhealthy.connection_termination.enabled=true", "unhealthy.connection_termination.enabled=false")},
	} {
		if diff := cmp.Diff(strings.Fields(pair[1]), strings.Fields(pair[0])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	attributes := apitest.Must(h.DescribeListenerAttributes(h.ctx(), &elb.DescribeListenerAttributesInput{ListenerArn: l.ListenerArn}))(t).Attributes
	if len(attributes) != 1 || *attributes[0].Key != "tcp.idle_timeout.seconds" || *attributes[0].Value != "350" {
		t.Errorf("listener attributes: %+v", attributes)
	}
}

func TestLoadBalancersSayWhenAnEdgeIsLessThanNativeXDP(t *testing.T) {
	h := newHarness(t)
	h.service.DataPath = h.health.DataPath
	b := h.balancer("web", func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-b"} })
	for _, step := range []struct {
		zone string
		path lb.DataPath
		want string
	}{
		{"us-west-2a", lb.DataPathNative, ""},
		{"us-west-2b", lb.DataPathGeneric, "fairlead.data_path=us-west-2b=generic fairlead.data_path.cost=us-west-2b: a packet takes several times the CPU of native XDP"},
		{"us-west-2b", "", "fairlead.data_path=us-west-2b=generic fairlead.data_path.cost=us-west-2b: a packet takes several times the CPU of native XDP"},
		{"us-west-2a", lb.DataPathUserspace, "fairlead.data_path=us-west-2a=userspace,us-west-2b=generic"},
		{"us-west-2b", lb.DataPathNative, "fairlead.data_path=us-west-2a=userspace fairlead.data_path.cost=us-west-2a: TCP listeners alone"},
		{"us-west-2c", lb.DataPathDetached, "fairlead.data_path=us-west-2a=userspace fairlead.data_path.cost"}, // a zone of others
		{"us-west-2a", lb.DataPathNative, ""},
	} {
		h.health.Take(lb.HealthReport{Zone: step.zone, DataPath: step.path})
		got := h.balancerAttributes(b)
		if !strings.Contains(got, step.want) || strings.Contains(got, "fairlead.") != (step.want != "") {
			t.Errorf("after %s of %s: %q, want %q", step.path, step.zone, got, step.want)
		}
	}
	_, err := h.ModifyLoadBalancerAttributes(h.ctx(), &elb.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: b.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: aws.String(lb.AttrDataPath), Value: aws.String("native")}},
	})
	if err == nil || !strings.Contains(err.Error(), "ValidationError") || !strings.Contains(err.Error(), "--xdp-mode") {
		t.Errorf("setting it: error = %v, want a ValidationError that names what decides", err)
	}
}

func TestAccessLogsAreKeptWithTheirBucket(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web")
	for _, step := range []struct{ set, want string }{
		{"access_logs.s3.enabled=true access_logs.s3.bucket=logs access_logs.s3.prefix=shop/web", "bucket=logs enabled=true prefix=shop/web"},
		{"access_logs.s3.prefix=", "bucket=logs enabled=true prefix="},
		{"access_logs.s3.enabled=false", "bucket=logs enabled=false prefix="},
		{"access_logs.s3.enabled=true", "bucket=logs enabled=true prefix="},
	} {
		in := &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn}
		for pair := range strings.FieldsSeq(step.set) {
			key, value, _ := strings.Cut(pair, "=")
			in.Attributes = append(in.Attributes, types.LoadBalancerAttribute{Key: &key, Value: &value})
		}
		apitest.Must(h.ModifyLoadBalancerAttributes(h.ctx(), in))(t)
		var got []string
		for pair := range strings.FieldsSeq(h.balancerAttributes(b)) {
			if key, ok := strings.CutPrefix(pair, "access_logs.s3."); ok {
				got = append(got, key)
			}
		}
		if diff := cmp.Diff(step.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.set, diff)
		}
	}
}
