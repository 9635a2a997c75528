package proxy

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Counters are what a load balancer's listeners of one protocol have counted,
// by the names of CloudWatch where it has one.
type Counters struct {
	NewFlowCount, ActiveFlowCount, ProcessedBytes              atomic.Int64
	ClientTLSNegotiationErrors, TargetTLSNegotiationErrors     atomic.Int64
	RejectedFlowCount, SecurityGroupBlockedFlowCount           atomic.Int64
	BackendConnectionErrors, SurgeQueueLength, SpilloverCount  atomic.Int64
	IdleTimeouts, Terminated                                   atomic.Int64
	AddressTaken, AddressHairpin, AddressFamily, AddressFailed atomic.Int64
}

// countersKey is the labels of a load balancer's counters.
type countersKey struct{ balancer, protocol string }

// metric is a Counter's name for Prometheus.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*Counters) *atomic.Int64
}

func allMetrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"new_flow_count_total", "Connections of clients accepted.", counter, func(c *Counters) *atomic.Int64 { return &c.NewFlowCount }},
		{"active_flow_count", "Connections of clients.", gauge, func(c *Counters) *atomic.Int64 { return &c.ActiveFlowCount }},
		{"processed_bytes_total", "Bytes forwarded in both directions, without headers and encryption.", counter, func(c *Counters) *atomic.Int64 { return &c.ProcessedBytes }},
		{"client_tls_negotiation_error_count_total", "TLS handshakes with clients that failed.", counter, func(c *Counters) *atomic.Int64 { return &c.ClientTLSNegotiationErrors }},
		{"target_tls_negotiation_error_count_total", "TLS handshakes with targets that failed.", counter, func(c *Counters) *atomic.Int64 { return &c.TargetTLSNegotiationErrors }},
		{"rejected_flow_count_total", "Connections reset because no target took them or there were too many.", counter, func(c *Counters) *atomic.Int64 { return &c.RejectedFlowCount }},
		{"security_group_blocked_flow_count_inbound_total", "Connections reset because security groups do not let the client in.", counter, func(c *Counters) *atomic.Int64 { return &c.SecurityGroupBlockedFlowCount }},
		{"backend_connection_errors_total", "Connections to targets that could not be made, each attempt counted.", counter, func(c *Counters) *atomic.Int64 { return &c.BackendConnectionErrors }},
		{"surge_queue_length", "Connections that wait for a target.", gauge, func(c *Counters) *atomic.Int64 { return &c.SurgeQueueLength }},
		{"spillover_count_total", "Connections reset because the surge queue was full.", counter, func(c *Counters) *atomic.Int64 { return &c.SpilloverCount }},
		{"idle_timeouts_total", "Connections closed because neither side said anything.", counter, func(c *Counters) *atomic.Int64 { return &c.IdleTimeouts }},
		{"terminated_flows_total", "Connections closed because their target, their pool or their listener has gone.", counter, func(c *Counters) *atomic.Int64 { return &c.Terminated }},
	}
}

// sourceReasons say why a target did not see the client's address.
func sourceReasons(c *Counters) map[string]*atomic.Int64 {
	return map[string]*atomic.Int64{
		"taken": &c.AddressTaken, "hairpin": &c.AddressHairpin, "family": &c.AddressFamily, "failed": &c.AddressFailed,
	}
}

// metrics is the collector of all load balancers' counters.
type metrics struct {
	mu  sync.Mutex
	all map[countersKey]*Counters
}

func newMetrics() *metrics { return &metrics{all: map[countersKey]*Counters{}} }

// of returns the counters of a listener's load balancer and protocol.
func (m *metrics) of(l *Listener) *Counters {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := keyOf(l)
	if m.all[key] == nil {
		m.all[key] = &Counters{}
	}
	return m.all[key]
}

func keyOf(l *Listener) countersKey { return countersKey{l.Balancer, string(l.Protocol)} }

// keepOnly forgets the counters of load balancers without listeners.
func (m *metrics) keepOnly(routes map[netip.AddrPort]*Route) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := map[countersKey]bool{}
	for _, r := range routes {
		used[keyOf(&r.current.Load().Listener)] = true
	}
	for key := range m.all {
		if !used[key] {
			delete(m.all, key)
		}
	}
}

func (m *metrics) desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("fairlead_proxy_"+name, help, append([]string{"load_balancer", "protocol"}, more...), nil)
}

func (m *metrics) sourceDesc() *prometheus.Desc {
	return m.desc("client_address_not_kept_total", "Connections that targets saw from the load balancer's address although the client's was to be kept.", "reason")
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range allMetrics() {
		ch <- m.desc(d.name, d.help)
	}
	ch <- m.sourceDesc()
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, counters := range m.all {
		for _, d := range allMetrics() {
			ch <- prometheus.MustNewConstMetric(m.desc(d.name, d.help), d.kind, float64(d.value(counters).Load()), key.balancer, key.protocol)
		}
		for reason, n := range sourceReasons(counters) {
			ch <- prometheus.MustNewConstMetric(m.sourceDesc(), prometheus.CounterValue, float64(n.Load()), key.balancer, key.protocol, reason)
		}
	}
}
