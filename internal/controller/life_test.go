package controller

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// withoutPolls leaves out the looks at health; how many there are is up to AWS.
func withoutPolls(calls []string) []string {
	return slices.DeleteFunc(calls, func(c string) bool { return c == "DescribeTargetHealth" })
}

func TestTheLifeOfAServiceInCalls(t *testing.T) {
	w := newWorld(t)
	step := func(what string, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, withoutPolls(awsCalls(w.aws.take()))); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", what, diff)
		}
	}
	w.create(post("nginx"))
	w.settle("nginx")
	step("the first load balancer", []string{
		"DescribeSubnets", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress",
		"CreateSecurityGroup", "DescribeSecurityGroups", "AuthorizeSecurityGroupIngress",
		"CreateLoadBalancer", "CreateTargetGroup", "RegisterTargets", "CreateListener",
	})
	w.create(post("second"))
	w.settle("second")
	step("the next load balancer", []string{
		"CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "CreateLoadBalancer", "CreateTargetGroup", "RegisterTargets", "CreateListener",
	})
	w.settle("nginx")
	step("nothing changed", nil)
	w.restart()
	w.settle("nginx")
	w.settle("second")
	step("nothing changed, new process", nil)
	w.removeNode(2)
	w.settle("nginx")
	step("a node leaves", []string{"DeregisterTargets"})
	w.restart()
	w.addNode(3)
	w.settle("nginx")
	step("a node joined, new process", []string{"RegisterTargets"})
	w.settle("second")
	w.aws.take()
	w.restart()
	w.settle("nginx")
	w.removeNode(3)
	w.settle("nginx")
	if diff := cmp.Diff([]string{"DeregisterTargets"}, awsCalls(w.aws.take())); diff != "" {
		t.Errorf("a node leaves after a restart: calls, looks at targets among them (-want +got):\n%s", diff)
	}
	w.settle("second")
	w.aws.take()
	w.remove("nginx")
	w.settle("nginx")
	step("delete, new process", []string{"DescribeSecurityGroups", "DeleteLoadBalancer", "DeleteTargetGroup", "DeleteSecurityGroup"})
	w.create(post("third"))
	w.settle("third")
	w.aws.take()
	w.remove("third")
	w.settle("third")
	step("delete", []string{"DeleteLoadBalancer", "DeleteTargetGroup", "DeleteSecurityGroup"})
	w.restart()
	w.remove("second")
	w.settle("second")
	step("delete the last, new process", []string{
		"DescribeSecurityGroups", "DeleteLoadBalancer", "DeleteTargetGroup", "DeleteSecurityGroup",
		"RevokeSecurityGroupIngress", "DeleteSecurityGroup",
	})
	if left := w.all(); !left.empty() || !w.gone("nginx") || !w.gone("second") || !w.gone("third") {
		t.Errorf("left: %s", left)
	}
}

func TestThePostsServiceIsServed(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	w.settle("nginx")
	svc := w.get("nginx")
	host := ""
	if in := svc.Status.LoadBalancer.Ingress; len(in) == 1 {
		host = in[0].Hostname
	}
	if !strings.HasPrefix(host, "fl-default-nginx-") || !strings.HasSuffix(host, ".elb.us-west-2.amazonaws.com") {
		t.Errorf("got hostname %q", host)
	}
	for _, kind := range []string{condAccepted, condProgrammed, condHealthy} {
		if c := meta.FindStatusCondition(svc.Status.Conditions, kind); c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != svc.Generation {
			t.Errorf("condition %s is %+v", kind, c)
		}
	}
	if !slices.Contains(svc.Finalizers, intent.Finalizer) || !slices.Contains(svc.Finalizers, cleanupFinalizer) {
		t.Errorf("got finalizers %v", svc.Finalizers)
	}
	g := w.groups()[0]
	want := lb.HealthCheck{Protocol: lb.HTTP, Port: g.HealthCheck.Port, Path: "/healthz", Matcher: "200-399", Interval: 10e9, Timeout: 6e9, HealthyThreshold: 3, UnhealthyThreshold: 3}
	if diff := cmp.Diff(want, g.HealthCheck); diff != "" {
		t.Errorf("health check (-want +got):\n%s", diff)
	}
	if !w.notes.has("EnsuringLoadBalancer") || !w.notes.has("EnsuredLoadBalancer") {
		t.Errorf("got events %v", w.notes.list())
	}
}

func TestChangesInPlaceKeepTheLoadBalancer(t *testing.T) {
	annotate := func(key, value string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Annotations[prefix+key] = value }
	}
	tests := map[string]struct {
		change func(*corev1.Service)
		calls  []string
	}{
		"the policy": {func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster }, []string{"ModifyTargetGroup"}},
		"a port's number, by the name of the port": {func(s *corev1.Service) { s.Spec.Ports[0].Port = 8080 }, []string{
			"AuthorizeSecurityGroupIngress", "CreateListener", "RevokeSecurityGroupIngress", "DeleteListener",
		}},
		"another port": {func(s *corev1.Service) {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP})
		}, []string{
			"AuthorizeSecurityGroupIngress", "CreateTargetGroup", "RegisterTargets", "CreateListener",
		}},
		"the health check":     {annotate("healthcheck-interval", "5"), []string{"ModifyTargetGroup"}},
		"an attribute":         {annotate("attributes", lb.AttrCrossZone+"=true"), []string{"ModifyLoadBalancerAttributes"}},
		"a target attribute":   {annotate("target-group-attributes", lb.AttrDeregistrationDelay+"=5"), []string{"ModifyTargetGroupAttributes"}},
		"a listener attribute": {annotate("listener-attributes.TCP-80", lb.AttrTCPIdleTimeout+"=60"), []string{"ModifyListenerAttributes"}},
		"PROXY protocol":       {annotate("proxy-protocol", "*"), []string{"ModifyTargetGroupAttributes"}},
		"the address type":     {annotate("ip-address-type", "dualstack"), []string{"AuthorizeSecurityGroupIngress", "SetIpAddressType"}},
		"tags":                 {annotate("additional-resource-tags", "team=shop"), []string{"CreateTags", "AddTags", "AddTags", "AddTags"}},
		"who may connect":      {func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"} }, []string{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"}},
		"prefix lists":         {annotate("security-group-prefix-lists", "pl-1"), []string{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"}},
		"PrivateLink traffic":  {annotate("inbound-sg-rules-on-private-link-traffic", "off"), []string{"SetSecurityGroups"}},
		"where clients are sent": {func(s *corev1.Service) {
			s.Spec.TrafficDistribution = new(corev1.ServiceTrafficDistributionPreferSameZone)
		}, []string{"ModifyLoadBalancerAttributes"}},
		"the user's own groups":              {annotate("security-groups", "sg-00000000000000001"), []string{"SetSecurityGroups", "DeleteSecurityGroup"}},
		"a value that is the default anyway": {annotate("healthcheck-interval", "10"), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(post("nginx"))
			w.settle("nginx")
			host := w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname
			w.aws.take()
			w.update("nginx", tt.change)
			if key := prefix + "security-group-prefix-lists"; w.get("nginx").Annotations[key] != "" {
				list := w.prefixList()
				w.update("nginx", func(s *corev1.Service) { s.Annotations[key] = list })
			}
			w.settle("nginx")
			if diff := cmp.Diff(tt.calls, withoutPolls(awsCalls(w.aws.take()))); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if got := w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname; got != host {
				t.Errorf("hostname became %s", got)
			}
			// A new process that looks at everything finds nothing to do.
			w.restart()
			w.settle("nginx")
			w.aws.take()
			w.now = w.now.Add(2 * resync)
			w.settle("nginx")
			calls := awsCalls(w.aws.take())
			if !slices.Contains(calls, "DescribeLoadBalancers") {
				t.Errorf("a resync does not look: %v", calls)
			}
			for _, c := range calls {
				if !strings.HasPrefix(c, "Describe") {
					t.Errorf("a resync writes: %s", c)
				}
			}
			w.leavesNothing("nginx")
		})
	}
}

func TestOtherTargetsTakeOverWhenTheyAreHealthy(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	w.settle("nginx")
	slice := newSlice("nginx", "198.18.17.5")
	if err := w.kube.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.kube.Delete(t.Context(), slice) })
	w.aws.take()
	w.update("nginx", func(s *corev1.Service) { s.Annotations[prefix+"nlb-target-type"] = "ip" })
	for range 3 {
		w.once(t.Context(), "nginx")
	}
	if n := len(w.groups()); n != 2 {
		t.Fatalf("%d target groups while the new targets are not healthy, want the old and the new one", n)
	}
	if c := meta.FindStatusCondition(w.get("nginx").Status.Conditions, condProgrammed); c == nil || c.Reason != "AwaitingTargets" {
		t.Errorf("condition Programmed is %+v", c)
	}
	w.settle("nginx")
	calls := withoutPolls(awsCalls(w.aws.take()))
	want := []string{"CreateTargetGroup", "RegisterTargets", "ModifyListener", "ModifyListener", "DeleteTargetGroup"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
