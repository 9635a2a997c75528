package controller

import (
	"context"
	"fmt"
	"os"
	"slices"
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
	after  func(*world) // what time brings once all is well again; nil: nothing
}

func phases() []phase {
	none := func(*world) {}
	exists := func(w *world) { w.create(post("nginx")); w.settle("nginx") }
	isClassic := func(w *world) { w.create(everyClassic("nginx")); w.settle("nginx") }
	change := func(f func(*corev1.Service)) func(*world) {
		return func(w *world) { w.update("nginx", f) }
	}
	return []phase{
		{name: "create", before: none, act: func(w *world) { w.create(post("nginx")) }},
		{name: "change in place", before: exists, act: change(func(s *corev1.Service) {
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
			s.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"}
			s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 8080}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
			s.Annotations[prefix+"attributes"] = "load_balancing.cross_zone.enabled=true"
			s.Annotations[prefix+"additional-resource-tags"] = "team=shop"
		})},
		{name: "other targets", before: exists, act: change(func(s *corev1.Service) { s.Annotations[prefix+"nlb-target-type"] = "ip" })},
		{name: "another scheme, with consent", before: exists, act: change(func(s *corev1.Service) {
			s.Annotations[prefix+"scheme"] = "internal"
			s.Annotations["fairlead.io/allow-replacement"] = "true"
		})},
		{name: "a node leaves", before: exists, act: func(w *world) { w.removeNode(2) }},
		{name: "delete", before: exists, act: func(w *world) { w.remove("nginx") }},
		{name: "Classic: create", before: none, act: func(w *world) { w.create(everyClassic("nginx")) }},
		{name: "Classic: change in place", before: isClassic, act: func(w *world) { w.update("nginx", plainAgain) }},
		{name: "Classic: a node leaves", before: isClassic, act: func(w *world) { w.removeNode(2) }},
		{name: "Classic: delete", before: isClassic, act: func(w *world) { w.remove("nginx") }},
		{name: "to Classic, with consent", before: exists, act: change(func(s *corev1.Service) {
			delete(s.Annotations, prefix+"type")
			s.Annotations["fairlead.io/allow-replacement"] = "true"
		})},
		{name: "from Classic, with consent", before: isClassic, act: change(func(s *corev1.Service) {
			s.Annotations = map[string]string{prefix + "type": "nlb", "fairlead.io/allow-replacement": "true", intent.KeyRecord: s.Annotations[intent.KeyRecord]}
		})},
		{name: "another type", before: exists, act: change(func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeClusterIP, ""
			s.Spec.Ports[0].NodePort, s.Spec.HealthCheckNodePort = 0, 0
		})},
	}
}

// furtherPhases are those that need more than the post's Service.
func furtherPhases() []phase {
	made := func(pairs func(w *world) []string) func(*world) {
		return func(w *world) { w.create(annotated(post("nginx"), pairs(w)...)); w.settle("nginx") }
	}
	plain := func(pairs ...string) func(*world) []string { return func(*world) []string { return pairs } }
	annotate := func(pairs func(w *world) []string) func(*world) {
		return func(w *world) {
			values := pairs(w)
			w.update("nginx", func(s *corev1.Service) { annotated(s, values...); agree(s) })
		}
	}
	return []phase{
		{name: "create with TLS", before: func(*world) {}, act: func(w *world) {
			w.create(annotated(post("nginx"), "ssl-cert", w.certificate("a.example")+","+w.certificate("b.example")))
		}},
		{name: "other certificates", before: made(func(w *world) []string {
			return []string{"ssl-cert", w.certificate("a.example") + "," + w.certificate("b.example")}
		}), act: annotate(func(w *world) []string {
			return []string{"ssl-cert", w.certificate("c.example") + "," + w.certificate("d.example"), "ssl-negotiation-policy", "ELBSecurityPolicy-TLS13-1-2-2021-06"}
		})},
		{name: "a dry run is over", before: func(w *world) {
			svc := post("nginx")
			svc.Annotations["fairlead.io/dry-run"] = "true"
			w.create(svc)
			w.settle("nginx")
		}, act: func(w *world) {
			w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, "fairlead.io/dry-run") })
		}},
		{name: "drift", before: made(plain()), act: func(w *world) { w.drift(); w.now = w.now.Add(2 * resync) }, after: func(w *world) {
			w.now = w.now.Add(2 * resync)
			w.settle("nginx")
			if w.drifted() {
				w.t.Error("drift is not repaired")
			}
		}},
		{name: "create with chosen addresses", before: func(*world) {}, act: func(w *world) {
			w.create(annotated(post("nginx"), "eip-allocations", strings.Join(w.elastic(2), ","), "minimum-load-balancer-capacity", "CapacityUnits=2750"))
		}},
		{name: "other addresses in all zones", before: made(plain("minimum-load-balancer-capacity", "CapacityUnits=2750")), act: annotate(func(w *world) []string {
			return []string{"eip-allocations", strings.Join(w.elastic(2), ","), "minimum-load-balancer-capacity", "CapacityUnits=0"}
		})},
		{name: "another address in the only zone", before: made(func(w *world) []string {
			return []string{"subnets", "subnet-a", "eip-allocations", w.elastic(1)[0]}
		}), act: annotate(func(w *world) []string { return []string{"eip-allocations", w.elastic(1)[0]} })},
		{name: "create with weights", before: func(w *world) { w.create(canary()) }, act: func(w *world) {
			w.create(acting(post("nginx"), weighted(90, 10, w.makeForeign(nil))))
		}},
		{name: "other weights", before: func(w *world) {
			w.create(canary())
			w.create(acting(post("nginx"), weighted(90, 10, w.makeForeign(nil))))
			w.settle("nginx")
		}, act: func(w *world) {
			w.update("nginx", func(s *corev1.Service) { acting(s, weighted(0, 1, "")) })
		}},
		{name: "no weights any more, on another load balancer", before: func(w *world) {
			w.create(canary())
			w.create(acting(post("nginx"), weighted(90, 10, w.makeForeign(nil))))
			w.settle("nginx")
		}, act: func(w *world) {
			w.update("nginx", func(s *corev1.Service) {
				delete(s.Annotations, action80)
				agree(annotated(s, "scheme", "internal"))
			})
		}},
		{name: "targets of others: create", before: func(*world) {}, act: func(w *world) { w.create(sharing("nginx")) }},
		{name: "targets of others: a node leaves", before: func(w *world) {
			w.create(sharing("nginx"))
			w.settle("nginx")
			w.addStranger()
		}, act: func(w *world) { w.removeNode(2) }, after: wantsStranger},
		{name: "targets of others: all others", before: func(w *world) {
			w.create(sharing("nginx"))
			w.settle("nginx")
			w.addStranger()
		}, act: func(w *world) { w.removeNode(1); w.removeNode(2); w.addNode(3) }, after: wantsStranger},
		{name: "targets of others are no longer wanted", before: func(w *world) {
			w.create(sharing("nginx"))
			w.settle("nginx")
			w.addStranger()
		}, act: func(w *world) {
			w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, prefix+"multi-cluster-target-group") })
		}},
		{name: "without security groups: create", before: func(*world) {}, act: func(w *world) { w.create(ungrouped("nginx")) }},
		{name: "without security groups: other sources and ports", before: func(w *world) {
			w.create(ungrouped("nginx"))
			w.settle("nginx")
		}, act: func(w *world) {
			w.update("nginx", func(s *corev1.Service) {
				s.Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"}
				s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 8080}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}
			})
		}},
		{name: "without security groups: delete", before: func(w *world) {
			w.create(ungrouped("nginx"))
			w.settle("nginx")
		}, act: func(w *world) { w.remove("nginx") }},
		{name: "to one without security groups, with consent", before: made(plain()), act: annotate(plain("disable-nlb-sg", "true"))},
		{name: "to one with security groups, with consent", before: func(w *world) {
			w.create(ungrouped("nginx"))
			w.settle("nginx")
		}, act: annotate(plain("disable-nlb-sg", "false"))},
		{name: "more rules than a group holds", before: made(plain()), act: func(w *world) {
			w.update("nginx", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = from(0, 70) })
		}},
		{name: "fewer rules than a group holds", before: func(w *world) {
			svc := post("nginx")
			svc.Spec.LoadBalancerSourceRanges = from(0, 70)
			w.create(svc)
			w.settle("nginx")
		}, act: func(w *world) {
			w.update("nginx", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = from(0, 7) })
		}},
	}
}

// drift makes the load balancer another one than the Service asks for, behind
// the controller's back.
func (w *world) drift() {
	w.t.Helper()
	g := w.groups()[0]
	g.HealthCheck.Interval, g.HealthCheck.Timeout = 30e9, 5e9
	if err := w.api.ModifyTargetGroup(w.t.Context(), g.ARN, g.HealthCheck); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) drifted() bool { return w.groups()[0].HealthCheck.Interval == 30e9 }

// TestFaultWalk makes each call of each phase go wrong in each way. Whatever
// happens, the Service comes to what it wants, and when it is deleted nothing
// of it is left in AWS.
//
// The normal run takes every 61st case; FAIRLEAD_FAULTS=all takes all.
func TestFaultWalk(t *testing.T) {
	stride := 61
	if os.Getenv("FAIRLEAD_FAULTS") == "all" {
		stride = 1
	}
	all, ran := 0, 0
	for _, p := range slices.Concat(phases(), furtherPhases()) {
		t.Run(p.name, func(t *testing.T) {
			for n := range callsOf(t, p) {
				for _, f := range []fault{failBefore, failAfter, dieBefore, dieAfter, dieForgetting} {
					if all++; all%stride != 0 {
						continue
					}
					ran++
					t.Run(fmt.Sprintf("call %d, %s", n+1, f), func(t *testing.T) { walk(t, p, n+1, f) })
				}
			}
		})
	}
	t.Logf("fault walk: %d cases of %d", ran, all)
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
	if p.after != nil {
		p.after(w)
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
