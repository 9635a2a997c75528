package elbv2

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

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
	"group stickiness over TLS": {secured(func(in *elb.CreateListenerInput) {
		in.DefaultActions[0].ForwardConfig = &types.ForwardActionConfig{
			TargetGroups:                []types.TargetGroupTuple{{TargetGroupArn: in.DefaultActions[0].TargetGroupArn}},
			TargetGroupStickinessConfig: &types.TargetGroupStickinessConfig{Enabled: aws.Bool(true)},
		}
	}), "InvalidConfigurationRequest", "You cannot enable target group stickiness"},
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
