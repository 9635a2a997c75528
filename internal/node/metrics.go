package node

import (
	"github.com/prometheus/client_golang/prometheus"
)

// counters are the program's, in the order of enum counter in bpf/node.h.
var counters = [...]*prometheus.Desc{
	desc("flows_learned_total", "Flows seen to come through an edge."),
	desc("flows_moved_total", "Flows whose packets began to come through another edge."),
	desc("flows_ended_total", "Flows forgotten after FIN or RST."),
	desc("replies_total", "Packets sent to the edge of their flow."),
	desc("icmp_errors_total", "ICMP errors sent to the edge of the flow they are about; also in replies."),
	desc("fragments_total", "Fragments without ports sent to the edge of their flow; also in replies."),
}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("fairlead_node_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (h *Helper) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range counters {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (h *Helper) Collect(ch chan<- prometheus.Metric) {
	for i, d := range counters {
		total, err := h.count(uint32(i))
		if err != nil {
			ch <- prometheus.NewInvalidMetric(d, err)
			continue
		}
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(total))
	}
}

func (h *Helper) count(which uint32) (total uint64, err error) {
	var perCPU []uint64
	if err := h.objects.NodeCountersV1.Lookup(which, &perCPU); err != nil {
		return 0, err
	}
	for _, n := range perCPU {
		total += n
	}
	return total, nil
}
