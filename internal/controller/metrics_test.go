package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// targets is what the metric of targets says, by health.
func targets(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if n := m.GetGauge().GetValue(); f.GetName() == "fairlead_targets" && n != 0 {
				got[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return got
}

func TestTargetsAreCountedByHealth(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	w.r.metrics = newMetrics(reg)
	w.create(post("nginx"))
	w.create(post("other"))
	for _, name := range []string{"nginx", "other"} {
		w.once(t.Context(), name)
		w.once(t.Context(), name)
	}
	check := func(when string, want map[string]float64) {
		t.Helper()
		if diff := cmp.Diff(want, targets(t, reg)); diff != "" {
			t.Errorf("%s: targets by health (-want +got):\n%s", when, diff)
		}
	}
	check("nobody has checked them", map[string]float64{"initial": 4})
	w.settle("nginx")
	check("those of one Service have been looked at again", map[string]float64{"initial": 2, "healthy": 2})
	w.settle("other")
	check("all have been looked at again", map[string]float64{"healthy": 4})
	w.remove("nginx")
	w.settle("nginx")
	w.once(t.Context(), "nginx")
	check("a Service is gone", map[string]float64{"healthy": 2})
}
