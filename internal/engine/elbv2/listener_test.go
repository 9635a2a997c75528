package elbv2

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
)

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
