package controller

import (
	"context"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

// dieForgetting is death after the effect, and the record is lost as well.
const dieForgetting fault = "death after the effect, and the record is lost"

// phase is a stretch of a Service's life: what was before and what happens.
type phase struct {
	name   string
	before func(*world)
	act    func(*world)
}

func phases() []phase {
	none := func(*world) {}
	exists := func(w *world) { w.create(post("nginx")); w.settle("nginx") }
	change := func(f func(*corev1.Service)) func(*world) {
		return func(w *world) { w.update("nginx", f) }
	}
	return []phase{
		{"create", none, func(w *world) { w.create(post("nginx")) }},
		{"change in place", exists, change(func(s *corev1.Service) {
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
			s.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"}
			s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 8080}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
			s.Annotations[prefix+"attributes"] = "load_balancing.cross_zone.enabled=true"
			s.Annotations[prefix+"additional-resource-tags"] = "team=shop"
		})},
		{"other targets", exists, change(func(s *corev1.Service) { s.Annotations[prefix+"nlb-target-type"] = "ip" })},
		{"another scheme, with consent", exists, change(func(s *corev1.Service) {
			s.Annotations[prefix+"scheme"] = "internal"
			s.Annotations["fairlead.io/allow-replacement"] = "true"
		})},
		{"a node leaves", exists, func(w *world) { w.removeNode(2) }},
		{"delete", exists, func(w *world) { w.remove("nginx") }},
		{"another type", exists, change(func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeClusterIP, ""
			s.Spec.Ports[0].NodePort, s.Spec.HealthCheckNodePort = 0, 0
		})},
	}
}

// TestFaultWalk makes each call of each phase go wrong in each way. Whatever
// happens, the Service comes to what it wants, and when it is deleted nothing
// of it is left in AWS.
//
// The normal run takes every 37th case; FAIRLEAD_FAULTS=all takes all.
func TestFaultWalk(t *testing.T) {
	stride := 37
	if os.Getenv("FAIRLEAD_FAULTS") == "all" {
		stride = 1
	}
	all, ran := 0, 0
	for _, p := range phases() {
		for n := 1; n <= callsOf(t, p); n++ {
			for _, f := range []fault{failBefore, failAfter, dieBefore, dieAfter, dieForgetting} {
				if all++; all%stride != 0 {
					continue
				}
				ran++
				walk(t, p, n, f)
			}
		}
	}
	t.Logf("%d cases of %d", ran, all)
	if ran == 0 {
		t.Error("no case was walked")
	}
}

// callsOf is how many calls a phase makes when nothing goes wrong.
func callsOf(t *testing.T, p phase) int {
	w := newWorld(t)
	defer w.clear()
	p.before(w)
	w.aws.take()
	p.act(w)
	w.settle("nginx")
	return len(w.aws.take())
}

func walk(t *testing.T, p phase, n int, f fault) {
	w := newWorld(t)
	defer w.clear()
	p.before(w)
	p.act(w)
	ctx, die := context.WithCancel(t.Context())
	defer die()
	injected := f
	if f == dieForgetting {
		injected = dieAfter
	}
	w.aws.aim(n, injected, die)
	hit := ""
	for range 60 {
		w.beHealthy()
		r := w.once(ctx, "nginx")
		if ctx.Err() != nil {
			calls := w.aws.take()
			hit = calls[n-1]
			w.restart()
			if f == dieForgetting && !w.gone("nginx") {
				w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, intent.KeyRecord) })
			}
			ctx = t.Context()
			continue
		}
		if r.RequeueAfter == 0 || r.RequeueAfter > resyncIsFar {
			break
		}
	}
	if calls := w.aws.take(); hit == "" && len(calls) >= n {
		hit = calls[n-1]
	}
	where := p.name + ", call " + hit + ", " + string(f)
	w.checkConverged(where)
	if !w.gone("nginx") && intent.HasFinalizer(w.get("nginx")) {
		w.remove("nginx")
		w.settle("nginx")
	}
	if left := w.all(); !left.empty() {
		t.Errorf("%s: left behind: %s; events %v", where, left, w.notes.list())
	}
}

// checkConverged lets a process that knows nothing compare everything with AWS:
// it must find nothing to write.
func (w *world) checkConverged(where string) {
	w.t.Helper()
	if w.gone("nginx") || !intent.HasFinalizer(w.get("nginx")) {
		return
	}
	w.restart()
	w.settle("nginx")
	w.aws.take()
	w.now = w.now.Add(2 * resync)
	w.settle("nginx")
	for _, c := range awsCalls(w.aws.take()) {
		if !strings.HasPrefix(c, "Describe") {
			w.t.Errorf("%s: not converged, a resync calls %s", where, c)
		}
	}
}
