package datapath

import (
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

const (
	ownVIP4, ownVIP6           = "198.18.0.103:80", "[2001:db8::103]:80"
	ownTarget4, ownTarget6     = "198.18.0.4:8080", "[2001:db8::4]:8080"
	ownClient4, ownClient6     = "198.18.0.4:1234", "[2001:db8::4]:1234"
	ownAddress4, ownInterface6 = "198.18.0.4", "2001:db8::4"
)

// colocated adds a load balancer whose only targets are those of the edge's own
// machine.
func (w *world) colocated() {
	w.vip(netip.MustParseAddr("198.18.0.103"), 2)
	w.vip(netip.MustParseAddr("2001:db8::103"), 2)
	w.target(makeID(1, 40), ownTarget4, 20, 0, 0)
	w.target(makeID(1, 41), ownTarget6, 21, 0, 0)
	w.own(makeID(1, 40))
	w.own(makeID(1, 41))
	w.group(20, 0, makeID(1, 40))
	w.group(21, 0, makeID(1, 41))
	for i, proto := range []uint8{ipProtoTCP, ipProtoUDP} {
		w.listener(makeID(1, uint32(40+i)), ownVIP4, proto, 350, edgeChoice{Group: 20, Bound: 1<<32 - 1})
		w.listener(makeID(1, uint32(42+i)), ownVIP6, proto, 350, edgeChoice{Group: 21, Bound: 1<<32 - 1})
	}
}

// fromHere makes the frames at odd places ones that this machine sends: those of
// a target here. With a client here it is those at even places.
func fromHere(frames [][]byte, first int) [][]byte {
	out := slices.Clone(frames)
	for i := first; i < len(out); i += 2 {
		out[i] = sent(out[i])
	}
	return out
}

// ownVerdicts are the rows of the verdict table about the edge's own machine.
func ownVerdicts() map[string]outcome {
	const data4, data6 = " ProcessedPackets ProcessedBytesTCP=50", " ProcessedPackets ProcessedBytesTCP=70"
	toOwn4 := fromHere(handshake(client4, ownVIP4, ownTarget4), 1)
	toOwn6 := fromHere(handshake(client6, ownVIP6, ownTarget6), 1)
	ofOwn4 := fromHere(handshake(ownClient4, vipTCP4, targetA4), 0)
	ofOwn6 := fromHere(handshake(ownClient6, vipTCP6, targetA6), 0)
	ping := icmp4(8, 0, ownAddress4, "198.18.0.100", []byte("ping"))
	tooBig := func(vip, client string) []byte { return tcp(vip, client, fACK, 501, 101, 900)[14:50] }
	dgram4, dgram6 := udp(client4, ownVIP4, 32), udp(client6, ownVIP6, 32)
	answer4, answer6 := udp(ownTarget4, client4, 32), udp(ownTarget6, client6, 32)
	return map[string]outcome{
		"SYN to a target of this machine":           {frame: toOwn4[0], want: model.Pass, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"SYN to a target of this machine over IPv6": {frame: toOwn6[0], want: model.Pass, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=60"},
		"its SYN-ACK":                            {before: toOwn4[:1], frame: toOwn4[1], want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=40"},
		"its client's proof":                     {before: toOwn4[:2], frame: toOwn4[2], want: model.Pass, moved: "sent_to_target NewFlowCountTCP ProcessedPackets ProcessedBytesTCP=40"},
		"data to a target of this machine":       {before: toOwn4, frame: tcp(client4, ownVIP4, fACK, 101, 501, 10), want: model.Pass, moved: "sent_to_target" + data4},
		"data to one over IPv6":                  {before: toOwn6, frame: tcp(client6, ownVIP6, fACK, 101, 501, 10), want: model.Pass, moved: "sent_to_target" + data6},
		"data of a target of this machine":       {before: toOwn4, frame: sent(tcp(ownTarget4, client4, fACK, 501, 101, 10)), want: model.TX, moved: "sent_to_client" + data4},
		"data of one over IPv6":                  {before: toOwn6, frame: sent(tcp(ownTarget6, client6, fACK, 501, 101, 10)), want: model.TX, moved: "sent_to_client" + data6},
		"data of one past the idle timeout":      {before: toOwn4, after: 351 * rigHZ, frame: sent(tcp(ownTarget4, client4, fACK, 501, 101, 10)), want: model.Up, moved: "reset_idle TCPELBResetCount"},
		"reset of a target of this machine":      {before: toOwn4, frame: sent(tcp(ownTarget4, client4, fRST, 501, 0, 0)), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=40 TCPTargetResetCount"},
		"datagram to a target of this machine":   {frame: dgram4, want: model.Pass, moved: "sent_to_target NewFlowCountUDP ProcessedPackets ProcessedBytesUDP=60"},
		"its answer":                             {before: [][]byte{dgram4}, frame: sent(answer4), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesUDP=60"},
		"its answer over IPv6":                   {before: [][]byte{dgram6}, frame: sent(answer6), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesUDP=80"},
		"later fragment to this machine":         {before: [][]byte{fragment(dgram4, 0, true, 7)}, frame: fragment(dgram4, 5, true, 7), want: model.Pass, moved: "sent_to_target ProcessedPackets ProcessedBytesUDP=60"},
		"later fragment of its answer":           {before: [][]byte{dgram4, sent(fragment(answer4, 0, true, 9))}, frame: sent(fragment(answer4, 5, false, 9)), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesUDP=60"},
		"later fragment of its answer over IPv6": {before: [][]byte{dgram6, sent(fragment(answer6, 0, true, 9))}, frame: sent(fragment(answer6, 5, false, 9)), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesUDP=88"},
		"path MTU for a target of this machine":  {before: toOwn4, frame: icmp4(3, 4, "10.1.1.1", "198.18.0.103", tooBig(ownVIP4, client4)), want: model.Pass, moved: "sent_icmp"},
		"port unreachable on this machine":       {before: [][]byte{dgram4}, frame: sent(icmp4(3, 3, ownAddress4, "203.0.113.10", udp(client4, ownTarget4, 1)[14:])), want: model.TX, moved: "sent_icmp"},
		"port unreachable on it over IPv6":       {before: [][]byte{dgram6}, frame: sent(icmp6(1, 4, ownInterface6, "3fff:0:0:2::10", udp(client6, ownTarget6, 1)[14:])), want: model.TX, moved: "sent_icmp"},

		"SYN of a client on this machine":           {frame: ofOwn4[0], want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"SYN of a client on this machine over IPv6": {frame: ofOwn6[0], want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=60"},
		"SYN-ACK for it":                            {before: ofOwn4[:1], frame: ofOwn4[1], want: model.Pass, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=40"},
		"its proof":                                 {before: ofOwn4[:2], frame: ofOwn4[2], want: model.TX, moved: "sent_to_target NewFlowCountTCP ProcessedPackets ProcessedBytesTCP=40"},
		"its data":                                  {before: ofOwn6, frame: sent(tcp(ownClient6, vipTCP6, fACK, 101, 501, 10)), want: model.TX, moved: "sent_to_target" + data6},
		"data for it":                               {before: ofOwn6, frame: tcp(targetA6, ownClient6, fACK, 501, 101, 10), want: model.Pass, moved: "sent_to_client" + data6},
		"its data of no flow":                       {frame: sent(tcp(ownClient4, vipTCP4, fACK, 101, 501, 10)), want: model.Up, moved: "reset_unknown TCPELBResetCount"},
		"the same with IPv4 options":                {frame: sent(segment(segmentOptions{src: ownClient4, dst: vipTCP4, flags: fACK, ipOptions: 4})), want: model.Drop, moved: "drop_error"},
		"its SYN to a listener without target":      {frame: sent(tcp(ownClient4, "198.18.0.100:82", fSYN, 1, 0, 0)), want: model.Up, moved: "reset_no_target RejectedFlowCountTCP TCPELBResetCount"},
		"its SYN to no listener":                    {frame: sent(tcp(ownClient4, "198.18.0.100:99", fSYN, 1, 0, 0)), want: model.Drop, moved: "drop_no_listener"},
		"its SYN outside the inbound rules":         {frame: sent(tcp(ownClient4, "198.18.0.101:80", fSYN, 1, 0, 0)), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundTCP"},
		"path MTU for a client on this machine":     {before: ofOwn4, frame: icmp4(3, 4, "10.1.1.1", ownAddress4, tcp(ownClient4, targetA4, fACK, 101, 501, 900)[14:50]), want: model.Pass, moved: "sent_icmp"},

		"client and target both on this machine":           {frame: sent(tcp(ownClient4, ownVIP4, fSYN, 1, 0, 0)), want: model.Up, moved: "hairpin sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"client and target both on this machine over IPv6": {frame: sent(udp(ownClient6, ownVIP6, 1)), want: model.Up, moved: "hairpin sent_to_target NewFlowCountUDP ProcessedPackets ProcessedBytesUDP=49"},

		"ARP request of this machine for a VIP":            {frame: sent(arpRequest(4, 100)), want: model.Up, moved: "sent_neighbor"},
		"ARP request of this machine for another address":  {frame: sent(arpRequest(4, 10)), want: model.Pass, moved: "pass_own"},
		"announcement of a VIP by this machine":            {frame: sent(arpRequest(100, 100)), want: model.Pass, moved: "pass_own"},
		"solicitation of this machine for a VIP":           {frame: sent(solicit("2001:db8::4", "2001:db8::100", true)), want: model.Up, moved: "sent_neighbor"},
		"solicitation of this machine for another address": {frame: sent(solicit("2001:db8::4", "2001:db8::10", true)), want: model.Pass, moved: "pass_own"},
		"echo request of this machine":                     {echo: true, frame: sent(ping), want: model.Up, moved: "sent_echo"},
		"what this machine sends elsewhere":                {frame: sent(tcp(ownClient4, "198.18.0.10:22", fSYN, 1, 0, 0)), want: model.Pass, moved: "pass_own"},
		"VLAN tag in what it sends":                        {frame: sent(edited(tcp(ownClient4, vipTCP4, fSYN, 1, 0, 0), func(f []byte) { f[12], f[13] = 0x81, 0 })), want: model.Pass, moved: "pass_own"},
	}
}
