package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

func TestAChangeOfTypeWaitsForConsentAndForTheSuccessor(t *testing.T) {
	network := func(s *corev1.Service) { s.Annotations[prefix+"type"] = "nlb" }
	unannotated := func(s *corev1.Service) { delete(s.Annotations, prefix+"type") }
	lost := func(change func(*corev1.Service)) func(*corev1.Service) {
		return func(s *corev1.Service) { change(s); delete(s.Annotations, intent.KeyRecord) }
	}
	tests := map[string]struct {
		first, second func(*corev1.Service)
	}{
		"from Classic to Network":                     {unannotated, network},
		"from Network to Classic":                     {network, unannotated},
		"from Classic to Network, the record is lost": {unannotated, lost(network)},
		"from Network to Classic, the record is lost": {network, lost(unannotated)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			svc := plain("nginx")
			tt.first(svc)
			w.create(svc)
			w.settle("nginx")
			w.restart()
			w.waitsForConsent(tt.second)
			w.replaces()
			w.checkSteady("another type")
			w.leavesNothing("nginx")
		})
	}
}

func (w *world) hostname() string { return w.get("nginx").Status.LoadBalancer.Ingress[0].Hostname }

// waitsForConsent: the load balancer that there is goes on, with the nodes that
// there are.
func (w *world) waitsForConsent(change func(*corev1.Service)) {
	w.t.Helper()
	host, before := w.hostname(), w.all().balancers
	w.update("nginx", change)
	w.settle("nginx")
	if diff := cmp.Diff(before, w.all().balancers); diff != "" || w.hostname() != host {
		w.t.Fatalf("without consent there are load balancers (-want +got):\n%s\nhostname %s, it was %s", diff, w.hostname(), host)
	}
	if c := w.condition("nginx", condReplacement); c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "the type cannot change") || !w.notes.has("ReplacementRequired") {
		w.t.Errorf("condition %+v, events %v", c, w.notes.list())
	}
	w.aws.take()
	w.removeNode(2)
	w.settle("nginx")
	if calls := writing(w.aws.take()); len(calls) != 1 || !strings.HasPrefix(calls[0], "Deregister") {
		w.t.Errorf("a node leaves while consent is awaited: calls %v", calls)
	}
}

// replaces: the old load balancer and its name stay until the new one is healthy.
func (w *world) replaces() {
	w.t.Helper()
	host, before := w.hostname(), w.all().balancers
	w.update("nginx", func(s *corev1.Service) { s.Annotations["fairlead.io/allow-replacement"] = "true" })
	for range 3 {
		w.once(w.t.Context(), "nginx")
	}
	if n := len(w.all().balancers); n != 2 || w.hostname() != host {
		w.t.Fatalf("before the successor is healthy: %d load balancers, hostname %s, it was %s", n, w.hostname(), host)
	}
	w.settle("nginx")
	if got := w.all().balancers; len(got) != 1 || got[0] == before[0] || w.hostname() == host {
		w.t.Errorf("with consent there are %v, hostname %s", got, w.hostname())
	}
}
