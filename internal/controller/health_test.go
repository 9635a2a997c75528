package controller

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/plan"
)

func TestHealthIsAskedForWhenTheAnswerCanBeNew(t *testing.T) {
	tests := map[string]struct {
		checks, until time.Duration
		looks         []time.Duration
	}{
		"a new load balancer on AWS takes minutes": {10 * time.Second, 150 * time.Second, []time.Duration{10e9, 30e9, 60e9, 90e9, 120e9, 150e9}},
		"checks are often":                         {5 * time.Second, 60 * time.Second, []time.Duration{5e9, 15e9, 35e9, 65e9}},
		"checks are rare":                          {300 * time.Second, 600 * time.Second, []time.Duration{300e9, 600e9}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			begin := time.Unix(0, 0)
			var s settling
			s.changed(plan.Plan{Steps: []plan.Step{{Action: plan.RegisterTargets}}}, begin)
			var looks []time.Duration
			for now := begin; now.Sub(begin) < tt.until; s.since, s.polls = now, s.polls+1 {
				now = now.Add(s.left(now, tt.checks))
				looks = append(looks, now.Sub(begin))
			}
			if diff := cmp.Diff(tt.looks, looks); diff != "" {
				t.Errorf("looks (-want +got):\n%s", diff)
			}
		})
	}
}

// healthy is the status and the reason of the condition TargetsHealthy.
func (w *world) healthy(name string) (metav1.ConditionStatus, string) {
	w.t.Helper()
	c := meta.FindStatusCondition(w.get(name).Status.Conditions, condHealthy)
	if c == nil {
		w.t.Fatalf("Service %s has no condition %s", name, condHealthy)
	}
	return c.Status, c.Reason
}

func TestTheStatusSaysUnknownUntilHealthCanBeKnown(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	for _, early := range []time.Duration{5 * time.Second, 0} { // the next pass comes before it is wanted
		w.once(t.Context(), "nginx")
		w.now = w.now.Add(-early)
		if status, reason := w.healthy("nginx"); status != metav1.ConditionUnknown || reason != reasonPending {
			t.Errorf("the targets are healthy: %s for %s before anyone looked", status, reason)
		}
		if calls := w.aws.take(); slices.Contains(calls, "DescribeTargetHealth") {
			t.Errorf("health is asked for before it can be known: %v", calls)
		}
	}
	w.once(t.Context(), "nginx")
	if status, reason := w.healthy("nginx"); status != metav1.ConditionFalse || reason != reasonPending {
		t.Errorf("the targets are healthy: %s for %s while they are initial", status, reason)
	}
	w.settle("nginx")
	if status, reason := w.healthy("nginx"); status != metav1.ConditionTrue {
		t.Errorf("the targets are healthy: %s for %s when they all are", status, reason)
	}
	if diff := cmp.Diff([]string{"DescribeTargetHealth", "DescribeTargetHealth"}, awsCalls(w.aws.take())); diff != "" {
		t.Errorf("calls after the creation (-want +got):\n%s", diff)
	}
}

func TestANewProcessLooksAtHealthThatWasPending(t *testing.T) {
	w := newWorld(t)
	w.create(post("nginx"))
	w.once(t.Context(), "nginx")
	w.restart()
	w.settle("nginx")
	if status, reason := w.healthy("nginx"); status != metav1.ConditionTrue {
		t.Errorf("the targets are healthy: %s for %s when they all are", status, reason)
	}
}
