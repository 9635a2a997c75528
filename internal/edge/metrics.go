package edge

import (
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// metrics are what the edge counts as it goes.
type metrics struct {
	applySeconds prometheus.Histogram
	applyErrors  prometheus.Counter
	diskErrors   prometheus.Counter
}

func newMetrics() metrics {
	return metrics{
		applySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fairlead_edge_apply_seconds", Help: "Time to bring the data path to what it should forward.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}),
		applyErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairlead_edge_apply_errors_total", Help: "Times that the data path did not take what it should forward."}),
		diskErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairlead_edge_disk_errors_total", Help: "Writes to the state directory that failed."}),
	}
}

func (e *Edge) register() error {
	var errs []error
	for _, c := range []prometheus.Collector{e.metrics.applySeconds, e.metrics.applyErrors, e.metrics.diskErrors, beliefsCollector{e}, trafficCollector{e.cfg.DataPath}} {
		errs = append(errs, e.cfg.Metrics.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("register the edge's metrics: %w", err)
	}
	return nil
}

// beliefsCollector tells what the edge believes when it is asked. The host
// counts are CloudWatch's HealthyHostCount and UnHealthyHostCount.
type beliefsCollector struct{ edge *Edge }

// The descriptions are built per call: they are small and a scrape is rare.
func descriptions() (healthy, unhealthy, revision, connected, mode *prometheus.Desc) {
	group := []string{"target_group"}
	return prometheus.NewDesc("fairlead_healthy_host_count", "Targets that are healthy, as this edge sees them.", group, nil),
		prometheus.NewDesc("fairlead_unhealthy_host_count", "Targets that are not healthy, as this edge sees them.", group, nil),
		prometheus.NewDesc("fairlead_edge_applied_revision", "Revision of the snapshot that the data path forwards by.", nil, nil),
		prometheus.NewDesc("fairlead_edge_engine_connected", "1 while there is a session with the engine.", nil, nil),
		prometheus.NewDesc("fairlead_edge_data_path_info", "1; the label says how packets are forwarded: native or generic XDP, or in user space alone.", []string{"mode"}, nil)
}

// Describe implements prometheus.Collector.
func (beliefsCollector) Describe(ch chan<- *prometheus.Desc) {
	healthy, unhealthy, revision, connected, mode := descriptions()
	for _, d := range []*prometheus.Desc{healthy, unhealthy, revision, connected, mode} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c beliefsCollector) Collect(ch chan<- prometheus.Metric) {
	healthyDesc, unhealthyDesc, revisionDesc, connectedDesc, modeDesc := descriptions()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counts, revision := c.edge.hostCounts()
	for group, n := range counts {
		gauge(healthyDesc, float64(n.healthy), dimension(group))
		gauge(unhealthyDesc, float64(n.unhealthy), dimension(group))
	}
	connected := 0.0
	if c.edge.cfg.Link.Connected() {
		connected = 1
	}
	gauge(revisionDesc, float64(revision))
	gauge(connectedDesc, connected)
	gauge(modeDesc, 1, string(c.edge.cfg.DataPath.Mode()))
}

type hostCount struct{ healthy, unhealthy int }

func (e *Edge) hostCounts() (map[string]hostCount, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := make(map[string]hostCount, len(e.beliefs.snapshot.TargetGroups))
	for _, group := range e.beliefs.snapshot.TargetGroups {
		counts[group.ARN] = hostCount{}
	}
	for key, h := range e.beliefs.health {
		n := counts[key.TargetGroupARN]
		if h.State == lb.Healthy {
			n.healthy++
		} else {
			n.unhealthy++
		}
		counts[key.TargetGroupARN] = n
	}
	return counts, e.beliefs.revision
}

// dimension is the part of an ARN that CloudWatch has as a dimension:
// targetgroup/NAME/ID, or net/NAME/ID of a load balancer.
func dimension(arn string) string {
	return strings.TrimPrefix(arn[strings.LastIndexByte(arn, ':')+1:], "loadbalancer/")
}
