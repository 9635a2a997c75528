package intent_test

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

const (
	aws      = "service.beta.kubernetes.io/aws-load-balancer-"
	fairlead = "fairlead.io/"

	certificate = "arn:aws:acm:us-west-2:123456789012:certificate/0"
)

func TestTheReferencePageIsThatOfTheTable(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/annotations.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), intent.Reference()); diff != "" {
		t.Errorf("run go generate ./internal/intent (-file +table):\n%s", diff)
	}
}

// beside are annotations that an example needs beside it to have an effect.
var beside = map[string]map[string]string{
	aws + "healthcheck-path":                    {aws + "healthcheck-protocol": "http"},
	aws + "healthcheck-success-codes":           {aws + "healthcheck-protocol": "http"},
	aws + "private-ipv4-addresses":              {aws + "scheme": "internal"},
	aws + "ipv6-addresses":                      {aws + "ip-address-type": "dualstack"},
	aws + "enable-prefix-for-ipv6-source-nat":   {aws + "ip-address-type": "dualstack"},
	aws + "source-nat-ipv6-prefixes":            {aws + "ip-address-type": "dualstack"},
	aws + "ssl-ports":                           {aws + "ssl-cert": certificate},
	aws + "ssl-negotiation-policy":              {aws + "ssl-cert": certificate},
	aws + "backend-protocol":                    {aws + "ssl-cert": certificate},
	aws + "alpn-policy":                         {aws + "ssl-cert": certificate},
	aws + "manage-backend-security-group-rules": {aws + "security-groups": "sg-1"},
	aws + "access-log-enabled":                  {aws + "access-log-s3-bucket-name": "logs"},
}

// besideClassic is beside on Classic Load Balancers, where it differs.
var besideClassic = map[string]map[string]string{
	aws + "backend-protocol":            {aws + "ssl-cert": certificate},
	aws + "access-log-s3-bucket-name":   {aws + "access-log-enabled": "true"},
	aws + "access-log-s3-bucket-prefix": {aws + "access-log-enabled": "true", aws + "access-log-s3-bucket-name": "logs"},
	aws + "access-log-emit-interval":    {aws + "access-log-enabled": "true", aws + "access-log-s3-bucket-name": "logs"},
	aws + "connection-draining-timeout": {aws + "connection-draining-enabled": "true"},
}

// fitted are examples in the terms of the test's Service and network.
var fitted = map[string]string{
	aws + "subnets": "subnet-a",
}

// fittedClassic are examples that are other ones on Classic Load Balancers.
var fittedClassic = map[string]string{
	aws + "subnets":                "subnet-a",
	aws + "ssl-negotiation-policy": "ELBSecurityPolicy-TLS-1-2-2017-01",
}

// effects of annotations that do not show in the stack of a plain Service.
var effects = map[string]func(value string) bool{
	aws + "type": func(value string) bool {
		return intent.ClaimOf(service(nil), true) == intent.Classic && intent.ClaimOf(service(map[string]string{aws + "type": value}), true) == intent.NLB
	},
	aws + "enable-tcp-udp-listener": func(value string) bool {
		both := func(annotations map[string]string) int {
			svc := service(annotations)
			svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "quic", Port: 80, Protocol: corev1.ProtocolUDP, NodePort: 30080})
			_, problems := desired(svc)
			return len(problems)
		}
		return both(nil) == 0 && both(map[string]string{aws + "enable-tcp-udp-listener": value}) == 1
	},
	fairlead + "dry-run": func(value string) bool {
		return !intent.DryRun(service(nil)) && intent.DryRun(service(map[string]string{fairlead + "dry-run": value}))
	},
	fairlead + "drift-policy": func(value string) bool {
		return intent.DriftPolicyOf(service(nil)) == intent.RepairDrift && intent.DriftPolicyOf(service(map[string]string{fairlead + "drift-policy": value})) == intent.ReportDrift
	},
	fairlead + "allow-replacement": func(value string) bool {
		return !intent.AllowReplacement(service(nil)) && intent.AllowReplacement(service(map[string]string{fairlead + "allow-replacement": value}))
	},
}

func TestEveryExampleIsTakenAndHasAnEffect(t *testing.T) {
	for _, a := range intent.Annotations() {
		if a.Example == "" {
			continue
		}
		for _, kind := range kindsOf(a) {
			t.Run(string(kind)+" "+a.Key, func(t *testing.T) { checkExample(t, kind, a) })
		}
	}
}

func checkExample(t *testing.T, kind lb.LoadBalancerType, a intent.Annotation) {
	key, value := a.Key, a.Example
	if a.Ported {
		key += "." + strings.NewReplacer("PROTOCOL", "TCP", "PORT", "80").Replace(a.Suffix)
	}
	examples, plain := fitted, maps.Clone(beside[a.Key])
	if kind == lb.Classic {
		examples = fittedClassic
		if others, ok := besideClassic[a.Key]; ok {
			plain = maps.Clone(others)
		}
	}
	if v, ok := examples[key]; ok {
		value = v
	}
	if plain == nil {
		plain = map[string]string{}
	}
	without, _ := desiredAs(kind, twoPorts(plain))
	plain[key] = value
	with, problems := desiredAs(kind, twoPorts(plain))
	if len(problems) > 0 {
		t.Errorf("%s: %s is a problem: %v", key, value, problems)
	}
	if effect := effects[a.Key]; effect != nil {
		if !effect(value) {
			t.Errorf("%s: %s has no effect", key, value)
		}
	} else if cmp.Equal(without, with, cmp.Comparer(samePrefix)) {
		t.Errorf("%s: %s has no effect on %+v", key, value, with)
	}
}

// twoPorts are 80 and 443, so that settings for one of them show.
func twoPorts(annotations map[string]string) *corev1.Service {
	svc := service(annotations)
	if annotations[fairlead+"target-nodes"] != "" {
		svc = localService(annotations)
	}
	svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP, NodePort: 30443})
	return svc
}

func TestEveryRowSaysAllThatThePageTells(t *testing.T) {
	for _, a := range intent.Annotations() {
		if a.Example != "" && (a.Value == "" || a.Change == "" || a.Kinds == "") {
			t.Errorf("%s: value %q, change %q, kinds %q", a.Key, a.Value, a.Change, a.Kinds)
		}
		if a.Ported != (a.Suffix != "") {
			t.Errorf("%s: ported %t, suffix %q", a.Key, a.Ported, a.Suffix)
		}
	}
}

// inputs are all annotations that the two other controllers read for a Network
// Load Balancer.
var inputs = strings.Fields(`
	type nlb-target-type name scheme internal ip-address-type subnets eip-allocations private-ipv4-addresses
	ipv6-addresses enable-prefix-for-ipv6-source-nat source-nat-ipv6-prefixes additional-resource-tags attributes
	minimum-load-balancer-capacity cross-zone-load-balancing-enabled access-log-enabled access-log-s3-bucket-name
	access-log-s3-bucket-prefix ssl-cert ssl-ports ssl-negotiation-policy backend-protocol alpn-policy
	listener-attributes.TCP-80 enable-tcp-udp-listener quic-enabled-ports target-group-attributes
	target-group-attributes.80 proxy-protocol proxy-protocol-per-target-group target-node-labels healthcheck-protocol
	healthcheck-port healthcheck-path healthcheck-interval healthcheck-timeout healthcheck-healthy-threshold
	healthcheck-unhealthy-threshold healthcheck-success-codes multi-cluster-target-group security-group-prefix-lists
	security-groups manage-backend-security-group-rules inbound-sg-rules-on-private-link-traffic disable-nlb-sg
	enable-icmp-for-path-mtu-discovery`)

func TestEveryInputOfTheOtherControllersIsServedOrRefused(t *testing.T) {
	keys := []string{"service.beta.kubernetes.io/load-balancer-source-ranges", "service.beta.kubernetes.io/actions.TCP-80"}
	for _, suffix := range inputs {
		keys = append(keys, aws+suffix)
	}
	for _, key := range keys {
		t.Run(key, func(t *testing.T) {
			if documented(key) {
				return // another test shows that it has an effect
			}
			_, problems := desired(service(map[string]string{key: "x"}))
			if len(problems) != 1 || problems[0].Severity != intent.Error || problems[0].Field != key || problems[0].Hint == "" {
				t.Errorf("got problems %v, want one error with what to do instead", problems)
			}
		})
	}
}

// documented says that the key is on the page with an example.
func documented(key string) bool {
	for _, a := range intent.Annotations() {
		if a.Example != "" && (a.Key == key || a.Ported && strings.HasPrefix(key, a.Key+".")) {
			return true
		}
	}
	return false
}

func TestAnAnnotationOfTheOtherKindIsWarnedAbout(t *testing.T) {
	tests := map[string]struct {
		kind lb.LoadBalancerType
		key  string
		want intent.Problem
	}{
		"of Classic ones": {lb.Network, aws + "connection-idle-timeout", intent.Problem{
			Why: "has no effect on a Network Load Balancer", Hint: "use " + lb.AttrTCPIdleTimeout + " in " + aws + "listener-attributes",
		}},
		"of Network ones":                      {lb.Classic, aws + "target-group-attributes", intent.Problem{Why: "has no effect on a Classic Load Balancer"}},
		"of Network ones, with a port":         {lb.Classic, aws + "listener-attributes.TCP-80", intent.Problem{Why: "has no effect on a Classic Load Balancer"}},
		"of Network ones that is refused here": {lb.Classic, aws + "quic-enabled-ports", intent.Problem{Why: "has no effect on a Classic Load Balancer"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, problems := desiredAs(tt.kind, service(map[string]string{tt.key: "60"}))
			tt.want.Severity, tt.want.Field, tt.want.Value = intent.Warning, tt.key, "60"
			if diff := cmp.Diff([]intent.Problem{tt.want}, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// classicInputs are all annotations that the other controller with Classic Load
// Balancers reads for them.
var classicInputs = strings.Fields(`
	internal subnets additional-resource-tags cross-zone-load-balancing-enabled access-log-enabled access-log-s3-bucket-name
	access-log-s3-bucket-prefix access-log-emit-interval connection-draining-enabled connection-draining-timeout
	connection-idle-timeout ssl-cert ssl-ports ssl-negotiation-policy backend-protocol proxy-protocol target-node-labels
	healthcheck-protocol healthcheck-port healthcheck-path healthcheck-interval healthcheck-timeout
	healthcheck-healthy-threshold healthcheck-unhealthy-threshold security-groups extra-security-groups`)

func TestEveryClassicInputOfTheOtherControllerIsServed(t *testing.T) {
	for _, suffix := range classicInputs {
		if !slices.ContainsFunc(intent.Annotations(), func(a intent.Annotation) bool {
			return a.Key == aws+suffix && a.Example != "" && slices.Contains(kindsOf(a), lb.Classic)
		}) {
			t.Errorf("%s is not a row for Classic Load Balancers with an example", suffix)
		}
	}
}

func samePrefix(a, b netip.Prefix) bool { return a == b }
