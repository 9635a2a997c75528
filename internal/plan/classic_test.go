package plan_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// plain is the stack of the post's first Service.
func plain() lb.Stack {
	return lb.Stack{
		LoadBalancer: lb.LoadBalancer{Name: "fl-default-nginx-6", Type: lb.Classic, Scheme: lb.InternetFacing, IPAddressType: lb.IPv4, Subnets: []string{"subnet-a", "subnet-b"}},
		Frontend:     &lb.SecurityGroup{Name: "fl-default-nginx-2", Ingress: []lb.Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, Source: netip.MustParsePrefix("0.0.0.0/0")}}},
		Backend:      true,
		Classic: &lb.ClassicParts{
			Listeners:   []lb.ClassicListener{{Port: 80, Protocol: lb.TCP, InstancePort: 30080, InstanceProtocol: lb.TCP}},
			HealthCheck: lb.HealthCheck{Protocol: lb.TCP, Port: "30080", Interval: 10 * time.Second, Timeout: 5 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2},
			Instances:   []string{"i-1", "i-2"},
		},
	}
}

// secure is plain with everything that a Classic Load Balancer can have.
func secure() lb.Stack {
	s := plain()
	s.LoadBalancer.Attributes = map[string]string{lb.ClassicAccessLogs: "true", lb.ClassicAccessLogBucket: "logs"}
	s.Classic.Listeners = []lb.ClassicListener{
		{Port: 80, Protocol: lb.HTTP, InstancePort: 30080, InstanceProtocol: lb.HTTP},
		{Port: 443, Protocol: lb.SSL, InstancePort: 30443, InstanceProtocol: lb.TCP, CertificateARN: "arn:aws:acm:us-west-2:123456789012:certificate/shop", Policies: []string{"fairlead-ELBSecurityPolicy-TLS-1-2-2017-01"}},
	}
	s.Classic.Backends = []lb.ClassicBackend{{InstancePort: 30443, Policies: []string{"fairlead-proxy-protocol"}}}
	s.Classic.Policies = []lb.ClassicPolicy{
		{Name: "fairlead-ELBSecurityPolicy-TLS-1-2-2017-01", Type: lb.SSLNegotiationPolicyType, Attributes: []lb.ClassicAttribute{{Name: lb.PolicyReference, Value: "ELBSecurityPolicy-TLS-1-2-2017-01"}}},
		{Name: "fairlead-proxy-protocol", Type: lb.ProxyProtocolPolicyType, Attributes: []lb.ClassicAttribute{{Name: lb.PolicyProxyProtocol, Value: "true"}}},
	}
	return s
}

func TestClassicPlansForPeople(t *testing.T) {
	tests := map[string]struct {
		want lb.Stack
		have plan.Observed
		may  plan.Policy
	}{
		"classic-create":            {plain(), plan.Observed{}, plan.Policy{}},
		"classic-secure":            {secure(), built(plain()), plan.Policy{}},
		"classic-plain-again":       {plain(), built(secure()), plan.Policy{}},
		"classic-delete":            {lb.Stack{}, built(secure()), plan.Policy{}},
		"classic-to-network":        {post(), built(plain()), consent},
		"classic-waits-for-consent": {post(), built(plain()), plan.Policy{}},
		"network-to-classic":        {plain(), built(post()), consent},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			checkGolden(t, name, plan.Diff(tt.want, tt.have, tt.may))
		})
	}
}

func TestOneWrittenAttributeBringsItsGroup(t *testing.T) {
	p := plan.Diff(secure(), built(plain()), plan.Policy{})
	i := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Action == plan.ModifyLoadBalancerAttributes })
	want := map[string]string{lb.ClassicAccessLogs: "true", lb.ClassicAccessLogBucket: "logs", lb.ClassicAccessLogPrefix: "", lb.ClassicAccessLogInterval: "60"}
	if diff := gocmp.Diff(want, p.Steps[i].After.Map); diff != "" {
		t.Errorf("attributes written (-want +got):\n%s", diff)
	}
}
