package datapath

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
)

// Counters is one reading of the data path's counters. They count up from when
// the maps were made and survive restarts.
type Counters struct {
	Balancers map[string]BalancerCounters // by ARN
	Reasons   map[string]uint64           // packets by what became of them, such as drop_fragment
	Events    map[string]uint64           // what happened to flows, such as half_open_evicted
	Flows     int                         // in the table of established flows, source ports included, as of the last sweep
	Room      int                         // for so many that table was made; 0: there is none
}

// BalancerCounters are the counters of one load balancer in this zone, named as
// CloudWatch names them (namespace AWS/NetworkELB).
type BalancerCounters struct {
	NewFlowCountTCP           uint64
	NewFlowCountUDP           uint64
	ActiveFlowCountTCP        uint64 // as of the last sweep
	ActiveFlowCountUDP        uint64
	ProcessedBytesTCP         uint64
	ProcessedBytesUDP         uint64
	ProcessedPackets          uint64
	RejectedFlowCountTCP      uint64
	RejectedFlowCountUDP      uint64
	TCPClientResetCount       uint64
	TCPELBResetCount          uint64
	TCPTargetResetCount       uint64
	PortAllocationErrorCount  uint64
	UnhealthyRoutingFlowCount uint64

	SecurityGroupBlockedFlowCountInboundTCP  uint64 // new flows that the load balancer's inbound rules refuse
	SecurityGroupBlockedFlowCountInboundUDP  uint64
	SecurityGroupBlockedFlowCountInboundICMP uint64
	SecurityGroupBlockedFlowCountOutboundTCP uint64 // and its outbound rules
	SecurityGroupBlockedFlowCountOutboundUDP uint64
}

func (s *bpfStore) reasons() (map[string]uint64, error) {
	return readCounters(s.maps.Reasons, reasonNames())
}

func (s *bpfStore) events() (map[string]uint64, error) {
	return readCounters(s.maps.Events, eventNames())
}

func readCounters(m *ebpf.Map, names []string) (map[string]uint64, error) {
	out := map[string]uint64{}
	for i, name := range names {
		var perCPU []uint64
		if err := m.Lookup(uint32(i), &perCPU); err != nil {
			return nil, fmt.Errorf("read counter %s: %w", name, err)
		}
		for _, n := range perCPU {
			out[name] += n
		}
	}
	return out, nil
}

func (s *bpfStore) balancer(index uint32) (BalancerCounters, error) {
	var perCPU []edgeBalancerCounts
	if err := s.maps.BalancerCounters.Lookup(index, &perCPU); err != nil {
		return BalancerCounters{}, fmt.Errorf("read load balancer counters: %w", err)
	}
	var out BalancerCounters
	for _, c := range perCPU {
		out.NewFlowCountTCP += c.NewFlowCountTcp
		out.NewFlowCountUDP += c.NewFlowCountUdp
		out.ProcessedBytesTCP += c.ProcessedBytesTcp
		out.ProcessedBytesUDP += c.ProcessedBytesUdp
		out.ProcessedPackets += c.ProcessedPackets
		out.RejectedFlowCountTCP += c.RejectedFlowCountTcp
		out.RejectedFlowCountUDP += c.RejectedFlowCountUdp
		out.TCPClientResetCount += c.TcpClientResetCount
		out.TCPELBResetCount += c.TcpElbResetCount
		out.TCPTargetResetCount += c.TcpTargetResetCount
		out.PortAllocationErrorCount += c.PortAllocationErrorCount
		out.UnhealthyRoutingFlowCount += c.UnhealthyRoutingFlowCount
		out.SecurityGroupBlockedFlowCountInboundTCP += c.SecurityGroupBlockedFlowCountInboundTcp
		out.SecurityGroupBlockedFlowCountInboundUDP += c.SecurityGroupBlockedFlowCountInboundUdp
		out.SecurityGroupBlockedFlowCountInboundICMP += c.SecurityGroupBlockedFlowCountInboundIcmp
		out.SecurityGroupBlockedFlowCountOutboundTCP += c.SecurityGroupBlockedFlowCountOutboundTcp
		out.SecurityGroupBlockedFlowCountOutboundUDP += c.SecurityGroupBlockedFlowCountOutboundUdp
	}
	return out, nil
}

// The program's enums, in order. A test holds them against its type information.
const reasonList = `pass_settings pass_not_ip pass_truncated pass_other_mac pass_no_flow pass_local
sent_neighbor sent_to_target sent_to_client sent_icmp sent_echo
reset_unknown reset_half_open reset_idle reset_terminated reset_no_target reset_table_full reset_no_port
drop_malformed drop_martian drop_fragment drop_protocol drop_no_listener drop_flags drop_unknown_reset
drop_rate drop_no_target drop_terminated drop_table_full drop_no_port drop_icmp_type drop_icmp_flow
drop_echo drop_no_listener_reply drop_error drop_inbound_rules drop_outbound_rules drop_target_rules
drop_unresolved drop_restoring pass_own`

const eventList = `half_open_evicted closing_evicted idle_evicted hairpin tuple_conflict`

func reasonNames() []string { return strings.Fields(reasonList) }

func eventNames() []string { return strings.Fields(eventList) }
