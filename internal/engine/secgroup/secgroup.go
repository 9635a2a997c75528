// Package secgroup decides what security groups allow.
//
// Rules of the groups that apply to one interface are compiled together into a
// Set, for one direction. A Set answers two questions about a kind of traffic:
// Allows says whether one peer may pass, Peers lists all that may. They agree,
// so that what a packet filter is told is what a health check obeys.
//
// Invariants: pure; groups only ever allow, so more rules never allow less; the
// Set without rules allows nothing, as a security group without rules does.
package secgroup

import (
	"net/netip"
	"slices"
	"strconv"
)

// Rule allows traffic from or to a peer: Peer, or the members of PeerGroup.
type Rule struct {
	Protocol  string // tcp, udp, icmp, icmpv6, a number of IANA's, or -1 for all
	From, To  int32  // first and last port, or ICMP type and code; -1 for all
	Peer      netip.Prefix
	PeerGroup string // a group's ID; with it Peer is invalid
}

// Traffic is what rules tell apart beside the peer: the IP protocol and the
// destination port, or type and code of an ICMP message.
type Traffic struct {
	protocol uint8
	port     uint16
}

// Numbers of IP protocols (IANA).
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// TCP is traffic to a TCP port.
func TCP(port uint16) Traffic { return Traffic{protoTCP, port} }

// UDP is traffic to a UDP port.
func UDP(port uint16) Traffic { return Traffic{protoUDP, port} }

// ICMP is messages of a type and code over IPv4.
func ICMP(kind, code uint8) Traffic { return Traffic{protoICMP, message(kind, code)} }

// ICMPv6 is messages of a type and code over IPv6.
func ICMPv6(kind, code uint8) Traffic { return Traffic{protoICMPv6, message(kind, code)} }

// message puts type and code where ports have their number: all codes of a type
// are one range.
func message(kind, code uint8) uint16 { return uint16(kind)<<8 | uint16(code) }

// Set is rules of one direction, compiled.
type Set struct{ rules []rule }

type rule struct {
	anyProtocol bool
	protocol    uint8
	first, last uint16
	peers       []netip.Prefix
}

// Everyone is the prefixes that hold every address.
func Everyone() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// Compile makes a set of rules. references says which addresses a rule means
// that names a group: those of the group's members, or Everyone where the peer is
// known to be a member. A rule whose protocol is unknown allows nothing.
func Compile(rules []Rule, references func(groupID string) []netip.Prefix) Set {
	var s Set
	for _, r := range rules {
		compiled, ok := compile(r)
		if !ok {
			continue
		}
		if r.Peer.IsValid() {
			compiled.peers = []netip.Prefix{r.Peer.Masked()}
		} else {
			compiled.peers = references(r.PeerGroup)
		}
		s.rules = append(s.rules, compiled)
	}
	return s
}

// numbers of protocols that rules call by name.
func number(protocol string) (uint8, bool) {
	switch protocol {
	case "icmp":
		return protoICMP, true
	case "tcp":
		return protoTCP, true
	case "udp":
		return protoUDP, true
	case "icmpv6":
		return protoICMPv6, true
	}
	n, err := strconv.ParseUint(protocol, 10, 8)
	return uint8(n), err == nil
}

func compile(r Rule) (rule, bool) {
	if r.Protocol == "-1" {
		return rule{anyProtocol: true, last: 0xffff}, true
	}
	protocol, ok := number(r.Protocol)
	out := rule{protocol: protocol, last: 0xffff}
	switch {
	case !ok:
		return rule{}, false
	case r.From < 0:
	case protocol == protoICMP || protocol == protoICMPv6:
		out.first, out.last = message(uint8(r.From), 0), message(uint8(r.From), 0xff)
		if r.To >= 0 {
			out.first, out.last = message(uint8(r.From), uint8(r.To)), message(uint8(r.From), uint8(r.To))
		}
	case protocol == protoTCP || protocol == protoUDP:
		out.first, out.last = uint16(r.From), uint16(r.To)
	}
	return out, true
}

func (r rule) matches(t Traffic) bool {
	return r.anyProtocol || r.protocol == t.protocol && r.first <= t.port && t.port <= r.last
}

// Allows reports whether traffic from or to a peer may pass.
func (s Set) Allows(t Traffic, peer netip.Addr) bool {
	peer = peer.Unmap()
	for _, r := range s.rules {
		if r.matches(t) && slices.ContainsFunc(r.peers, func(p netip.Prefix) bool { return p.Contains(peer) }) {
			return true
		}
	}
	return false
}

// Peers are all addresses whose traffic may pass, as prefixes in order, none
// inside another.
func (s Set) Peers(t Traffic) []netip.Prefix {
	peers := []netip.Prefix{}
	for _, r := range s.rules {
		if r.matches(t) {
			peers = append(peers, r.peers...)
		}
	}
	return Widest(peers)
}

// Widest sorts prefixes and drops those inside others. It changes what it is
// given.
func Widest(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	out := prefixes[:0]
	for _, p := range prefixes {
		// Prefixes nest or are apart, so the last one kept is the only candidate.
		if n := len(out); n == 0 || !out[n-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out
}
