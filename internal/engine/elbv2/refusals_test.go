package elbv2

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/apitest"
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
	w.secure = apitest.Must(h.CreateListener(h.ctx(), in))(h.t).Listeners[0]
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
				if apitest.Code(err) != r.code || !strings.Contains(messageOf(err), r.message) {
					t.Errorf("%s:\n got %v\nwant %s: …%s…", name, err, r.code, r.message)
				}
			}
			if after := h.db.Current().Number(); after != before {
				t.Errorf("refused requests made %d transactions", after-before)
			}
		})
	}
}
