package controller

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func (w *world) condition(name, kind string) metav1.Condition {
	w.t.Helper()
	if c := meta.FindStatusCondition(w.get(name).Status.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func writing(calls []string) []string {
	return slices.DeleteFunc(awsCalls(calls), func(c string) bool { return strings.HasPrefix(c, "Describe") })
}

func TestADryRunTellsThePlanAndDoesNothing(t *testing.T) {
	w := newWorld(t)
	svc := post("nginx")
	svc.Annotations["fairlead.io/dry-run"] = "true"
	w.create(svc)
	w.settle("nginx")
	if got := writing(w.aws.take()); len(got) > 0 || !w.all().empty() {
		t.Errorf("a dry run wrote %v, there is %s", got, w.all())
	}
	if c := w.condition("nginx", condDryRun); !strings.Contains(c.Message, "CreateLoadBalancer fl-default-nginx-") {
		t.Errorf("condition DryRun is %+v", c)
	}
	if c := w.condition("nginx", condProgrammed); c.Status != metav1.ConditionFalse || !w.notes.has("DryRun") || len(w.get("nginx").Finalizers) > 0 {
		t.Errorf("condition Programmed is %+v, events %v, finalizers %v", c, w.notes.list(), w.get("nginx").Finalizers)
	}
	w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, "fairlead.io/dry-run") })
	w.settle("nginx")
	if c := w.condition("nginx", condProgrammed); c.Status != metav1.ConditionTrue || w.condition("nginx", condDryRun).Type != "" {
		t.Errorf("after the dry run: Programmed %+v, DryRun %+v", c, w.condition("nginx", condDryRun))
	}
	w.aws.take()
	w.update("nginx", func(s *corev1.Service) {
		s.Annotations["fairlead.io/dry-run"] = "true"
		s.Annotations[prefix+"healthcheck-interval"] = "5"
	})
	w.removeNode(2)
	w.settle("nginx")
	if got := writing(w.aws.take()); len(got) > 0 {
		t.Errorf("a dry run of a change wrote %v", got)
	}
	if c := w.condition("nginx", condDryRun); !strings.Contains(c.Message, "ModifyTargetGroup ") || !strings.Contains(c.Message, "DeregisterTargets ") {
		t.Errorf("condition DryRun is %+v", c)
	}
	w.remove("nginx")
	w.settle("nginx")
	if left := w.all(); !left.empty() || !w.gone("nginx") {
		t.Errorf("a dry run kept the deletion from acting; left: %s", left)
	}
}

func TestDriftIsRepairedReportedOrIgnored(t *testing.T) {
	tests := map[string]struct {
		looks, repairs, reports bool
	}{
		"":       {true, true, false},
		"repair": {true, true, false},
		"report": {true, false, true},
		"ignore": {false, false, false},
	}
	for policy, tt := range tests {
		t.Run("policy "+policy, func(t *testing.T) {
			w := newWorld(t)
			svc := post("nginx")
			if policy != "" {
				svc.Annotations["fairlead.io/drift-policy"] = policy
			}
			w.create(svc)
			w.settle("nginx")
			check := w.groups()[0].HealthCheck
			check.Interval, check.Timeout = 30e9, 5e9
			if err := w.api.ModifyTargetGroup(t.Context(), w.groups()[0].ARN, check); err != nil {
				t.Fatal(err)
			}
			w.aws.take()
			w.now = w.now.Add(2 * resync)
			w.settle("nginx")
			calls := awsCalls(w.aws.take())
			if got := slices.Contains(calls, "DescribeLoadBalancers"); got != tt.looks {
				t.Errorf("looks at AWS: %t, want %t", got, tt.looks)
			}
			if got := w.groups()[0].HealthCheck != check; got != tt.repairs {
				t.Errorf("repairs: %t, want %t (calls %v)", got, tt.repairs, calls)
			}
			c := w.condition("nginx", condDrifted)
			if got := c.Status == metav1.ConditionTrue && strings.Contains(c.Message, "ModifyTargetGroup ") && w.notes.has("LoadBalancerDrifted"); got != tt.reports {
				t.Errorf("reports: %t, want %t (%+v)", got, tt.reports, c)
			}
			if !tt.repairs {
				w.changeBesideDrift(check)
			}
		})
	}
}

// changeBesideDrift: what the user asks for is done, the drift stays until the
// policy is to repair.
func (w *world) changeBesideDrift(check lb.HealthCheck) {
	w.t.Helper()
	w.removeNode(2)
	w.settle("nginx")
	if got := writing(w.aws.take()); len(got) != 1 || got[0] != "DeregisterTargets" || w.groups()[0].HealthCheck != check {
		w.t.Errorf("a node leaves: calls %v", got)
	}
	w.update("nginx", func(s *corev1.Service) { s.Annotations["fairlead.io/drift-policy"] = "repair" })
	w.now = w.now.Add(2 * resync)
	w.settle("nginx")
	if w.groups()[0].HealthCheck == check || w.condition("nginx", condDrifted).Type != "" {
		w.t.Errorf("not repaired: %+v, condition %+v", w.groups()[0].HealthCheck, w.condition("nginx", condDrifted))
	}
}
