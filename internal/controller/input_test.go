package controller

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func condition(svc *corev1.Service, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(svc.Status.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func TestBadInputIsSaidOnceAndTouchesNothing(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.Service)
		reason string
		event  string
		says   []string
	}{
		"wrong values, all of them": {
			func(s *corev1.Service) {
				s.Annotations[prefix+"scheme"] = "interal"
				s.Annotations[prefix+"healthcheck-interval"] = "1"
			},
			"Invalid", "InvalidLoadBalancer", []string{"2 problems", "interal", `did you mean "internal"`, "from 5 to 300"},
		},
		"an unknown type": {
			func(s *corev1.Service) { s.Annotations[prefix+"type"] = "NLB2" },
			"Invalid", "InvalidLoadBalancer", []string{"NLB2", `did you mean "nlb"`},
		},
		"a port without a node port": {
			func(s *corev1.Service) {
				s.Spec.ExternalTrafficPolicy = ""
				s.Spec.AllocateLoadBalancerNodePorts = new(false)
				s.Annotations[prefix+"nlb-target-type"] = "instance"
			},
			"Invalid", "InvalidLoadBalancer", []string{"spec.ports[0].nodePort", "no node port"},
		},
		"what a Classic Load Balancer cannot be": {
			func(s *corev1.Service) {
				delete(s.Annotations, prefix+"type")
				s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			},
			"Invalid", "InvalidLoadBalancer", []string{"spec.sessionAffinity", "Network Load Balancer"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			svc := post("bad")
			tt.change(svc)
			w.create(svc)
			w.settle("bad")
			w.settle("bad")
			c := condition(w.get("bad"), condAccepted)
			if c.Status != metav1.ConditionFalse || c.Reason != tt.reason {
				t.Errorf("condition Accepted is %+v", c)
			}
			for _, text := range tt.says {
				if !strings.Contains(c.Message, text) {
					t.Errorf("the condition does not say %q: %s", text, c.Message)
				}
			}
			if events := w.notes.list(); len(events) != 1 || !strings.HasPrefix(events[0], tt.event+": ") {
				t.Errorf("got events %v, want one %s", events, tt.event)
			}
			for _, call := range awsCalls(w.aws.take()) {
				if call != "DescribeSubnets" {
					t.Errorf("a refused Service makes the call %s", call)
				}
			}
			if got := w.get("bad"); intent.HasFinalizer(got) || got.Annotations[intent.KeyRecord] != "" {
				t.Errorf("a refused Service is marked: %v %v", got.Finalizers, got.Annotations)
			}
		})
	}
}

func TestTwoServicesThatWantOneName(t *testing.T) {
	w := newWorld(t)
	named := func(name string) *corev1.Service {
		s := post(name)
		s.Annotations[prefix+"name"] = "shop"
		return s
	}
	w.create(named("first"))
	w.settle("first")
	w.create(named("second"))
	w.settle("second")
	w.settle("first")
	if c := condition(w.get("second"), condAccepted); !strings.Contains(c.Message, "default/first asked for this name before") {
		t.Errorf("condition Accepted of the later Service is %+v", c)
	}
	if c := condition(w.get("first"), condAccepted); c.Status != metav1.ConditionTrue {
		t.Errorf("condition Accepted of the earlier Service is %+v", c)
	}
	w.remove("first")
	w.settle("first")
	w.settle("second")
	if got := w.get("second").Status.LoadBalancer.Ingress; len(got) != 1 || !strings.HasPrefix(got[0].Hostname, "shop-") {
		t.Errorf("the second Service does not get the name: %+v", got)
	}
}

func TestANameThatSomeoneElseHasIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	other := lb.LoadBalancer{Name: "shop", Type: lb.Network, Scheme: lb.InternetFacing, IPAddressType: lb.IPv4, Subnets: []string{"subnet-a"}}
	if _, err := w.api.CreateLoadBalancer(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	svc := post("mine")
	svc.Annotations[prefix+"name"] = "shop"
	w.create(svc)
	for range 4 {
		w.once(t.Context(), "mine")
	}
	if c := condition(w.get("mine"), condProgrammed); c.Reason != "Refused" || !strings.Contains(c.Message, "load balancer shop exists and belongs to someone else") {
		t.Errorf("condition Programmed is %+v", c)
	}
	w.remove("mine")
	w.settle("mine")
	if left := w.all(); len(left.balancers) != 1 || len(left.groups)+len(left.security)+len(left.nodeRules) != 0 {
		t.Errorf("left: %s; want the other load balancer alone", left)
	}
}

func TestAServiceThatTurnsBadKeepsWhatItHasAndItsNodes(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	w.settle("nginx")
	w.update("nginx", func(s *corev1.Service) { s.Annotations[prefix+"scheme"] = "wrong" })
	w.settle("nginx")
	w.aws.take()
	w.removeNode(2)
	w.settle("nginx")
	calls := awsCalls(w.aws.take())
	if len(calls) != 1 || calls[0] != "DeregisterTargets" {
		t.Errorf("a node leaves: got calls %v, want DeregisterTargets", calls)
	}
	if len(w.all().balancers) != 1 {
		t.Error("the load balancer is gone")
	}
}

func TestAnotherSchemeWaitsForConsent(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	w.settle("nginx")
	host := w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname
	w.update("nginx", func(s *corev1.Service) { s.Annotations[prefix+"scheme"] = "internal" })
	w.settle("nginx")
	if c := condition(w.get("nginx"), condReplacement); c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "fairlead.io/allow-replacement") {
		t.Errorf("condition ReplacementRequired is %+v", c)
	}
	w.update("nginx", func(s *corev1.Service) { s.Annotations["fairlead.io/allow-replacement"] = "true" })
	w.settle("nginx")
	svc := w.get("nginx")
	if got := svc.Status.LoadBalancer.Ingress[0].Hostname; got == host || len(w.all().balancers) != 1 {
		t.Errorf("hostname %s, was %s; left: %s", got, host, w.all())
	}
	if c := condition(svc, condReplacement); c.Type != "" {
		t.Errorf("condition ReplacementRequired is still %+v", c)
	}
}

func TestDriftIsRepairedByTheResync(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	w.settle("nginx")
	g := w.groups()[0]
	targets, err := registered(t.Context(), w.api, g.ARN)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		if err := w.api.DeregisterTargets(t.Context(), g.ARN, []cloud.Target{{Target: target}}); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(2 * resync)
	w.settle("nginx")
	if after, err := registered(t.Context(), w.api, g.ARN); err != nil || len(after) != len(targets) {
		t.Errorf("targets after the resync: %v, %v; want %v", after, err, targets)
	}
}

func TestTheLastTwoServicesLeaveTogether(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"first", "second"} {
		w.create(post(name))
		w.settle(name)
	}
	w.restart()
	w.remove("first")
	w.remove("second")
	for _, name := range []string{"first", "second"} {
		w.settle(name)
	}
	if left := w.all(); !left.empty() || !w.gone("first") || !w.gone("second") {
		t.Errorf("left: %s", left)
	}
}
