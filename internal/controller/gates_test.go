package controller

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// addGatedPod makes a pod that is Ready but for its gate, as its node would
// report it.
func (w *world) addGatedPod(name, address string) *corev1.Pod {
	w.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "nginx", intent.GateLabel: intent.GateLabelValue}}}
	p.Spec.Containers = []corev1.Container{{Name: "nginx", Image: "nginx"}}
	p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: intent.ReadinessGate}}
	if err := w.kube.Create(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
	p.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}},
	}
	if err := w.kube.Status().Update(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// addEndpoint makes the endpoint slice of a Service with a pod that is not Ready.
func (w *world) addEndpoint(service string, pod *corev1.Pod) {
	w.t.Helper()
	s := newSlice(service, pod.Status.PodIP)
	s.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
	s.Endpoints[0].Conditions = discoveryv1.EndpointConditions{Ready: new(false)}
	if err := w.kube.Create(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

// gate is the condition of a pod's gate.
func (w *world) gate(pod string) corev1.PodCondition {
	w.t.Helper()
	p := &corev1.Pod{}
	if err := w.kube.Get(w.t.Context(), types.NamespacedName{Namespace: "default", Name: pod}, p); err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == intent.ReadinessGate })
	if i < 0 {
		return corev1.PodCondition{}
	}
	return p.Status.Conditions[i]
}

func (w *world) wantGate(pod string, status corev1.ConditionStatus, reason string) {
	w.t.Helper()
	if c := w.gate(pod); c.Status != status || c.Reason != reason {
		w.t.Errorf("the gate of %s is %s for %s (%s), want %s for %s", pod, c.Status, c.Reason, c.Message, status, reason)
	}
}

func postForPods(name string) *corev1.Service {
	svc := post(name)
	svc.Annotations[prefix+"nlb-target-type"] = "ip"
	return svc
}

func TestAGateOpensWhenTheTargetIsHealthy(t *testing.T) {
	w := newWorld(t)
	w.create(postForPods("nginx"))
	w.settle("nginx")
	pod := w.addGatedPod("web", "198.18.17.5")
	w.addEndpoint("nginx", pod)
	if r := w.once(t.Context(), "nginx"); r.RequeueAfter > gatePoll {
		t.Errorf("the next look is after %v while a pod waits", r.RequeueAfter)
	}
	w.wantGate("web", corev1.ConditionFalse, string(lb.RegistrationInProgress))
	w.settle("nginx")
	w.wantGate("web", corev1.ConditionTrue, reasonGateHealthy)
	w.aws.take()
	if r := w.once(t.Context(), "nginx"); r.RequeueAfter < resyncIsFar {
		t.Errorf("the next look is after %v while no pod waits", r.RequeueAfter)
	}
	if calls := awsCalls(w.aws.take()); len(calls) > 0 {
		t.Errorf("AWS is asked %v while no pod waits", calls)
	}
}

func TestANewProcessGoesOnWatchingForPodsThatWait(t *testing.T) {
	w := newWorld(t)
	w.create(postForPods("nginx"))
	w.settle("nginx")
	w.addEndpoint("nginx", w.addGatedPod("web", "198.18.17.5"))
	w.once(t.Context(), "nginx")
	w.restart()
	w.settle("nginx")
	w.wantGate("web", corev1.ConditionTrue, reasonGateHealthy)
}

func TestAPodWaitsForAllItsServices(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"first", "second"} {
		w.create(postForPods(name))
		w.settle(name)
	}
	pod := w.addGatedPod("web", "198.18.17.5")
	w.addEndpoint("first", pod)
	w.settleFor("first", 3)
	w.wantGate("web", corev1.ConditionFalse, reasonGateNotLooked)
	w.addEndpoint("second", pod)
	w.settle("second")
	w.wantGate("web", corev1.ConditionTrue, reasonGateHealthy)
}

// settleFor is some passes over a Service whose targets are healthy.
func (w *world) settleFor(name string, passes int) {
	for range passes {
		w.beHealthy()
		w.once(w.t.Context(), name)
	}
}

func TestGatesOfPodsByTheirServices(t *testing.T) {
	other := func(change func(*corev1.Service)) *corev1.Service {
		svc := postForPods("nginx")
		change(svc)
		return svc
	}
	for name, tt := range map[string]struct {
		services []*corev1.Service
		status   corev1.ConditionStatus
		reason   string
	}{
		"none":                             {nil, corev1.ConditionTrue, reasonGateNoTarget},
		"one whose targets are instances":  {[]*corev1.Service{post("nginx")}, corev1.ConditionTrue, reasonGateNoTarget},
		"one that selects other pods":      {[]*corev1.Service{other(func(s *corev1.Service) { s.Spec.Selector["app"] = "other" })}, corev1.ConditionTrue, reasonGateNoTarget},
		"one of another controller":        {[]*corev1.Service{other(func(s *corev1.Service) { s.Spec.LoadBalancerClass = new("example.com/lb") })}, corev1.ConditionTrue, reasonGateNoTarget},
		"one that has no load balancer":    {[]*corev1.Service{other(func(s *corev1.Service) { s.Spec.Type, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeClusterIP, "" })}, corev1.ConditionTrue, reasonGateNoTarget},
		"one that is wrong":                {[]*corev1.Service{other(func(s *corev1.Service) { s.Annotations[prefix+"scheme"] = "public" })}, corev1.ConditionTrue, reasonGateNoTarget},
		"one that is a dry run":            {[]*corev1.Service{other(func(s *corev1.Service) { s.Annotations["fairlead.io/dry-run"] = "true" })}, corev1.ConditionTrue, reasonGateNoTarget},
		"one that has not seen the pod":    {[]*corev1.Service{postForPods("nginx")}, corev1.ConditionFalse, reasonGateNotLooked},
		"one of ours beside one of others": {[]*corev1.Service{postForPods("nginx"), post("nodes")}, corev1.ConditionFalse, reasonGateNotLooked},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, svc := range tt.services {
				w.create(svc)
				w.settleFor(svc.Name, 3)
			}
			w.addGatedPod("web", "198.18.17.5")
			w.aws.take()
			w.openGates("web")
			w.wantGate("web", tt.status, tt.reason)
			if calls := awsCalls(w.aws.take()); len(calls) > 0 {
				t.Errorf("AWS is asked %v for a pod that is in no target group", calls)
			}
		})
	}
}

func TestAServiceThatTurnsWrongKeepsItsPodsComing(t *testing.T) {
	w := newWorld(t)
	w.create(postForPods("nginx"))
	w.settle("nginx")
	w.update("nginx", func(s *corev1.Service) { s.Annotations[prefix+"scheme"] = "public" })
	w.addEndpoint("nginx", w.addGatedPod("web", "198.18.17.5"))
	w.once(t.Context(), "nginx")
	w.wantGate("web", corev1.ConditionFalse, string(lb.RegistrationInProgress))
	w.settleFor("nginx", 2)
	w.wantGate("web", corev1.ConditionTrue, reasonGateHealthy)
}

func (w *world) openGates(pod string) {
	w.t.Helper()
	if _, err := w.r.reconcileGate(w.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: pod}}); err != nil {
		w.t.Fatal(err)
	}
}

func TestJudge(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "198.18.17.5"}, {IP: "2001:db8::5"}}}}
	group := func(name string, targets ...string) lb.TargetGroup {
		g := lb.TargetGroup{Name: name}
		for _, id := range targets {
			g.Targets = append(g.Targets, lb.Target{ID: id, Port: 80})
		}
		return g
	}
	target := func(id string, s lb.HealthState, r lb.Reason) cloud.TargetHealth {
		return cloud.TargetHealth{Target: lb.Target{ID: id, Port: 80}, TargetHealth: lb.TargetHealth{State: s, Reason: r}}
	}
	want := []lb.TargetGroup{group("http", "198.18.17.5", "198.18.17.6"), group("six", "2001:db8::5"), group("admin", "198.18.17.6")}
	for name, tt := range map[string]struct {
		seen map[string][]cloud.TargetHealth
		want finding
	}{
		"healthy wherever it is": {
			map[string][]cloud.TargetHealth{"http": {target("198.18.17.5", lb.Healthy, "")}, "six": {target("2001:db8::5", lb.Healthy, "")}},
			finding{true, "Healthy", "healthy in target group http, six"},
		},
		"the health of others does not count": {
			map[string][]cloud.TargetHealth{"http": {target("198.18.17.6", lb.Unhealthy, lb.Timeout), target("198.18.17.5", lb.Healthy, "")}, "six": {target("2001:db8::5", lb.Healthy, "")}},
			finding{true, "Healthy", "healthy in target group http, six"},
		},
		"not healthy in one": {
			map[string][]cloud.TargetHealth{"http": {target("198.18.17.5", lb.Healthy, "")}, "six": {target("2001:db8::5", lb.Initial, lb.InitialHealthChecking)}},
			finding{false, "Elb.InitialHealthChecking", "initial in target group six: Elb.InitialHealthChecking"},
		},
		"not registered in one, on its way out of the other": {
			map[string][]cloud.TargetHealth{"http": {target("198.18.17.5", lb.Draining, lb.DeregistrationInProgress)}},
			finding{false, "Target.NotRegistered", "unused in target group http: the target is not registered yet; unused in target group six: the target is not registered yet"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, judge(pod, want, tt.seen), cmp.AllowUnexported(finding{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := judge(pod, want[2:], nil); !got.healthy {
		t.Errorf("a pod that no group is for waits: %v", got)
	}
}

func TestAConditionThatSaysTheSameIsNotWritten(t *testing.T) {
	c := corev1.PodCondition{Type: intent.ReadinessGate, Status: corev1.ConditionFalse, Reason: "a", Message: "b"}
	var status corev1.PodStatus
	first, later := time.Unix(100, 0), time.Unix(200, 0)
	if !setPodCondition(&status, c, first) || setPodCondition(&status, c, later) {
		t.Error("want a change the first time only")
	}
	c.Message = "c"
	if !setPodCondition(&status, c, later) || !status.Conditions[0].LastTransitionTime.Time.Equal(first) {
		t.Errorf("another message gives %v, want a change that is no transition", status.Conditions)
	}
	c.Status = corev1.ConditionTrue
	if !setPodCondition(&status, c, later) || !status.Conditions[0].LastTransitionTime.Time.Equal(later) {
		t.Errorf("another status gives %v, want a transition", status.Conditions)
	}
}
