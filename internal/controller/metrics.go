package controller

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// metrics are what the controller counts of itself; calls to AWS are counted
// where they are made.
type metrics struct {
	steps     *prometheus.CounterVec
	errors    *prometheus.CounterVec
	converged prometheus.Histogram
	strays    prometheus.Gauge
	targets   targetCounts
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_plan_steps_total", Help: "Steps of plans that were executed, by action.",
		}, []string{"action"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairlead_reconcile_errors_total", Help: "Passes over a Service that ended in an error, by the error's class.",
		}, []string{"class"}),
		converged: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fairlead_service_converge_seconds", Help: "Time from a change being seen to AWS having what the Service wants.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900},
		}),
	}
	m.strays = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "fairlead_stray_resources", Help: "Resources in AWS with the cluster's tags whose Service is gone, as of the last comparison of all Services. The log names them.",
	})
	m.targets.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "fairlead_targets", Help: "Targets of Services by health, as of the last look at each Service: when its targets or their health checks had changed, or a pod waited for its gate.",
	}, []string{"health"})
	if reg != nil {
		reg.MustRegister(m.steps, m.errors, m.converged, m.strays, m.targets.gauge)
	}
	return m
}

// targetCounts are the numbers of targets by health, over all Services.
type targetCounts struct {
	gauge *prometheus.GaugeVec

	mu   sync.Mutex
	last map[types.NamespacedName]map[lb.HealthState]int // what each Service counts for
}

// report replaces what a Service counts for; nil says that it is gone.
func (c *targetCounts) report(service types.NamespacedName, counts map[lb.HealthState]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for state, n := range c.last[service] {
		c.gauge.WithLabelValues(string(state)).Sub(float64(n))
	}
	for state, n := range counts {
		c.gauge.WithLabelValues(string(state)).Add(float64(n))
	}
	if c.last == nil {
		c.last = map[types.NamespacedName]map[lb.HealthState]int{}
	}
	c.last[service] = counts
	if counts == nil {
		delete(c.last, service)
	}
}
