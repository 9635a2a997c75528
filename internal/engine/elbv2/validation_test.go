package elbv2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// refusal is a request and the error that AWS answers it with.
type refusal struct {
	call          func(h *harness, f world) error
	code, message string // message: a part of it
}

// world is what the requests of the tables refer to.
type world struct {
	public, internal, dual, bare types.LoadBalancer // bare has no security groups
	tcp, udp, tls, v6            types.TargetGroup
	listener, secure             types.Listener
}

const certificate = "arn:aws:acm:us-west-2:000000000000:certificate/11111111-2222-3333-4444-555555555555"

func newWorld(h *harness) world {
	h.t.Helper()
	w := world{
		public:   h.balancer("public"),
		internal: h.balancer("inside", func(in *elb.CreateLoadBalancerInput) { in.Scheme = types.LoadBalancerSchemeEnumInternal }),
		dual:     h.balancer("dual", func(in *elb.CreateLoadBalancerInput) { in.IpAddressType = types.IpAddressTypeDualstack }),
		bare:     h.balancer("bare", func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = nil }),
		tcp:      h.group("tcp"),
		udp:      h.group("udp", func(in *elb.CreateTargetGroupInput) { in.Protocol = types.ProtocolEnumUdp }),
		tls:      h.group("tls", func(in *elb.CreateTargetGroupInput) { in.Protocol = types.ProtocolEnumTls }),
		v6: h.group("v6", func(in *elb.CreateTargetGroupInput) {
			in.TargetType, in.IpAddressType = types.TargetTypeEnumIp, types.TargetGroupIpAddressTypeEnumIpv6
		}),
	}
	w.listener = h.listener(w.public, w.tcp, 80)
	in := listenTo(w.public, w.tls, 443)
	in.Protocol, in.Certificates = types.ProtocolEnumTls, []types.Certificate{{CertificateArn: aws.String(certificate)}}
	w.secure = must(h.CreateListener(h.ctx(), in))(h.t).Listeners[0]
	return w
}

func TestRequestsThatAreRefused(t *testing.T) {
	tables := map[string]map[string]refusal{
		"CreateLoadBalancer": createBalancerRefusals, "load balancer settings": settingRefusals, "listeners": listenerRefusals,
		"target groups": groupRefusals, "targets": targetRefusals, "attributes": attributeRefusals, "describes": describeRefusals,
		"tags": tagRefusals, "what is not offered": offerRefusals,
	}
	for table, refusals := range tables {
		t.Run(table, func(t *testing.T) {
			h := newHarness(t)
			w := newWorld(h)
			before := h.db.Current().Number()
			for name, r := range refusals {
				err := r.call(h, w)
				if codeOf(err) != r.code || !strings.Contains(messageOf(err), r.message) {
					t.Errorf("%s:\n got %s: %s\nwant %s: …%s…", name, codeOf(err), messageOf(err), r.code, r.message)
				}
			}
			if after := h.db.Current().Number(); after != before {
				t.Errorf("refused requests made %d transactions", after-before)
			}
		})
	}
}

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

func listen(edit func(*elb.CreateListenerInput, world)) func(*harness, world) error {
	return func(h *harness, w world) error {
		in := listenTo(w.public, w.tcp, 81)
		edit(in, w)
		_, err := h.CreateListener(h.ctx(), in)
		return err
	}
}

var listenerRefusals = map[string]refusal{
	"no port":             {listen(func(in *elb.CreateListenerInput, _ world) { in.Port = nil }), "ValidationError", "A listener port must be specified"},
	"no protocol":         {listen(func(in *elb.CreateListenerInput, _ world) { in.Protocol = "" }), "ValidationError", "A listener protocol must be specified"},
	"port 0":              {listen(func(in *elb.CreateListenerInput, _ world) { in.Port = aws.Int32(0) }), "ValidationError", "Value '0' at 'port' failed to satisfy constraint: Member must have value greater than or equal to 1"},
	"port 65536":          {listen(func(in *elb.CreateListenerInput, _ world) { in.Port = aws.Int32(65536) }), "ValidationError", "less than or equal to 65535"},
	"HTTP":                {listen(func(in *elb.CreateListenerInput, _ world) { in.Protocol = "HTTP" }), "ValidationError", "Listener protocol 'HTTP' must be one of 'UDP, TCP, TLS, TCP_UDP'"},
	"QUIC":                {listen(func(in *elb.CreateListenerInput, _ world) { in.Protocol = "QUIC" }), "UnsupportedProtocol", "not offered"},
	"an unknown protocol": {listen(func(in *elb.CreateListenerInput, _ world) { in.Protocol = "SCTP" }), "ValidationError", "Member must satisfy enum value set"},
	"a UDP group":         {listen(func(in *elb.CreateListenerInput, w world) { in.DefaultActions = forwardTo(w.udp) }), "IncompatibleProtocols", "'TCP' is not supported with a target group with the protocol 'UDP'"},
	"an IPv6 group":       {listen(func(in *elb.CreateListenerInput, w world) { in.DefaultActions = forwardTo(w.v6) }), "InvalidConfigurationRequest", "dualstack"},
	"a group in use":      {listen(func(in *elb.CreateListenerInput, w world) { in.LoadBalancerArn = w.internal.LoadBalancerArn }), "TargetGroupAssociationLimit", "cannot be associated with more than one load balancer"},
	"an absent group": {listen(func(in *elb.CreateListenerInput, w world) {
		in.DefaultActions[0].TargetGroupArn = aws.String(*w.tcp.TargetGroupArn + "0")
	}), "TargetGroupNotFound", "not found"},
	"no group": {listen(func(in *elb.CreateListenerInput, _ world) { in.DefaultActions[0].TargetGroupArn = nil }), "ValidationError", "A target group ARN must be specified"},
	"two actions": {listen(func(in *elb.CreateListenerInput, w world) {
		in.DefaultActions = append(in.DefaultActions, in.DefaultActions[0])
	}), "TooManyActions", "only one default action"},
	"a redirect": {listen(func(in *elb.CreateListenerInput, _ world) {
		in.DefaultActions[0].Type = types.ActionTypeEnumFixedResponse
	}), "InvalidLoadBalancerAction", "'fixed-response' is not supported"},
	"a weight too high":   {listen(func(in *elb.CreateListenerInput, w world) { in.DefaultActions = weights(w.tcp, 1000) }), "ValidationError", "less than or equal to 999"},
	"a group twice":       {listen(func(in *elb.CreateListenerInput, w world) { in.DefaultActions = weights(w.tcp, 1, 2) }), "ValidationError", "more than once"},
	"groups of two kinds": {listen(func(in *elb.CreateListenerInput, w world) { in.DefaultActions = mixed(w.tcp, w.udp) }), "InvalidConfigurationRequest", "same protocol"},
	"too many groups":     {listen(func(in *elb.CreateListenerInput, w world) { in.DefaultActions = weights(w.tcp, 1, 1, 1, 1, 1, 1) }), "TooManyUniqueTargetGroupsPerLoadBalancer", "5"},
	"group stickiness":    {listen(func(in *elb.CreateListenerInput, w world) { in.DefaultActions = sticky(w.tcp) }), "OperationNotPermitted", "not offered"},
	"a used port": {listen(func(in *elb.CreateListenerInput, w world) {
		in.Port, in.DefaultActions = aws.Int32(80), weights(w.tcp, 7)
	}), "DuplicateListener", "A listener already exists on this port for this load balancer"},
	"TCP with certificate": {listen(func(in *elb.CreateListenerInput, _ world) {
		in.Certificates = []types.Certificate{{CertificateArn: aws.String(certificate)}}
	}), "ValidationError", "Certificates cannot be specified"},
	"TCP with a policy":  {listen(func(in *elb.CreateListenerInput, _ world) { in.SslPolicy = aws.String(defaultSSLPolicy) }), "ValidationError", "SSL policy cannot be specified"},
	"TLS without":        {listen(func(in *elb.CreateListenerInput, w world) { in.Protocol, in.DefaultActions = "TLS", forwardTo(w.tls) }), "ValidationError", "A certificate must be specified"},
	"an unknown policy":  {secured(func(in *elb.CreateListenerInput) { in.SslPolicy = aws.String("mine") }), "SSLPolicyNotFound", "'mine'"},
	"an unknown ALPN":    {secured(func(in *elb.CreateListenerInput) { in.AlpnPolicy = []string{"HTTP3"} }), "ALPNPolicyNotFound", "HTTP3"},
	"a bad certificate":  {secured(func(in *elb.CreateListenerInput) { in.Certificates[0].CertificateArn = aws.String("mine") }), "CertificateNotFound", "'mine'"},
	"two certificates":   {secured(func(in *elb.CreateListenerInput) { in.Certificates = append(in.Certificates, in.Certificates[0]) }), "ValidationError", "exactly one certificate"},
	"an absent balancer": {listen(func(in *elb.CreateListenerInput, _ world) { in.LoadBalancerArn = aws.String(*in.LoadBalancerArn + "0") }), "LoadBalancerNotFound", "not found"},
	"UDP over dualstack": {func(h *harness, w world) error {
		_, err := h.CreateListener(h.ctx(), listenTo(w.dual, w.udp, 53))
		return err
	}, "InvalidConfigurationRequest", "source NAT"},
	"a change to a used port": {func(h *harness, w world) error {
		_, err := h.ModifyListener(h.ctx(), &elb.ModifyListenerInput{ListenerArn: w.listener.ListenerArn, Port: aws.Int32(443)})
		return err
	}, "DuplicateListener", "already exists"},
	"an absent listener": {func(h *harness, w world) error {
		_, err := h.DeleteListener(h.ctx(), &elb.DeleteListenerInput{ListenerArn: aws.String(*w.listener.ListenerArn + "0")})
		return err
	}, "ListenerNotFound", "not found"},
	"the default certificate's removal": {func(h *harness, w world) error {
		_, err := h.RemoveListenerCertificates(h.ctx(), &elb.RemoveListenerCertificatesInput{ListenerArn: w.secure.ListenerArn, Certificates: []types.Certificate{{CertificateArn: aws.String(certificate)}}})
		return err
	}, "OperationNotPermitted", "default certificate"},
	"certificates for TCP": {func(h *harness, w world) error {
		_, err := h.AddListenerCertificates(h.ctx(), &elb.AddListenerCertificatesInput{ListenerArn: w.listener.ListenerArn, Certificates: []types.Certificate{{CertificateArn: aws.String(certificate)}}})
		return err
	}, "ValidationError", "Certificates cannot be specified"},
}

func secured(edit func(*elb.CreateListenerInput)) func(*harness, world) error {
	return listen(func(in *elb.CreateListenerInput, w world) {
		in.Protocol, in.DefaultActions, in.Certificates = types.ProtocolEnumTls, forwardTo(w.tls), []types.Certificate{{CertificateArn: aws.String(certificate)}}
		edit(in)
	})
}

func weights(g types.TargetGroup, values ...int32) []types.Action {
	config := &types.ForwardActionConfig{}
	for _, v := range values {
		config.TargetGroups = append(config.TargetGroups, types.TargetGroupTuple{TargetGroupArn: g.TargetGroupArn, Weight: &v})
	}
	return []types.Action{{Type: types.ActionTypeEnumForward, ForwardConfig: config}}
}

func mixed(a, b types.TargetGroup) []types.Action {
	actions := weights(a, 1)
	actions[0].ForwardConfig.TargetGroups = append(actions[0].ForwardConfig.TargetGroups, types.TargetGroupTuple{TargetGroupArn: b.TargetGroupArn})
	return actions
}

func sticky(g types.TargetGroup) []types.Action {
	actions := weights(g, 1)
	actions[0].ForwardConfig.TargetGroupStickinessConfig = &types.TargetGroupStickinessConfig{Enabled: aws.Bool(true)}
	return actions
}

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
		if err := r.call(h, world{}); codeOf(err) != r.code || !strings.Contains(messageOf(err), r.message) {
			t.Errorf("%s: %s: %s", name, codeOf(err), messageOf(err))
		}
	}
	g := h.group("addresses", func(in *elb.CreateTargetGroupInput) { in.TargetType = types.TargetTypeEnumIp })
	h.register(g, types.TargetDescription{Id: aws.String("198.18.16.17")}, types.TargetDescription{Id: aws.String("10.0.0.1"), AvailabilityZone: aws.String("all")})
	h.listener(h.balancer("web"), g, 80)
	out := must(h.DescribeTargetHealth(h.ctx(), &elb.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn}))(t).TargetHealthDescriptions
	zones := convert(out, func(d types.TargetHealthDescription) string {
		return *d.Target.Id + " " + aws.ToString(d.Target.AvailabilityZone)
	})
	if diff := cmp.Diff([]string{"10.0.0.1 all", "198.18.16.17 us-west-2a"}, zones); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
}

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
	"no attributes":              {setGroup(tcpOf), "ValidationError", "Attributes cannot be empty"},
	"an unknown group key":       {setGroup(tcpOf, "x", "1"), "ValidationError", "attribute key 'x' is not recognized"},
	"a key twice":                {setGroup(tcpOf, lb.AttrDeregistrationDelay, "1", lb.AttrDeregistrationDelay, "2"), "ValidationError", "more than once"},
	"a group key of ALB":         {setGroup(tcpOf, "slow_start.duration_seconds", "30"), "InvalidConfigurationRequest", "attribute key 'slow_start.duration_seconds' is not supported"},
	"a delay too long":           {setGroup(tcpOf, lb.AttrDeregistrationDelay, "3601"), "ValidationError", "'deregistration_delay.timeout_seconds' value '3601' must be between '0-3600' inclusive"},
	"a delay that is no number":  {setGroup(tcpOf, lb.AttrDeregistrationDelay, "1s"), "ValidationError", "must be between '0-3600' inclusive"},
	"a boolean that is none":     {setGroup(tcpOf, lb.AttrProxyProtocolV2, "yes"), "ValidationError", "must be one of 'true, false'"},
	"client address off for UDP": {setGroup(udpOf, lb.AttrPreserveClientIP, "false"), "InvalidConfigurationRequest", "UDP"},
	"stickiness over TLS":        {setGroup(tlsOf, lb.AttrStickinessEnabled, "true"), "InvalidConfigurationRequest", "You cannot enable stickiness on target groups with the TLS protocol"},
	"cookie stickiness":          {setGroup(tcpOf, lb.AttrStickinessType, "lb_cookie"), "InvalidConfigurationRequest", "Stickiness type 'lb_cookie' is not supported for target groups with the TCP protocol"},
	"termination for UDP":        {setGroup(udpOf, lb.AttrUnhealthyTermination, "true"), "InvalidConfigurationRequest", "UDP"},
	"an interval that is unused": {setGroup(tcpOf, lb.AttrUnhealthyDrainingInterval, "60"), "InvalidConfigurationRequest", "can only be set when"},
	"thresholds the wrong way":   {setGroup(tcpOf, lb.AttrUnhealthyRoutingCount, "2"), "InvalidConfigurationRequest", "must be greater than or equal to"},
	"an unknown balancer key":    {setBalancer("x", "1"), "ValidationError", "attribute key 'x' is not recognized"},
	"a balancer key of ALB":      {setBalancer("idle_timeout.timeout_seconds", "60"), "InvalidConfigurationRequest", "attribute key 'idle_timeout.timeout_seconds' is not supported on load balancers with type 'network'"},
	"access logs":                {setBalancer(lb.AttrAccessLogsEnabled, "true"), "InvalidConfigurationRequest", "not offered"},
	"a routing policy of none":   {setBalancer(lb.AttrClientRoutingPolicy, "mine"), "ValidationError", "must be one of"},
	"an idle timeout too short":  {setListener(plainOf, lb.AttrTCPIdleTimeout, "59"), "ValidationError", "must be between '60-6000' inclusive"},
	"an idle timeout for TLS":    {setListener(secureOf, lb.AttrTCPIdleTimeout, "60"), "InvalidConfigurationRequest", "is not supported"},
	"an unknown listener key":    {setListener(plainOf, "x", "1"), "ValidationError", "is not recognized"},
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
