package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/datapath"
)

// trafficCollector tells what the data path counts. Counters of load balancers
// are CloudWatch's (namespace AWS/NetworkELB).
type trafficCollector struct{ dataPath DataPath }

// balancerMetric is one CloudWatch metric of a load balancer; read gives its
// value, or one by protocol.
type balancerMetric struct {
	name, help string
	kind       prometheus.ValueType
	total      func(datapath.BalancerCounters) uint64
	tcp, udp   func(datapath.BalancerCounters) uint64
	icmp       func(datapath.BalancerCounters) uint64 // nil: not counted
}

func (m balancerMetric) desc() *prometheus.Desc {
	labels := []string{"load_balancer"}
	if m.total == nil {
		labels = append(labels, "protocol")
	}
	return prometheus.NewDesc("fairlead_"+m.name, m.help, labels, nil)
}

func (m balancerMetric) collect(ch chan<- prometheus.Metric, balancer string, c datapath.BalancerCounters) {
	if m.total != nil {
		ch <- prometheus.MustNewConstMetric(m.desc(), m.kind, float64(m.total(c)), balancer)
		return
	}
	ch <- prometheus.MustNewConstMetric(m.desc(), m.kind, float64(m.tcp(c)), balancer, "tcp")
	ch <- prometheus.MustNewConstMetric(m.desc(), m.kind, float64(m.udp(c)), balancer, "udp")
	if m.icmp != nil {
		ch <- prometheus.MustNewConstMetric(m.desc(), m.kind, float64(m.icmp(c)), balancer, "icmp")
	}
}

func balancerMetrics() []balancerMetric {
	type counts = datapath.BalancerCounters
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []balancerMetric{
		{name: "new_flow_count_total", help: "Flows made.", kind: counter,
			tcp: func(c counts) uint64 { return c.NewFlowCountTCP }, udp: func(c counts) uint64 { return c.NewFlowCountUDP }},
		{name: "active_flow_count", help: "Flows that live, a few seconds ago.", kind: gauge,
			tcp: func(c counts) uint64 { return c.ActiveFlowCountTCP }, udp: func(c counts) uint64 { return c.ActiveFlowCountUDP }},
		{name: "processed_bytes_total", help: "Bytes forwarded in both directions, with IP headers.", kind: counter,
			tcp: func(c counts) uint64 { return c.ProcessedBytesTCP }, udp: func(c counts) uint64 { return c.ProcessedBytesUDP }},
		{name: "rejected_flow_count_total", help: "Flows refused because no target could take them or the table was full.", kind: counter,
			tcp: func(c counts) uint64 { return c.RejectedFlowCountTCP }, udp: func(c counts) uint64 { return c.RejectedFlowCountUDP }},
		{name: "processed_packets_total", help: "Packets forwarded in both directions.", kind: counter,
			total: func(c counts) uint64 { return c.ProcessedPackets }},
		{name: "tcp_client_reset_count_total", help: "RST packets from clients to targets.", kind: counter,
			total: func(c counts) uint64 { return c.TCPClientResetCount }},
		{name: "tcp_elb_reset_count_total", help: "RST packets made by the load balancer.", kind: counter,
			total: func(c counts) uint64 { return c.TCPELBResetCount }},
		{name: "tcp_target_reset_count_total", help: "RST packets from targets to clients.", kind: counter,
			total: func(c counts) uint64 { return c.TCPTargetResetCount }},
		{name: "port_allocation_error_count_total", help: "Flows refused because source NAT found no free port.", kind: counter,
			total: func(c counts) uint64 { return c.PortAllocationErrorCount }},
		{name: "unhealthy_routing_flow_count_total", help: "Flows sent to targets of a group that failed open.", kind: counter,
			total: func(c counts) uint64 { return c.UnhealthyRoutingFlowCount }},
		{name: "security_group_blocked_flow_count_inbound_total", help: "Flows and echo requests that the inbound rules of the load balancer's security groups refused.", kind: counter,
			tcp:  func(c counts) uint64 { return c.SecurityGroupBlockedFlowCountInboundTCP },
			udp:  func(c counts) uint64 { return c.SecurityGroupBlockedFlowCountInboundUDP },
			icmp: func(c counts) uint64 { return c.SecurityGroupBlockedFlowCountInboundICMP }},
		{name: "security_group_blocked_flow_count_outbound_total", help: "Flows that the outbound rules of the load balancer's security groups refused.", kind: counter,
			tcp: func(c counts) uint64 { return c.SecurityGroupBlockedFlowCountOutboundTCP },
			udp: func(c counts) uint64 { return c.SecurityGroupBlockedFlowCountOutboundUDP }},
	}
}

func tableDescs() (flows, room *prometheus.Desc) {
	return prometheus.NewDesc("fairlead_edge_flow_table_flows", "Established flows in the flow table, a few seconds ago.", nil, nil),
		prometheus.NewDesc("fairlead_edge_flow_table_room", "Flows that the flow table was made for (--flows). New ones are refused when it is full.", nil, nil)
}

func packetDescs() (packets, events *prometheus.Desc) {
	return prometheus.NewDesc("fairlead_edge_packets_total", "Packets on the uplink by what became of them.", []string{"reason"}, nil),
		prometheus.NewDesc("fairlead_edge_flow_events_total", "What happened to flows out of the ordinary.", []string{"event"}, nil)
}

// Describe implements prometheus.Collector.
func (trafficCollector) Describe(ch chan<- *prometheus.Desc) {
	packets, events := packetDescs()
	ch <- packets
	ch <- events
	flows, room := tableDescs()
	ch <- flows
	ch <- room
	for _, m := range balancerMetrics() {
		ch <- m.desc()
	}
}

// Collect implements prometheus.Collector.
func (t trafficCollector) Collect(ch chan<- prometheus.Metric) {
	packets, events := packetDescs()
	counters, err := t.dataPath.Counters()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(packets, err)
	}
	for reason, n := range counters.Reasons {
		ch <- prometheus.MustNewConstMetric(packets, prometheus.CounterValue, float64(n), reason)
	}
	for event, n := range counters.Events {
		ch <- prometheus.MustNewConstMetric(events, prometheus.CounterValue, float64(n), event)
	}
	if counters.Room > 0 {
		flows, room := tableDescs()
		ch <- prometheus.MustNewConstMetric(flows, prometheus.GaugeValue, float64(counters.Flows))
		ch <- prometheus.MustNewConstMetric(room, prometheus.GaugeValue, float64(counters.Room))
	}
	metrics := balancerMetrics()
	for arn, c := range counters.Balancers {
		for _, m := range metrics {
			m.collect(ch, dimension(arn), c)
		}
	}
}
