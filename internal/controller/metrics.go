package controller

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the controller counts of itself; calls to AWS are counted
// where they are made.
type metrics struct {
	steps     *prometheus.CounterVec
	errors    *prometheus.CounterVec
	converged prometheus.Histogram
	strays    prometheus.Gauge
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
	if reg != nil {
		reg.MustRegister(m.steps, m.errors, m.converged, m.strays)
	}
	return m
}
