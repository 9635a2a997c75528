package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// sweep lets time pass and compares all Services with AWS; it says which of them
// were told to look.
func (w *world) sweep() (woken []string) {
	w.t.Helper()
	w.now = w.now.Add(resync / 1_000_000)
	err := sweeping{w.r, func(_ context.Context, key types.NamespacedName) { woken = append(woken, key.Name) }}.once(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(woken)
	return woken
}

func count(calls []string) map[string]int {
	n := map[string]int{}
	for _, c := range calls {
		n[c]++
	}
	return n
}

func TestASweepComparesManyServicesInFewCalls(t *testing.T) {
	w := newWorld(t)
	const many = 45
	var names []string
	for i := range many {
		names = append(names, fmt.Sprintf("web-%02d", i))
		w.create(post(names[i]))
	}
	w.settle(names...)
	for _, restarted := range []bool{false, true} {
		if restarted {
			w.restart()
			w.settle(names...)
		}
		w.aws.take()
		woken := w.sweep()
		w.settle(woken...)
		want := map[string]int{
			"ResourceGroupsTaggingAPI_20170126.GetResources": 2, "DescribeSecurityGroups": 1,
			"DescribeLoadBalancers": 3, "DescribeTargetGroups": 3, "DescribeListeners": 3,
		}
		if diff := cmp.Diff(want, count(awsCalls(w.aws.take()))); diff != "" || len(woken) != many {
			t.Errorf("new process: %t, %d Services: calls (-want +got):\n%s", restarted, len(woken), diff)
		}
	}
}

func TestAfterASweepTheRecordNeedsNoProof(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"nginx", "other"} {
		w.create(post(name))
		w.settle(name)
	}
	w.restart()
	w.settle("nginx")
	w.settle("other")
	w.sweep()
	w.settle("nginx")
	w.aws.take()
	w.remove("nginx")
	w.settle("nginx")
	if diff := cmp.Diff([]string{"DeleteLoadBalancer", "DeleteTargetGroup", "DeleteSecurityGroup"}, awsCalls(w.aws.take())); diff != "" {
		t.Errorf("deletion in a process that did not make it, after a sweep: calls (-want +got):\n%s", diff)
	}
}

func TestASweepFindsWhatDiffers(t *testing.T) {
	type state struct {
		balancer cloud.LoadBalancer
		group    cloud.TargetGroup
		listener cloud.Listener
		security cloud.SecurityGroup
	}
	tests := map[string]struct {
		drift  func(*world, state) error
		repair string
	}{
		"the health check": {func(w *world, s state) error {
			s.group.HealthCheck.Interval, s.group.HealthCheck.Timeout = 30e9, 5e9
			return w.api.ModifyTargetGroup(w.t.Context(), s.group.ARN, s.group.HealthCheck)
		}, "ModifyTargetGroup"},
		"a listener is gone":      {func(w *world, s state) error { return w.api.DeleteListener(w.t.Context(), s.listener.ARN) }, "CreateListener"},
		"a load balancer is gone": {func(w *world, s state) error { return w.api.DeleteLoadBalancer(w.t.Context(), s.balancer.ARN) }, "CreateLoadBalancer"},
		"its security groups": {func(w *world, s state) error {
			return w.api.SetSecurityGroups(w.t.Context(), s.balancer.ARN, []string{s.security.ID}, false)
		}, "SetSecurityGroups"},
		"a rule is gone": {func(w *world, s state) error {
			return w.api.RevokeIngress(w.t.Context(), s.security.ID, []lb.Rule{s.security.Ingress[0].Rule})
		}, "AuthorizeSecurityGroupIngress"},
		"a tag": {func(w *world, s state) error {
			return w.api.AddTags(w.t.Context(), s.group.ARN, map[string]string{"fairlead.io/resource": "something"})
		}, "AddTags"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, name := range []string{"nginx", "other"} {
				w.create(post(name))
				w.settle(name)
			}
			var s state
			ctx := t.Context()
			for _, name := range w.all().balancers {
				if !strings.Contains(name, "nginx") {
					continue
				}
				found, err := w.api.DescribeLoadBalancers(ctx, []string{name})
				if err != nil {
					t.Fatal(err)
				}
				s.balancer = found[0]
				listeners, err := w.api.DescribeListeners(ctx, s.balancer.ARN)
				if err != nil {
					t.Fatal(err)
				}
				s.listener = listeners[0]
			}
			for _, g := range w.groups() {
				if strings.Contains(g.Name, "nginx") {
					s.group = g
				}
			}
			for _, g := range w.all().security {
				if strings.Contains(g.Name, "nginx") {
					s.security = g
				}
			}
			if err := tt.drift(w, s); err != nil {
				t.Fatal(err)
			}
			w.aws.take()
			for _, name := range w.sweep() {
				w.settle(name)
			}
			calls := count(awsCalls(w.aws.take()))
			// One of the names in a batch may be missing, which takes two calls more.
			if looks := calls["DescribeLoadBalancers"]; calls[tt.repair] == 0 || looks < 2 || looks > 4 || calls["DescribeTargetHealth"] > 2 {
				t.Errorf("want %s, and one Service looked at by itself; calls: %v", tt.repair, calls)
			}
			w.sweep()
			w.settle("nginx")
			w.settle("other")
			if calls := writing(w.aws.take()); len(calls) > 1 { // GetResources is not a description by name
				t.Errorf("not repaired at once: %v", calls)
			}
		})
	}
}

func TestDriftThatASweepFindsFollowsThePolicy(t *testing.T) {
	for policy, reported := range map[string]bool{"report": true, "ignore": false} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t)
			svc := post("nginx")
			svc.Annotations["fairlead.io/drift-policy"] = policy
			w.create(svc)
			w.settle("nginx")
			w.drift()
			w.sweep()
			w.settle("nginx")
			if c := w.condition("nginx", condDrifted); (c.Status == metav1.ConditionTrue) != reported || !w.drifted() {
				t.Errorf("condition Drifted is %+v; the drift is there: %t", c, w.drifted())
			}
		})
	}
}

func TestStraysAreToldOfAndLeftAlone(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"nginx", "gone"} {
		w.create(post(name))
		w.settle(name)
	}
	w.sweep()
	if len(w.r.strays) > 0 {
		t.Errorf("strays though no Service is gone: %v", w.r.strays)
	}
	// Someone takes our finalizers away.
	w.update("gone", func(s *corev1.Service) { s.Finalizers = nil })
	w.remove("gone")
	before := w.all()
	w.sweep()
	if got := len(w.r.strays); got != 3 {
		t.Errorf("strays are %v, want a load balancer, a target group and a security group", w.r.strays)
	}
	for id, service := range w.r.strays {
		if service != "default/gone" {
			t.Errorf("stray %s is said to be of %s", id, service)
		}
	}
	if after := w.all(); after.String() != before.String() {
		t.Errorf("before %s, after %s", before, after)
	}
}

func TestAServiceThatWasWorkedOnDuringASweepIsNotTakenForDifferent(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	w.settle("nginx")
	w.sweep()
	w.now = w.now.Add(1)
	w.removeNode(2)
	w.update("nginx", func(s *corev1.Service) { s.Annotations[prefix+"healthcheck-interval"] = "5" })
	w.settle("nginx")
	w.aws.take()
	w.settle("nginx")
	if calls := awsCalls(w.aws.take()); len(calls) > 0 {
		t.Errorf("it calls %v", calls)
	}
}
