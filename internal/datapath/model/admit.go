package model

import (
	"net/netip"
	"slices"
)

// Numbers of sets of clients that have no prefixes, as in bpf/maps.h.
const (
	everyone = 0
	nobody   = 1
)

// admits reports whether the packet's source is in a set.
func (r *run) admits(set uint64) bool {
	inside := func(p netip.Prefix) bool { return p.Contains(r.p.src) }
	return set == everyone || set != nobody && slices.ContainsFunc(r.Clients[set], inside)
}

// judge is what security groups say to a new flow to a target: nothing, or why
// not.
func (r *run) judge(t Target) string {
	blocked, clients := t.NoTCP, t.ClientsTCP
	if !r.p.tcp() {
		blocked, clients = t.NoUDP, t.ClientsUDP
	}
	switch {
	case blocked:
		return "outbound_rules"
	case !r.admits(clients):
		return "target_rules"
	}
	return ""
}

func (r *run) barInbound(balancer uint32) Action {
	c := r.counts(balancer)
	switch r.p.proto {
	case protoTCP:
		c.SecurityGroupBlockedFlowCountInboundTCP++
	case protoUDP:
		c.SecurityGroupBlockedFlowCountInboundUDP++
	default:
		c.SecurityGroupBlockedFlowCountInboundICMP++
	}
	return r.drop("inbound_rules")
}

func (r *run) barOutbound(l Listener) Action {
	if r.p.tcp() {
		r.count(l).SecurityGroupBlockedFlowCountOutboundTCP++
	} else {
		r.count(l).SecurityGroupBlockedFlowCountOutboundUDP++
	}
	return r.drop("outbound_rules")
}
