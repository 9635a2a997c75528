package intent_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func service(annotations map[string]string) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "1", Annotations: annotations}}
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	svc.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, NodePort: 30080}}
	return svc
}

func desired(svc *corev1.Service) (lb.Stack, []intent.Problem) { return desiredAs(lb.Network, svc) }

func desiredAs(kind lb.LoadBalancerType, svc *corev1.Service) (lb.Stack, []intent.Problem) {
	return intent.Desired(intent.Input{
		Cluster: "fairlead", Service: svc, Type: kind, Subnets: subnets(), Backends: map[string]intent.Backend{"canary": canary()},
		Nodes:    []*corev1.Node{node("node-1", "us-west-2a", "i-00000000000000001")},
		Defaults: intent.Defaults{Scheme: lb.InternetFacing, TargetType: lb.InstanceTarget, HealthInterval: 10e9, HealthyThreshold: 3, UnhealthyThreshold: 3},
	})
}

// canary is another Service of the namespace.
func canary() intent.Backend {
	svc := service(nil)
	svc.Name, svc.UID, svc.Spec.Type, svc.Spec.Ports[0].NodePort = "canary", "2", corev1.ServiceTypeNodePort, 30081
	return intent.Backend{Service: svc}
}

func TestEveryReadRowRefusesWhatCannotBeMeant(t *testing.T) {
	anything := map[string]bool{"name": true, "access-log-s3-bucket-name": true, "access-log-s3-bucket-prefix": true, "security-groups": true, "ssl-ports": true, "extra-security-groups": true}
	for _, a := range intent.Annotations() {
		suffix := strings.TrimPrefix(a.Key, "service.beta.kubernetes.io/aws-load-balancer-")
		if a.Example == "" || a.Ported || anything[suffix] {
			continue
		}
		for _, kind := range kindsOf(a) {
			t.Run(string(kind)+" "+a.Key, func(t *testing.T) {
				_, problems := desiredAs(kind, service(map[string]string{a.Key: "no such thing"}))
				errors := intent.Errors(problems)
				if len(errors) != 1 || errors[0].Field != a.Key {
					t.Errorf("got problems %v, want one error about %s", problems, a.Key)
				}
			})
		}
	}
}

// kindsOf are the kinds of load balancers that a row is for.
func kindsOf(a intent.Annotation) (kinds []lb.LoadBalancerType) {
	if strings.Contains(string(a.Kinds), "NLB") {
		kinds = append(kinds, lb.Network)
	}
	if strings.Contains(string(a.Kinds), "Classic") {
		kinds = append(kinds, lb.Classic)
	}
	return kinds
}

func TestClaim(t *testing.T) {
	class := func(name string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.LoadBalancerClass = &name }
	}
	nlb := func(s *corev1.Service) {
		s.Annotations = map[string]string{"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}
	}
	tests := map[string]struct {
		change        func(*corev1.Service)
		takeUnclassed bool
		want          intent.Claim
	}{
		"our class":                              {class("fairlead.io/nlb"), false, intent.NLB},
		"our other class":                        {class("fairlead.io/classic"), false, intent.Classic},
		"another controller's class":             {class("service.k8s.aws/nlb"), true, intent.NotOurs},
		"no class, and those are not ours":       {nlb, false, intent.NotOurs},
		"no class, ours, the post's annotation":  {nlb, true, intent.NLB},
		"no class, ours, nothing annotated":      {func(*corev1.Service) {}, true, intent.Classic},
		"no class, but it was ours before":       {func(s *corev1.Service) { nlb(s); s.Finalizers = []string{intent.Finalizer} }, false, intent.NLB},
		"another type of Service with our class": {func(s *corev1.Service) { class("fairlead.io/nlb")(s); s.Spec.Type = corev1.ServiceTypeNodePort }, true, intent.NotOurs},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := service(nil)
			tt.change(svc)
			if got := intent.ClaimOf(svc, tt.takeUnclassed); got != tt.want {
				t.Errorf("got claim %d, want %d", got, tt.want)
			}
		})
	}
}

func FuzzDesired(f *testing.F) {
	f.Add("service.beta.kubernetes.io/aws-load-balancer-attributes", "a=b,c", "203.0.113.0/24")
	f.Add("service.beta.kubernetes.io/aws-load-balancer-healthcheck-port", "http", "::/0")
	f.Add("service.beta.kubernetes.io/aws-load-balancer-listener-attributes.tcp-80", "x", "")
	f.Add("service.beta.kubernetes.io/actions.TCP-80", `{"type":"forward","forwardConfig":{"baseServiceWeight":90,"targetGroups":[{"serviceName":"canary","servicePort":"http","weight":10},{"targetGroupName":"a","weight":1}]}}`, "")
	f.Fuzz(func(t *testing.T, key, value, source string) {
		svc := service(map[string]string{key: value})
		svc.Spec.LoadBalancerSourceRanges = []string{source}
		for _, kind := range []lb.LoadBalancerType{lb.Network, lb.Classic} {
			stack, problems := desiredAs(kind, svc)
			if stack.LoadBalancer.Name == "" {
				t.Errorf("%s: no name for %q=%q (%v)", kind, key, value, problems)
			}
		}
	})
}
