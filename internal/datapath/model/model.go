// Package model is the XDP program of bpf/ once more, in Go and without its
// tricks: no locks, no fast path, no incremental state. Given maps and a frame it
// says what happens to the frame, to the flows and to the counters. It is the
// oracle that the program is compared with.
//
// Invariants: the package is pure; time is Maps.Now.
package model

import (
	"net/netip"
)

// Action is what XDP does with a frame.
type Action int

// Actions, with the kernel's values.
const (
	Drop Action = 1
	Pass Action = 2
	TX   Action = 3 // at egress: out as it was going
	Up   Action = 4 // at egress: into this machine
)

// Maps is all state: configuration, flows, counters.
type Maps struct {
	Settings  Settings
	Now       uint64                 // jiffies
	Keys      map[ListenerKey]uint32 // listener IDs
	Listeners map[uint32]Listener    // by ID
	VIPs      map[netip.Addr]bool
	Local     map[netip.Addr]bool       // VIPs with a listener in user space
	Groups    map[uint32]Group          // by index
	Targets   map[uint32]Target         // by ID
	Prefixes  map[netip.Prefix]uint32   // instance
	Clients   map[uint64][]netip.Prefix // sets by number
	Echo      map[netip.Addr]Echo       // by VIP

	Flows     []Bucket
	HalfOpen  []Bucket
	Limiter   Limiter
	Datagrams map[uint64]Datagram // of which fragments are expected, by place

	Reasons   map[string]uint64
	Events    map[string]uint64
	Balancers map[uint32]*Counts
}

// Settings are struct setting.
type Settings struct {
	Key             [32]uint64
	MAC             [6]byte
	HZ              uint64
	Echo            bool
	Restoring       bool // flows of an older layout are still being copied
	HalfOpenSeconds uint64
	ClosingSeconds  uint64
	AnswersPerJiffy uint64
	AnswersBurst    uint64
}

// Echo says who may send echo requests to a VIP: the rest of struct vip.
type Echo struct {
	Balancer uint32
	Clients  uint64
}

// ListenerKey is what a packet names a listener by.
type ListenerKey struct {
	VIP   netip.AddrPort
	Proto uint8
}

// Listener is struct listener.
type Listener struct {
	ID          uint32
	Balancer    uint32
	VIP         netip.AddrPort
	Proto       uint8
	IdleSeconds uint64
	Choices     []Choice
	Clients     uint64 // the set that may open flows
	Local       bool   // served in user space
	Sticky      bool   // the client's address decides the group
	Deleted     bool   // stays for its flows alone
}

// Choice sends hashes up to Bound to a group.
type Choice struct{ Group, Bound uint32 }

// Group is struct group with its hash table.
type Group struct {
	SourceNAT, Sticky, FailOpen bool
	Unresolved                  bool     // no next hop of its targets is known yet
	Slots                       []uint32 // target IDs
}

// Target is struct target.
type Target struct {
	ID        uint32
	Addr      netip.AddrPort
	Terminate bool
	Instance  uint32
	MAC       [6]byte

	NoTCP, NoUDP           bool   // outbound rules keep new flows from it
	ClientsTCP, ClientsUDP uint64 // the sets whose new flows it takes
}

// Counts are struct balancer_counts.
type Counts struct {
	NewFlowCountTCP, NewFlowCountUDP           uint64
	ProcessedBytesTCP, ProcessedBytesUDP       uint64
	ProcessedPackets                           uint64
	RejectedFlowCountTCP, RejectedFlowCountUDP uint64
	TCPClientResetCount, TCPELBResetCount      uint64
	TCPTargetResetCount                        uint64
	PortAllocationErrorCount                   uint64
	UnhealthyRoutingFlowCount                  uint64

	SecurityGroupBlockedFlowCountInboundTCP  uint64
	SecurityGroupBlockedFlowCountInboundUDP  uint64
	SecurityGroupBlockedFlowCountInboundICMP uint64
	SecurityGroupBlockedFlowCountOutboundTCP uint64
	SecurityGroupBlockedFlowCountOutboundUDP uint64
}

// Limiter is struct limiter.
type Limiter struct{ Refilled, Tokens uint64 }

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// Process does with a frame what the program does. The frame is not changed; out
// is the frame afterwards.
func (m *Maps) Process(frame []byte) (action Action, out []byte) {
	r := &run{Maps: m, frame: append([]byte(nil), frame...)}
	action = r.edge()
	return action, r.frame
}

// ProcessEgress does with a frame that this machine sends what the program at
// egress does.
func (m *Maps) ProcessEgress(frame []byte) (action Action, out []byte) {
	r := &run{Maps: m, frame: append([]byte(nil), frame...), egress: true}
	action = r.edge()
	return action, r.frame
}

// run is the way of one frame through the program.
type run struct {
	*Maps
	egress bool // the other hook
	frame  []byte
	p      packet
}

func (r *run) verdict(a Action, reason string) Action {
	r.Reasons[reason]++
	return a
}

func (r *run) drop(reason string) Action { return r.verdict(Drop, "drop_"+reason) }
func (r *run) event(name string)         { r.Events[name]++ }

func (r *run) pass(reason string) Action {
	if r.egress {
		reason = "own"
	}
	return r.verdict(Pass, "pass_"+reason)
}

// back sends the frame to where it came from.
func (r *run) back(reason string) Action {
	if r.egress {
		return r.verdict(Up, reason)
	}
	return r.verdict(TX, reason)
}

// forward sends the frame on to a next hop, which may be this machine.
func (r *run) forward(mac [6]byte, reason string) Action {
	switch here := mac == r.Settings.MAC; {
	case here && r.egress:
		return r.verdict(Up, reason)
	case here:
		return r.verdict(Pass, reason)
	}
	return r.verdict(TX, reason)
}

func (r *run) count(l Listener) *Counts { return r.counts(l.Balancer) }

func (r *run) counts(balancer uint32) *Counts {
	c := r.Balancers[balancer]
	if c == nil {
		c = &Counts{}
		r.Balancers[balancer] = c
	}
	return c
}

func (r *run) edge() Action {
	if len(r.frame) < 14 {
		return r.pass("truncated")
	}
	switch be16(r.frame[12:]) {
	case 0x0800, 0x86dd:
		return r.ip()
	case 0x0806:
		return r.arp()
	}
	return r.pass("not_ip")
}

func (r *run) ip() Action {
	kind := r.p.parse(r.frame)
	p := &r.p
	switch {
	case kind == truncated:
		return r.pass("truncated")
	case kind == isICMP && p.v6 && p.icmpType == 135:
		return r.solicitation()
	case !r.egress && [6]byte(r.frame[:6]) != r.Settings.MAC, r.egress && p.mac != r.Settings.MAC:
		return r.pass("other_mac")
	case p.martian():
		return r.unwanted("martian")
	case kind == isICMP:
		return r.icmp()
	case kind == later:
		return r.later()
	case kind == fragment:
		return r.unwanted("fragment")
	case kind == protocol:
		return r.unwanted("protocol")
	case kind == malformed:
		return r.unwanted("malformed")
	}
	if l, ok := r.listener(p); ok {
		return r.fromClient(l)
	}
	return r.fromTarget()
}

func (r *run) unwanted(reason string) Action {
	if r.VIPs[r.p.dst] {
		return r.drop(reason)
	}
	return r.pass("no_flow")
}

func (r *run) listener(p *packet) (Listener, bool) {
	id, ok := r.Keys[ListenerKey{netip.AddrPortFrom(p.dst, p.dport), p.proto}]
	if !ok {
		return Listener{}, false
	}
	l, ok := r.Listeners[id]
	return l, ok
}

func (r *run) mayAnswer() bool {
	l, s := &r.Limiter, r.Settings
	if r.Now > l.Refilled {
		l.Tokens = min(s.AnswersBurst, l.Tokens+min(s.AnswersBurst, r.Now-l.Refilled)*s.AnswersPerJiffy)
		l.Refilled = r.Now
	}
	if l.Tokens == 0 {
		return false
	}
	l.Tokens--
	return true
}
