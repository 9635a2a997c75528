package httplb

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// metrics are CloudWatch's of Classic Load Balancers for HTTP; those of
// connections are the proxy.Server's.
type metrics struct {
	requests     *prometheus.CounterVec
	backend, elb *prometheus.CounterVec
	nonCompliant *prometheus.CounterVec
	latency      *prometheus.HistogramVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairlead_proxy_" + name, Help: help}, append([]string{"load_balancer"}, labels...))
	}
	return &metrics{
		requests:     counter("request_count_total", "HTTP requests sent to targets."),
		backend:      counter("httpcode_backend_total", "Answers of targets by class of their status.", "class"),
		elb:          counter("httpcode_elb_total", "Answers that the load balancer gave itself, by class of their status.", "class"),
		nonCompliant: counter("desync_mitigation_mode_non_compliant_request_count_total", "Requests that do not comply with RFC 9112, let through or not."),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairlead_proxy_latency_seconds", Help: "From a request's end at the target to the beginning of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}, []string{"load_balancer"}),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.backend, m.elb, m.nonCompliant, m.latency}
}

func (m *metrics) register(r prometheus.Registerer) error {
	var errs []error
	for _, c := range m.all() {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

// counters are one load balancer's.
type counters struct {
	requests     prometheus.Counter
	backend, elb [6]prometheus.Counter // by class of status; 2 to 5 and 4 to 5
	nonCompliant prometheus.Counter
	latency      prometheus.Observer
}

func (m *metrics) of(balancer string) *counters {
	c := &counters{
		requests:     m.requests.WithLabelValues(balancer),
		nonCompliant: m.nonCompliant.WithLabelValues(balancer), latency: m.latency.WithLabelValues(balancer),
	}
	for class, name := range []string{2: "2XX", 3: "3XX", 4: "4XX", 5: "5XX"} {
		if class >= 2 {
			c.backend[class] = m.backend.WithLabelValues(balancer, name)
		}
		if class >= 4 {
			c.elb[class] = m.elb.WithLabelValues(balancer, name)
		}
	}
	return c
}

// answered counts a target's answer.
func (c *counters) answered(status int, after time.Duration) {
	if class := status / 100; class >= 2 && class <= 5 {
		c.backend[class].Inc()
	}
	c.latency.Observe(after.Seconds())
}

// forget drops the counters of a load balancer if no route is its any more.
func (m *metrics) forget(gone string, routes map[*proxy.Route]*listening) {
	for _, l := range routes {
		if v := l.current.Load(); v != nil && v.Balancer == gone {
			return
		}
	}
	label := prometheus.Labels{"load_balancer": gone}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.requests, m.backend, m.elb, m.nonCompliant, m.latency} {
		v.DeletePartialMatch(label)
	}
}
