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
)

func makeGroup(edit func(*elb.CreateTargetGroupInput)) func(*harness, world) error {
	return func(h *harness, _ world) error {
		in := &elb.CreateTargetGroupInput{Name: aws.String("new"), Protocol: types.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: aws.String("vpc-1")}
		edit(in)
		_, err := h.CreateTargetGroup(h.ctx(), in)
		return err
	}
}

var groupRefusals = map[string]refusal{
	"a name too long":       {makeGroup(func(in *elb.CreateTargetGroupInput) { in.Name = aws.String(strings.Repeat("x", 33)) }), "ValidationError", "cannot be longer than '32' characters"},
	"no protocol":           {makeGroup(func(in *elb.CreateTargetGroupInput) { in.Protocol = "" }), "ValidationError", "protocol must be specified"},
	"no port":               {makeGroup(func(in *elb.CreateTargetGroupInput) { in.Port = nil }), "ValidationError", "port must be specified"},
	"no VPC":                {makeGroup(func(in *elb.CreateTargetGroupInput) { in.VpcId = nil }), "ValidationError", "VPC ID must be specified"},
	"an absent VPC":         {makeGroup(func(in *elb.CreateTargetGroupInput) { in.VpcId = aws.String("vpc-x") }), "ValidationError", "The VPC ID 'vpc-x' is not found"},
	"HTTP":                  {makeGroup(func(in *elb.CreateTargetGroupInput) { in.Protocol = "HTTP" }), "InvalidConfigurationRequest", "not offered"},
	"lambda":                {makeGroup(func(in *elb.CreateTargetGroupInput) { in.TargetType = types.TargetTypeEnumLambda }), "InvalidConfigurationRequest", "not offered"},
	"an interval too short": {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckIntervalSeconds = aws.Int32(4) }), "ValidationError", "Value '4' at 'healthCheckIntervalSeconds'"},
	"a timeout too long":    {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckTimeoutSeconds = aws.Int32(121) }), "ValidationError", "less than or equal to 120"},
	"a timeout > interval":  {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckIntervalSeconds = aws.Int32(5) }), "ValidationError", "Health check timeout '10' must be smaller than or equal to the interval '5'"},
	"a threshold of 1":      {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthyThresholdCount = aws.Int32(1) }), "ValidationError", "'healthyThresholdCount'"},
	"a UDP health check":    {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = "UDP" }), "ValidationError", "Health check protocol 'UDP' must be one of 'HTTP, HTTPS, TCP'"},
	"a path over TCP":       {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckPath = aws.String("/") }), "ValidationError", "cannot be specified"},
	"a relative path":       {httpCheck(func(in *elb.CreateTargetGroupInput) { in.HealthCheckPath = aws.String("x") }), "ValidationError", "must begin with '/'"},
	"a bad matcher":         {httpCheck(func(in *elb.CreateTargetGroupInput) { in.Matcher = &types.Matcher{HttpCode: aws.String("100-200")} }), "ValidationError", "must be within '200-599' inclusive"},
	"a reversed matcher":    {httpCheck(func(in *elb.CreateTargetGroupInput) { in.Matcher = &types.Matcher{HttpCode: aws.String("300-200")} }), "ValidationError", "must be within '200-599' inclusive"},
	"a gRPC matcher":        {httpCheck(func(in *elb.CreateTargetGroupInput) { in.Matcher = &types.Matcher{GrpcCode: aws.String("0")} }), "ValidationError", "gRPC"},
	"a bad port":            {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckPort = aws.String("http") }), "ValidationError", "Health check port 'http'"},
	"no health checks":      {makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckEnabled = aws.Bool(false) }), "ValidationError", "must be true"},
	"a protocol version":    {makeGroup(func(in *elb.CreateTargetGroupInput) { in.ProtocolVersion = aws.String("GRPC") }), "ValidationError", "protocol version"},
	"deletion while in use": {func(h *harness, w world) error {
		_, err := h.DeleteTargetGroup(h.ctx(), &elb.DeleteTargetGroupInput{TargetGroupArn: w.tcp.TargetGroupArn})
		return err
	}, "ResourceInUse", "is currently in use by a listener or a rule"},
	"a change of an absent": {func(h *harness, w world) error {
		_, err := h.ModifyTargetGroup(h.ctx(), &elb.ModifyTargetGroupInput{TargetGroupArn: aws.String(*w.tcp.TargetGroupArn + "0")})
		return err
	}, "TargetGroupNotFound", "not found"},
	"a change beyond bounds": {func(h *harness, w world) error {
		_, err := h.ModifyTargetGroup(h.ctx(), &elb.ModifyTargetGroupInput{TargetGroupArn: w.tcp.TargetGroupArn, HealthCheckIntervalSeconds: aws.Int32(301)})
		return err
	}, "ValidationError", "less than or equal to 300"},
}

func httpCheck(edit func(*elb.CreateTargetGroupInput)) func(*harness, world) error {
	return makeGroup(func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = types.ProtocolEnumHttp; edit(in) })
}

func target1(group func(world) types.TargetGroup, d types.TargetDescription) func(*harness, world) error {
	return func(h *harness, w world) error {
		_, err := h.RegisterTargets(h.ctx(), &elb.RegisterTargetsInput{TargetGroupArn: group(w).TargetGroupArn, Targets: []types.TargetDescription{d}})
		return err
	}
}

func tcpOf(w world) types.TargetGroup { return w.tcp }
func v6Of(w world) types.TargetGroup  { return w.v6 }

// ipv4 registers with a group of IPv4 addresses.
func ipv4(d types.TargetDescription) func(*harness, world) error {
	return func(h *harness, _ world) error {
		g := h.group("addresses", func(in *elb.CreateTargetGroupInput) { in.TargetType = types.TargetTypeEnumIp })
		_, err := h.RegisterTargets(h.ctx(), &elb.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: []types.TargetDescription{d}})
		return err
	}
}

var targetRefusals = map[string]refusal{
	"an absent instance":       {target1(tcpOf, types.TargetDescription{Id: aws.String("i-x")}), "InvalidTarget", "Instance ID 'i-x' is not valid"},
	"a stopped instance":       {target1(tcpOf, types.TargetDescription{Id: aws.String("i-stopped")}), "InvalidTarget", "The following targets are not in a running state and cannot be registered: 'i-stopped'"},
	"an instance elsewhere":    {target1(tcpOf, types.TargetDescription{Id: aws.String("i-elsewhere")}), "InvalidTarget", "not in the target group VPC 'vpc-1'"},
	"an instance with a zone":  {target1(tcpOf, types.TargetDescription{Id: aws.String("i-a"), AvailabilityZone: aws.String("us-west-2a")}), "ValidationError", "Availability Zone"},
	"port 0":                   {target1(tcpOf, types.TargetDescription{Id: aws.String("i-a"), Port: aws.Int32(0)}), "ValidationError", "'targets.member.port'"},
	"a QUIC server ID":         {target1(tcpOf, types.TargetDescription{Id: aws.String("i-a"), QuicServerId: aws.String("0x0123456789abcdef")}), "ValidationError", "QUIC"},
	"an IPv4 address for IPv6": {target1(v6Of, types.TargetDescription{Id: aws.String("198.18.16.17")}), "ValidationError", "is not a valid IPv6 address"},
	"an absent group": {func(h *harness, w world) error {
		_, err := h.DeregisterTargets(h.ctx(), &elb.DeregisterTargetsInput{TargetGroupArn: aws.String(*w.tcp.TargetGroupArn + "0"), Targets: instances("i-a")})
		return err
	}, "TargetGroupNotFound", "not found"},
}

func TestAddressTargets(t *testing.T) {
	h := newHarness(t)
	for name, r := range map[string]refusal{
		"a public address":              {ipv4(types.TargetDescription{Id: aws.String("8.8.8.8")}), "InvalidTarget", "not within a subnet of the VPC"},
		"a private one without zone":    {ipv4(types.TargetDescription{Id: aws.String("10.0.0.1")}), "ValidationError", "select 'all' for all enabled Availability zones, since the IP address '10.0.0.1' is outside the VPC"},
		"one of the VPC with all":       {ipv4(types.TargetDescription{Id: aws.String("198.18.16.17"), AvailabilityZone: aws.String("all")}), "ValidationError", "is within the VPC, and cannot have its Availability Zone overridden to 'all' from 'us-west-2a'"},
		"one of the VPC, wrong zone":    {ipv4(types.TargetDescription{Id: aws.String("198.18.16.17"), AvailabilityZone: aws.String("us-west-2b")}), "ValidationError", "overridden to 'us-west-2b'"},
		"one of the VPC, but no subnet": {ipv4(types.TargetDescription{Id: aws.String("198.18.200.1")}), "InvalidTarget", "not within a subnet"},
		"an instance ID":                {ipv4(types.TargetDescription{Id: aws.String("i-a")}), "ValidationError", "'i-a' is not a valid IPv4 address"},
	} {
		if err := r.call(h, world{}); apitest.Code(err) != r.code || !strings.Contains(messageOf(err), r.message) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := h.group("addresses", func(in *elb.CreateTargetGroupInput) { in.TargetType = types.TargetTypeEnumIp })
	h.register(g, types.TargetDescription{Id: aws.String("198.18.16.17")}, types.TargetDescription{Id: aws.String("10.0.0.1"), AvailabilityZone: aws.String("all")})
	h.listener(h.balancer("web"), g, 80)
	out := apitest.Must(h.DescribeTargetHealth(h.ctx(), &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn}))(t).TargetHealthDescriptions
	zones := balancing.Convert(out, func(d types.TargetHealthDescription) string {
		return *d.Target.Id + " " + aws.ToString(d.Target.AvailabilityZone)
	})
	if diff := cmp.Diff([]string{"10.0.0.1 all", "198.18.16.17 us-west-2a"}, zones); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
}
