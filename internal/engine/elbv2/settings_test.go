package elbv2

import (
	"fmt"
	"net/netip"
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
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// addresses are the zonal addresses that a load balancer holds, which must be
// the ones that are marked taken.
func (h *harness) addresses(b types.LoadBalancer) []string {
	h.t.Helper()
	r := h.db.Current()
	record, _ := state.LoadBalancers.Get(r, *b.LoadBalancerArn)
	var held, taken []string
	for _, z := range record.Zones {
		for _, a := range []netip.Addr{z.IPv4, z.IPv6} {
			if a.IsValid() {
				held = append(held, a.String())
			}
		}
	}
	for a := range state.ZonalAddresses.All(r) {
		if a.Holder == record.ARN {
			taken = append(taken, a.Address.String())
		}
	}
	slices.Sort(taken)
	if sorted := slices.Sorted(slices.Values(held)); !slices.Equal(sorted, taken) {
		h.t.Errorf("%s holds %q, but %q are marked taken", record.Name, sorted, taken)
	}
	return held
}

func TestAddressesGoRoundAndAvoidWhatIsTaken(t *testing.T) {
	h := newHarness(t)
	inA := func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a"} }
	var got []string
	for i := range 13 {
		got = append(got, h.addresses(h.balancer(fmt.Sprint("b", i), inA))...)
	}
	// .4 is an edge's, .16 an instance's.
	var want []string
	for i := 5; len(want) < 13; i++ {
		if i != 16 {
			want = append(want, fmt.Sprintf("198.18.16.%d", i))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses in order of creation (-want +got):\n%s", diff)
	}
	first := apitest.Must(h.DescribeLoadBalancers(h.ctx(), &elb.DescribeLoadBalancersInput{Names: []string{"b0"}}))(t).LoadBalancers[0]
	apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: first.LoadBalancerArn}))(t)
	if got := h.addresses(h.balancer("next", inA)); got[0] != "198.18.16.19" {
		t.Errorf("the next address is %s: one that became free should rest", got[0])
	}
	tiny := func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-tiny"} }
	h.balancer("tiny1", tiny)
	two := h.balancer("tiny2", tiny) // .4 and .5; .6 is an instance's
	_, err := h.CreateLoadBalancer(h.ctx(), &elb.CreateLoadBalancerInput{Name: aws.String("tiny3"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-tiny"}})
	if apitest.Code(err) != "InvalidSubnet" || !strings.Contains(messageOf(err), "Not enough IP space available in subnet-tiny") {
		t.Errorf("a third one in a subnet for two: %v", err)
	}
	apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: two.LoadBalancerArn}))(t)
	if got := h.addresses(h.balancer("tiny3", tiny)); got[0] != "198.18.64.5" {
		t.Errorf("after one left: %s, want the only free one", got[0])
	}
}

func TestChosenAddressesAreKeptAndShown(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web", func(in *elb.CreateLoadBalancerInput) {
		in.Scheme, in.IpAddressType, in.Subnets = types.LoadBalancerSchemeEnumInternal, types.IpAddressTypeDualstack, nil
		in.SubnetMappings = []types.SubnetMapping{{SubnetId: aws.String("subnet-a"), PrivateIPv4Address: aws.String("198.18.16.77"), IPv6Address: aws.String("2001:db8:0:1::77")}}
	})
	shown := b.AvailabilityZones[0].LoadBalancerAddresses
	if len(shown) != 1 || *shown[0].PrivateIPv4Address != "198.18.16.77" || *shown[0].IPv6Address != "2001:db8:0:1::77" {
		t.Errorf("addresses shown: %+v", shown)
	}
	if diff := cmp.Diff([]string{"198.18.16.77", "2001:db8:0:1::77"}, h.addresses(b)); diff != "" {
		t.Errorf("addresses held (-want +got):\n%s", diff)
	}
}

func TestSubnetsAndAddressTypeChangeInPlace(t *testing.T) {
	h := newHarness(t)
	b := h.balancer("web", func(in *elb.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a"} })
	expect := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, h.addresses(b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	out := apitest.Must(h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, Subnets: []string{"subnet-b", "subnet-a"}}))(t)
	if len(out.AvailabilityZones) != 2 || *out.AvailabilityZones[0].ZoneName != "us-west-2a" {
		t.Errorf("zones = %+v", out.AvailabilityZones)
	}
	expect("with a second subnet", "198.18.16.5", "198.18.32.5")
	apitest.Must(h.SetIpAddressType(h.ctx(), &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: types.IpAddressTypeDualstack}))(t)
	expect("with dualstack", "198.18.16.5", "2001:db8:0:1::4", "198.18.32.5", "2001:db8:0:2::4")
	g := h.group("v6", func(in *elb.CreateTargetGroupInput) { in.IpAddressType = types.TargetGroupIpAddressTypeEnumIpv6 })
	l := h.listener(b, g, 80)
	_, err := h.SetIpAddressType(h.ctx(), &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: types.IpAddressTypeIpv4})
	if apitest.Code(err) != "InvalidConfigurationRequest" {
		t.Errorf("IPv4 under an IPv6 group: %v", err)
	}
	apitest.Must(h.DeleteListener(h.ctx(), &elb.DeleteListenerInput{ListenerArn: l.ListenerArn}))(t)
	apitest.Must(h.SetIpAddressType(h.ctx(), &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: types.IpAddressTypeIpv4}))(t)
	expect("with IPv4 again", "198.18.16.5", "198.18.32.5")
	apitest.Must(h.SetSubnets(h.ctx(), &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, Subnets: []string{"subnet-b"}}))(t)
	expect("with one subnet", "198.18.32.5")
	apitest.Must(h.DeleteLoadBalancer(h.ctx(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))(t)
	expect("deleted")
}

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

func TestTLSListenersAreKept(t *testing.T) {
	h := newHarness(t)
	b, g := h.balancer("web"), h.group("pods")
	l := h.listener(b, g, 443)
	cert := func(n int) types.Certificate {
		return types.Certificate{CertificateArn: aws.String(fmt.Sprintf("arn:aws:acm:us-west-2:000000000000:certificate/%d", n))}
	}
	out := apitest.Must(h.ModifyListener(h.ctx(), &elb.ModifyListenerInput{ListenerArn: l.ListenerArn, Protocol: types.ProtocolEnumTls, Certificates: []types.Certificate{cert(1)}, AlpnPolicy: []string{"HTTP2Preferred"}}))(t).Listeners[0]
	if out.Protocol != types.ProtocolEnumTls || *out.SslPolicy != "ELBSecurityPolicy-2016-08" || *out.Certificates[0].CertificateArn != *cert(1).CertificateArn || out.AlpnPolicy[0] != "HTTP2Preferred" {
		t.Errorf("TLS listener: %+v", out)
	}
	apitest.Must(h.AddListenerCertificates(h.ctx(), &elb.AddListenerCertificatesInput{ListenerArn: l.ListenerArn, Certificates: []types.Certificate{cert(1), cert(2)}}))(t)
	list := func() []string {
		got := apitest.Must(h.DescribeListenerCertificates(h.ctx(), &elb.DescribeListenerCertificatesInput{ListenerArn: l.ListenerArn}))(t).Certificates
		return balancing.Convert(got, func(c types.Certificate) string {
			return fmt.Sprint((*c.CertificateArn)[len(*c.CertificateArn)-1:], *c.IsDefault)
		})
	}
	if diff := cmp.Diff([]string{"1true", "1false", "2false"}, list()); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
	apitest.Must(h.RemoveListenerCertificates(h.ctx(), &elb.RemoveListenerCertificatesInput{ListenerArn: l.ListenerArn, Certificates: []types.Certificate{cert(1)}}))(t)
	if diff := cmp.Diff([]string{"1true", "2false"}, list()); diff != "" {
		t.Errorf("certificates after one was removed (-want +got):\n%s", diff)
	}
	out = apitest.Must(h.ModifyListener(h.ctx(), &elb.ModifyListenerInput{ListenerArn: l.ListenerArn, Protocol: types.ProtocolEnumTcp}))(t).Listeners[0]
	if out.SslPolicy != nil || len(out.Certificates) != 0 || len(out.AlpnPolicy) != 0 {
		t.Errorf("a listener that was TLS: %+v", out)
	}
}

func TestListenerStickinessIsKeptAndShown(t *testing.T) {
	h := newHarness(t)
	b, first, second := h.balancer("web"), h.group("one"), h.group("two")
	for _, enabled := range []bool{true, false} {
		in := listenTo(b, first, 80)
		in.DefaultActions = mixed(first, second)
		in.DefaultActions[0].ForwardConfig.TargetGroupStickinessConfig = &types.TargetGroupStickinessConfig{Enabled: &enabled}
		made := apitest.Must(h.CreateListener(h.ctx(), in))(t).Listeners[0]
		shown := apitest.Must(h.DescribeListeners(h.ctx(), &elb.DescribeListenersInput{ListenerArns: []string{*made.ListenerArn}}))(t).Listeners[0]
		if got := *shown.DefaultActions[0].ForwardConfig.TargetGroupStickinessConfig.Enabled; got != enabled {
			t.Errorf("stickiness is shown as %t, want %t", got, enabled)
		}
		record, _ := state.Listeners.Get(h.db.Current(), *made.ListenerArn)
		if record.Stickiness != enabled {
			t.Errorf("stickiness is kept as %t, want %t", record.Stickiness, enabled)
		}
		apitest.Must(h.DeleteListener(h.ctx(), &elb.DeleteListenerInput{ListenerArn: made.ListenerArn}))(t)
	}
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

func TestQuotas(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Quotas = Quotas{LoadBalancers: 1, ListenersPerLoadBalancer: 1, TargetGroups: 2, TargetsPerGroup: 2, TargetsPerLoadBalancer: 3, TargetsPerZone: 2, GroupsPerAction: 1, SecurityGroups: 1, TagsPerResource: 1}
	})
	b, g, spare := h.balancer("web"), h.group("pods"), h.group("spare")
	h.listener(b, g, 80)
	port := func(id string, port int32) types.TargetDescription {
		return types.TargetDescription{Id: &id, Port: &port}
	}
	register := func(g types.TargetGroup, targets ...types.TargetDescription) error {
		_, err := h.RegisterTargets(h.ctx(), &elb.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets})
		return err
	}
	_, balancers := h.CreateLoadBalancer(h.ctx(), &elb.CreateLoadBalancerInput{Name: aws.String("more"), Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a"}})
	_, listeners := h.CreateListener(h.ctx(), listenTo(b, spare, 81))
	_, groups := h.CreateTargetGroup(h.ctx(), &elb.CreateTargetGroupInput{Name: aws.String("more"), Protocol: types.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: aws.String("vpc-1")})
	for code, err := range map[string]error{"TooManyLoadBalancers": balancers, "TooManyListeners": listeners, "TooManyTargetGroups": groups} {
		if apitest.Code(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	if err := register(g, port("i-a", 1), port("i-a", 2), port("i-b", 1)); apitest.Code(err) != "TooManyTargets" {
		t.Errorf("three targets in a group of two: %v", err)
	}
	if got := h.states(g); len(got) != 0 {
		t.Errorf("a registration that was refused left %q", got)
	}
	h.register(g, port("i-a", 1), port("i-a", 2))
	h.register(spare, port("i-a", 3), port("i-b", 3))
	_, err := h.ModifyListener(h.ctx(), &elb.ModifyListenerInput{ListenerArn: apitest.Must(h.DescribeListeners(h.ctx(), &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn}))(t).Listeners[0].ListenerArn,
		DefaultActions: forwardTo(spare)})
	if apitest.Code(err) != "TooManyTargets" {
		t.Errorf("a listener to a group that brings a zone above its quota: %v", err)
	}
	limits := apitest.Must(h.DescribeAccountLimits(h.ctx(), &elb.DescribeAccountLimitsInput{}))(t).Limits
	i := slices.IndexFunc(limits, func(l types.Limit) bool { return *l.Name == "targets-per-network-load-balancer" })
	if i < 0 || *limits[i].Max != "3" {
		t.Errorf("account limits: %+v", limits)
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
