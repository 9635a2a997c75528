package controller

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestNobodyWaitsForTheBudgetOfOthers: at a tenth of the rate, the second load
// balancer may be created 50 seconds after the first one.
func TestNobodyWaitsForTheBudgetOfOthers(t *testing.T) {
	w := newWorld(t)
	w.rate = 0.1
	w.restart()
	w.create(post("nginx"))
	w.settle("nginx")
	w.create(post("second"))
	for range 3 {
		w.once(t.Context(), "second")
	}
	if c := w.condition("second", condProgrammed); c.Status != metav1.ConditionFalse || c.Reason != "Throttled" {
		t.Errorf("condition Programmed is %+v", c)
	}
	w.aws.take()
	w.once(t.Context(), "second")
	if calls := awsCalls(w.aws.take()); len(calls) > 0 {
		t.Errorf("a Service that is put off calls %v", calls)
	}
	w.removeNode(2)
	w.once(t.Context(), "nginx")
	if calls := awsCalls(w.aws.take()); !slices.Contains(calls, "DeregisterTargets") {
		t.Errorf("a node left meanwhile; calls: %v", calls)
	}
	if c := w.condition("nginx", condProgrammed); c.Status != metav1.ConditionTrue {
		t.Errorf("condition Programmed is %+v", c)
	}
}
