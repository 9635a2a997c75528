package datapath

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// simple is a world with one target behind everything, so that the outcome of a
// packet can be written down.
func simple(echo bool) *world {
	w := newWorld(rand.New(rand.NewPCG(1, 2)), echo)
	w.vip(netip.MustParseAddr("198.18.0.100"), 0)
	w.vip(netip.MustParseAddr("2001:db8::100"), 0)
	w.target(makeID(1, 0), "198.18.0.21:8080", 0, 5, 0)
	w.target(makeID(1, 1), "[2001:db8::21]:8080", 1, 5, 0)
	w.target(makeID(1, 2), "198.18.0.21:8080", 2, 5, 0)
	w.target(makeID(1, 3), "198.18.0.22:8080", 5, 0, targetTerminate)
	w.group(0, 0, makeID(1, 0))
	w.group(1, 0, makeID(1, 1))
	w.group(2, groupSourceNAT|groupFailOpen, makeID(1, 2))
	w.group(3, 0)
	w.group(5, 0, makeID(1, 3))
	w.group(9, groupUnresolved)
	all := func(group uint32) edgeChoice { return edgeChoice{Group: group, Bound: 1<<32 - 1} }
	for i, l := range []struct {
		at    string
		proto uint8
		group uint32
	}{
		{"198.18.0.100:80", ipProtoTCP, 0}, {"[2001:db8::100]:80", ipProtoTCP, 1}, {"198.18.0.100:53", ipProtoUDP, 0},
		{"[2001:db8::100]:53", ipProtoUDP, 1}, {"198.18.0.100:81", ipProtoTCP, 2}, {"198.18.0.100:82", ipProtoTCP, 3},
		{"198.18.0.100:83", ipProtoUDP, 3}, {"198.18.0.100:84", ipProtoTCP, 1}, {"198.18.0.100:85", ipProtoTCP, 5},
		{"198.18.0.100:86", ipProtoTCP, 0}, {"198.18.0.100:87", ipProtoUDP, 5}, {"198.18.0.100:88", ipProtoTCP, 9},
	} {
		w.listener(makeID(1, uint32(i)), l.at, l.proto, 350, all(l.group))
	}
	w.guarded()
	w.proxied()
	w.colocated()
	prefix := netip.MustParsePrefix("198.18.1.0/24")
	w.contents.prefixes[prefix], w.model.Prefixes[prefix] = 5, 5
	return w
}

// Tuples of the simple world.
const (
	client4, client6   = "203.0.113.10:1234", "[3fff:0:0:2::10]:1234"
	vipTCP4, vipTCP6   = "198.18.0.100:80", "[2001:db8::100]:80"
	vipUDP4, vipUDP6   = "198.18.0.100:53", "[2001:db8::100]:53"
	targetA4, targetA6 = "198.18.0.21:8080", "[2001:db8::21]:8080"
)

// handshake is what establishes a flow through vip to target.
func handshake(client, vip, target string) [][]byte {
	return [][]byte{
		tcp(client, vip, fSYN, 100, 0, 0),
		tcp(target, client, fSYN|fACK, 500, 101, 0),
		tcp(client, vip, fACK, 101, 501, 0),
	}
}

// outcome is one row of the verdict table in bpf/README.md.
type outcome struct {
	before [][]byte     // frames that lead up to it
	after  uint64       // jiffies later
	frame  []byte       // comes the frame
	want   model.Action // and this happens
	moved  string       // exactly these counters move, by one unless said otherwise
	echo   bool         // with echo replies on
	closed bool         // after the rules that let the frames before in are gone
	local  bool         // after their listener has moved to user space
	gone   bool         // after their listener was deleted

	restoring bool // while flows of an older layout are copied
}

func verdicts() map[string]outcome {
	established4, established6 := handshake(client4, vipTCP4, targetA4), handshake(client6, vipTCP6, targetA6)
	big := tcp(targetA4, client4, fACK, 501, 101, 900)
	return map[string]outcome{
		"ARP request for a VIP":                     {frame: arpRequest(10, 100), want: model.TX, moved: "sent_neighbor"},
		"ARP request for another address":           {frame: arpRequest(10, 4), want: model.Pass, moved: "pass_not_ip"},
		"ARP probe of a host that wants the VIP":    {frame: edited(arpRequest(0, 100), func(f []byte) { copy(f[28:32], make([]byte, 4)) }), want: model.TX, moved: "sent_neighbor"},
		"ARP announcement of a VIP by someone else": {frame: arpRequest(100, 100), want: model.Pass, moved: "pass_not_ip"},
		"ARP cut short":                             {frame: arpRequest(10, 100)[:40], want: model.Pass, moved: "pass_truncated"},
		"solicitation for a VIP":                    {frame: solicit("2001:db8::10", "2001:db8::100", true), want: model.TX, moved: "sent_neighbor"},
		"solicitation without its option":           {frame: solicit("2001:db8::10", "2001:db8::100", false), want: model.TX, moved: "sent_neighbor"},
		"duplicate address detection of a VIP":      {frame: solicit("::", "2001:db8::100", false), want: model.TX, moved: "sent_neighbor"},
		"solicitation for another address":          {frame: solicit("2001:db8::10", "2001:db8::4", true), want: model.Pass, moved: "pass_no_flow"},
		"solicitation from beyond the segment":      {frame: edited(solicit("2001:db8::10", "2001:db8::100", true), func(f []byte) { f[21] = 254 }), want: model.Pass, moved: "pass_no_flow"},

		"VLAN tag":                    {frame: edited(tcp(client4, vipTCP4, fSYN, 1, 0, 0), func(f []byte) { f[12], f[13] = 0x81, 0 }), want: model.Pass, moved: "pass_not_ip"},
		"flooded, another's MAC":      {frame: segment(segmentOptions{src: client4, dst: vipTCP4, flags: fSYN, toMAC: clientMAC}), want: model.Pass, moved: "pass_other_mac"},
		"IPv4 header cut short":       {frame: tcp(client4, vipTCP4, fSYN, 1, 0, 0)[:30], want: model.Pass, moved: "pass_truncated"},
		"TCP header cut short":        {frame: tcp(client4, vipTCP4, fSYN, 1, 0, 0)[:50], want: model.Drop, moved: "drop_malformed"},
		"total length beyond frame":   {frame: edited(tcp(client4, vipTCP4, fSYN, 1, 0, 0), func(f []byte) { f[17]++ }), want: model.Drop, moved: "drop_malformed"},
		"header length below minimum": {frame: edited(tcp(client4, vipTCP4, fSYN, 1, 0, 0), func(f []byte) { f[14] = 0x44 }), want: model.Drop, moved: "drop_malformed"},
		"TCP offset beyond packet":    {frame: edited(tcp(client4, vipTCP4, fSYN, 1, 0, 0), func(f []byte) { f[46] = 0xf0 }), want: model.Drop, moved: "drop_malformed"},
		"UDP length beyond packet":    {frame: edited(udp(client4, vipUDP4, 4), func(f []byte) { f[39]++ }), want: model.Drop, moved: "drop_malformed"},
		"IPv6 length beyond frame":    {frame: edited(tcp(client6, vipTCP6, fSYN, 1, 0, 0), func(f []byte) { f[19]++ }), want: model.Drop, moved: "drop_malformed"},
		"malformed, not for a VIP":    {frame: tcp(client4, "198.18.0.4:80", fSYN, 1, 0, 0)[:50], want: model.Pass, moved: "pass_no_flow"},
		"first fragment":              {frame: refill(edited(tcp(client4, vipTCP4, fSYN, 1, 0, 0), func(f []byte) { f[20] = 0x20 })), want: model.Drop, moved: "drop_fragment"},
		"later fragment":              {frame: refill(edited(udp(client4, vipUDP4, 0), func(f []byte) { f[21] = 9 })), want: model.Drop, moved: "drop_fragment"},
		"IPv6 fragment":               {frame: edited(udp(client6, vipUDP6, 0), func(f []byte) { f[20] = 44 }), want: model.Drop, moved: "drop_fragment"},
		"IPv6 hop-by-hop options":     {frame: edited(udp(client6, vipUDP6, 0), func(f []byte) { f[20] = 0 }), want: model.Drop, moved: "drop_protocol"},
		"SCTP":                        {frame: edited(udp(client4, vipUDP4, 0), func(f []byte) { f[23] = 132 }), want: model.Drop, moved: "drop_protocol"},
		"loopback as source":          {frame: tcp("127.0.0.1:1", vipTCP4, fSYN, 1, 0, 0), want: model.Drop, moved: "drop_martian"},
		"IPv4 in IPv6 disguise":       {frame: segment(segmentOptions{src: "[::1:203.0.113.10]:1", dst: vipTCP6, flags: fSYN}), want: model.Drop, moved: "drop_martian"},
		"padding behind the packet":   {frame: append(tcp(client4, vipTCP4, fSYN, 1, 0, 0), make([]byte, 6)...), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"IPv4 options":                {frame: segment(segmentOptions{src: client4, dst: vipTCP4, flags: fSYN, ipOptions: 8}), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=48"},
		"port without listener":       {frame: tcp(client4, "198.18.0.100:99", fSYN, 1, 0, 0), want: model.Drop, moved: "drop_no_listener"},
		"TCP to a UDP listener":       {frame: tcp(client4, vipUDP4, fSYN, 1, 0, 0), want: model.Drop, moved: "drop_no_listener"},
		"neither VIP nor reply":       {frame: tcp(client4, "198.18.0.4:22", fACK, 1, 1, 0), want: model.Pass, moved: "pass_no_flow"},

		"SYN":                                      {frame: tcp(client4, vipTCP4, fSYN, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"SYN over IPv6":                            {frame: tcp(client6, vipTCP6, fSYN, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=60"},
		"SYN with ECN":                             {frame: tcp(client4, vipTCP4, fSYN|0xc0, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"SYN again":                                {before: established4[:1], frame: established4[0], want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"SYN and FIN":                              {frame: tcp(client4, vipTCP4, fSYN|fFIN, 1, 0, 0), want: model.Drop, moved: "drop_flags"},
		"no TCP flag at all":                       {frame: tcp(client4, vipTCP4, 0, 1, 0, 0), want: model.Drop, moved: "drop_flags"},
		"SYN to a listener without target":         {frame: tcp(client4, "198.18.0.100:82", fSYN, 1, 0, 0), want: model.TX, moved: "reset_no_target RejectedFlowCountTCP TCPELBResetCount"},
		"SYN before a next hop is known":           {frame: tcp(client4, "198.18.0.100:88", fSYN, 1, 0, 0), want: model.Drop, moved: "drop_unresolved"},
		"datagram without target":                  {frame: udp(client4, "198.18.0.100:83", 0), want: model.Drop, moved: "drop_no_target RejectedFlowCountUDP"},
		"target of the other family":               {frame: tcp(client4, "198.18.0.100:84", fSYN, 1, 0, 0), want: model.TX, moved: "reset_no_target RejectedFlowCountTCP TCPELBResetCount"},
		"SYN-ACK of the target":                    {before: established4[:1], frame: established4[1], want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=40"},
		"ACK that proves the client":               {before: established4[:2], frame: established4[2], want: model.TX, moved: "sent_to_target NewFlowCountTCP ProcessedPackets ProcessedBytesTCP=40"},
		"data that proves the client":              {before: established4[:2], frame: tcp(client4, vipTCP4, fACK, 101, 501, 10), want: model.TX, moved: "sent_to_target NewFlowCountTCP ProcessedPackets ProcessedBytesTCP=50"},
		"ACK of another sequence number":           {before: established4[:2], frame: tcp(client4, vipTCP4, fACK, 101, 502, 0), want: model.TX, moved: "reset_half_open TCPELBResetCount"},
		"ACK before the SYN-ACK":                   {before: established4[:1], frame: tcp(client4, vipTCP4, fACK, 101, 0, 0), want: model.TX, moved: "reset_half_open TCPELBResetCount"},
		"RST while half open":                      {before: established4[:2], frame: tcp(client4, vipTCP4, fRST, 101, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40 TCPClientResetCount"},
		"target refuses":                           {before: established4[:1], frame: tcp(targetA4, client4, fRST|fACK, 0, 101, 0), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=40 TCPTargetResetCount"},
		"half-open flow timed out":                 {before: established4[:2], after: 31 * rigHZ, frame: established4[2], want: model.TX, moved: "reset_unknown TCPELBResetCount"},
		"data of an unknown flow":                  {frame: tcp(client4, vipTCP4, fACK, 1, 1, 5), want: model.TX, moved: "reset_unknown TCPELBResetCount"},
		"data of no flow while flows are restored": {restoring: true, frame: tcp(client4, vipTCP4, fACK, 1, 1, 5), want: model.Drop, moved: "drop_restoring"},
		"SYN while flows are restored":             {restoring: true, frame: tcp(client4, vipTCP4, fSYN, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"SYN-ACK from a client":                    {frame: tcp(client4, vipTCP4, fSYN|fACK, 1, 1, 0), want: model.TX, moved: "reset_unknown TCPELBResetCount"},
		"RST of an unknown flow":                   {frame: tcp(client4, vipTCP4, fRST, 1, 0, 0), want: model.Drop, moved: "drop_unknown_reset"},
		"reply of an unknown flow":                 {frame: tcp(targetA4, client4, fACK, 1, 1, 5), want: model.Pass, moved: "pass_no_flow"},

		"data of the client":                  {before: established4, frame: tcp(client4, vipTCP4, fACK|8, 101, 501, 100), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=140"},
		"data of the target":                  {before: established4, frame: tcp(targetA4, client4, fACK, 501, 101, 1000), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=1040"},
		"data over IPv6":                      {before: established6, frame: tcp(client6, vipTCP6, fACK, 101, 501, 1), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=61"},
		"data of the target over IPv6":        {before: established6, frame: tcp(targetA6, client6, fACK, 501, 101, 9), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=69"},
		"SYN of an established tuple":         {before: established4, frame: tcp(client4, vipTCP4, fSYN, 7, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"client resets":                       {before: established4, frame: tcp(client4, vipTCP4, fRST, 101, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40 TCPClientResetCount"},
		"target resets":                       {before: established4, frame: tcp(targetA4, client4, fRST, 501, 0, 0), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=40 TCPTargetResetCount"},
		"first packet after the idle timeout": {before: established4, after: 351 * rigHZ, frame: tcp(client4, vipTCP4, fACK, 101, 501, 3), want: model.TX, moved: "reset_idle TCPELBResetCount"},
		"the same from the target":            {before: established4, after: 351 * rigHZ, frame: tcp(targetA4, client4, fACK, 501, 101, 3), want: model.TX, moved: "reset_idle TCPELBResetCount"},
		"SYN after the idle timeout":          {before: established4, after: 351 * rigHZ, frame: tcp(client4, vipTCP4, fSYN, 9, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"just before the idle timeout":        {before: established4, after: 350 * rigHZ, frame: tcp(client4, vipTCP4, fACK, 101, 501, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"last ACK of a closed flow":           {before: append(slices.Clone(established4), tcp(client4, vipTCP4, fFIN|fACK, 101, 501, 0), tcp(targetA4, client4, fFIN|fACK, 501, 102, 0)), frame: tcp(client4, vipTCP4, fACK, 102, 502, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"packet long after a closed flow":     {before: append(slices.Clone(established4), tcp(client4, vipTCP4, fFIN|fACK, 101, 501, 0), tcp(targetA4, client4, fFIN|fACK, 501, 102, 0)), after: 11 * rigHZ, frame: tcp(client4, vipTCP4, fACK, 102, 502, 0), want: model.TX, moved: "reset_unknown TCPELBResetCount"},
		"half-closed flow lives on":           {before: append(slices.Clone(established4), tcp(client4, vipTCP4, fFIN|fACK, 101, 501, 0)), after: 300 * rigHZ, frame: tcp(targetA4, client4, fACK, 501, 102, 7), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=47"},
		"SYN to a terminated target":          {frame: tcp(client4, "198.18.0.100:85", fSYN, 1, 0, 0), want: model.TX, moved: "reset_terminated TCPELBResetCount"},
		"datagram to a terminated target":     {frame: udp(client4, "198.18.0.100:87", 0), want: model.Drop, moved: "drop_terminated NewFlowCountUDP"},

		"datagram":                     {frame: udp(client4, vipUDP4, 30), want: model.TX, moved: "sent_to_target NewFlowCountUDP ProcessedPackets ProcessedBytesUDP=58"},
		"datagram over IPv6":           {frame: udp(client6, vipUDP6, 30), want: model.TX, moved: "sent_to_target NewFlowCountUDP ProcessedPackets ProcessedBytesUDP=78"},
		"datagram without checksum":    {frame: edited(udp(client4, vipUDP4, 30), func(f []byte) { f[40], f[41] = 0, 0 }), want: model.TX, moved: "sent_to_target NewFlowCountUDP ProcessedPackets ProcessedBytesUDP=58"},
		"answer to a datagram":         {before: [][]byte{udp(client4, vipUDP4, 1)}, frame: udp(targetA4, client4, 2), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesUDP=30"},
		"second datagram after answer": {before: [][]byte{udp(client4, vipUDP4, 1), udp(targetA4, client4, 2)}, frame: udp(client4, vipUDP4, 1), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesUDP=29"},
		"datagram after two minutes":   {before: [][]byte{udp(client4, vipUDP4, 1), udp(targetA4, client4, 2)}, after: 351 * rigHZ, frame: udp(client4, vipUDP4, 1), want: model.TX, moved: "sent_to_target NewFlowCountUDP ProcessedPackets ProcessedBytesUDP=29"},

		"source NAT, failing open":            {frame: tcp(client4, "198.18.0.100:81", fSYN, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40 UnhealthyRoutingFlowCount"},
		"client and target on one instance":   {frame: tcp("198.18.1.7:1234", vipTCP4, fSYN, 1, 0, 0), want: model.TX, moved: "hairpin sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"5-tuple that the target has already": {before: established4, frame: tcp(client4, "198.18.0.100:86", fSYN, 1, 0, 0), want: model.TX, moved: "tuple_conflict sent_to_target ProcessedPackets ProcessedBytesTCP=40"},

		"fragmentation needed by a router":    {before: established4, frame: icmp4(3, 4, "10.1.1.1", "198.18.0.100", tcp(vipTCP4, client4, fACK, 501, 101, 900)[14:50]), want: model.TX, moved: "sent_icmp"},
		"packet too big by a router":          {before: established6, frame: icmp6(2, 0, "3fff::1", "2001:db8::100", tcp(vipTCP6, client6, fACK, 501, 101, 900)[14:80]), want: model.TX, moved: "sent_icmp"},
		"target's port unreachable":           {before: [][]byte{udp(client4, vipUDP4, 1)}, frame: icmp4(3, 3, "198.18.0.21", "203.0.113.10", udp(client4, targetA4, 1)[14:]), want: model.TX, moved: "sent_icmp"},
		"target's port unreachable over IPv6": {before: [][]byte{udp(client6, vipUDP6, 1)}, frame: icmp6(1, 4, "2001:db8::21", "3fff:0:0:2::10", udp(client6, targetA6, 1)[14:]), want: model.TX, moved: "sent_icmp"},
		"error about an unknown flow":         {frame: icmp4(3, 4, "10.1.1.1", "198.18.0.100", big[14:50]), want: model.Drop, moved: "drop_icmp_flow"},
		"error that quotes too little":        {before: established4, frame: icmp4(3, 4, "10.1.1.1", "198.18.0.100", tcp(vipTCP4, client4, fACK, 501, 101, 0)[14:40]), want: model.Drop, moved: "drop_icmp_flow"},
		"error for another address":           {frame: icmp4(3, 4, "10.1.1.1", "198.18.0.4", big[14:50]), want: model.Pass, moved: "pass_no_flow"},
		"time exceeded":                       {frame: icmp4(11, 0, "10.1.1.1", "198.18.0.100", big[14:50]), want: model.Drop, moved: "drop_icmp_type"},
		"echo request":                        {frame: icmp4(8, 0, "203.0.113.10", "198.18.0.100", []byte("ping")), want: model.Drop, moved: "drop_echo"},

		"client inside the inbound rules":                  {frame: tcp(client4, "198.18.0.101:80", fSYN, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"client outside them":                              {frame: tcp("192.0.2.10:1", "198.18.0.101:80", fSYN, 1, 0, 0), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundTCP"},
		"client inside them over IPv6":                     {frame: tcp(client6, "[2001:db8::101]:80", fSYN, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=60"},
		"client outside them over IPv6":                    {frame: tcp("[2001:db8:9::1]:1", "[2001:db8::101]:80", fSYN, 1, 0, 0), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundTCP"},
		"datagram outside the inbound rules":               {frame: udp(client4, "198.18.0.101:80", 1), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundUDP"},
		"data of an unknown flow from outside the rules":   {frame: tcp("192.0.2.10:1", "198.18.0.101:80", fACK, 1, 1, 5), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundTCP"},
		"client that the target takes":                     {frame: tcp(client4, "198.18.0.101:81", fSYN, 1, 0, 0), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=40"},
		"client that the target does not take":             {frame: tcp("192.0.2.10:1", "198.18.0.101:81", fSYN, 1, 0, 0), want: model.Drop, moved: "drop_target_rules"},
		"datagram that the target does not take":           {frame: udp(client4, "198.18.0.101:81", 1), want: model.Drop, moved: "drop_target_rules"},
		"SYN outside the outbound rules":                   {frame: tcp(client4, "198.18.0.101:82", fSYN, 1, 0, 0), want: model.Drop, moved: "drop_outbound_rules SecurityGroupBlockedFlowCountOutboundTCP"},
		"datagram outside the outbound rules":              {frame: udp(client4, "198.18.0.101:82", 1), want: model.Drop, moved: "drop_outbound_rules SecurityGroupBlockedFlowCountOutboundUDP"},
		"data of a flow after the rules are gone":          {closed: true, before: established4, frame: tcp(client4, vipTCP4, fACK, 101, 501, 10), want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=50"},
		"its target's data":                                {closed: true, before: established4, frame: tcp(targetA4, client4, fACK, 501, 101, 10), want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=50"},
		"proof of a client after the rules are gone":       {closed: true, before: established4[:2], frame: established4[2], want: model.TX, moved: "sent_to_target NewFlowCountTCP ProcessedPackets ProcessedBytesTCP=40"},
		"path MTU of a flow after the rules are gone":      {closed: true, before: established4, frame: icmp4(3, 4, "10.1.1.1", "198.18.0.100", tcp(vipTCP4, client4, fACK, 501, 101, 900)[14:50]), want: model.TX, moved: "sent_icmp"},
		"new flow after the rules are gone":                {closed: true, before: established4, frame: tcp("203.0.113.10:9", vipTCP4, fSYN, 1, 0, 0), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundTCP"},
		"echo request inside the inbound rules":            {echo: true, frame: icmp4(8, 0, "203.0.113.10", "198.18.0.101", []byte("ping")), want: model.TX, moved: "sent_echo"},
		"echo request outside them":                        {echo: true, frame: icmp4(8, 0, "192.0.2.10", "198.18.0.101", []byte("ping")), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundICMP"},
		"echo request outside them over IPv6, answers off": {frame: icmp6(128, 0, "3fff::1", "2001:db8::101", []byte("ping")), want: model.Drop, moved: "drop_inbound_rules SecurityGroupBlockedFlowCountInboundICMP"},

		"echo request, answered":           {echo: true, frame: icmp4(8, 0, "203.0.113.10", "198.18.0.100", []byte("ping")), want: model.TX, moved: "sent_echo"},
		"echo request over IPv6, answered": {echo: true, frame: icmp6(128, 0, "3fff::1", "2001:db8::100", []byte("ping")), want: model.TX, moved: "sent_echo"},
	}
}

func TestVerdicts(t *testing.T) {
	r := newRig(t)
	all := verdicts()
	maps.Copy(all, localVerdicts())
	maps.Copy(all, fragmentVerdicts())
	maps.Copy(all, deletedVerdicts())
	maps.Copy(all, ownVerdicts())
	for _, name := range slices.Sorted(maps.Keys(all)) {
		tc := all[name]
		t.Run(name, func(t *testing.T) {
			w := simple(tc.echo)
			if tc.restoring {
				w.settings.Flags |= settingRestoring
				w.model.Settings.Restoring = true
			}
			r.install(t, w)
			for _, f := range tc.before {
				if action, _ := r.send(t, f); action == model.Drop {
					t.Fatal("a frame before was dropped")
				}
			}
			r.setClock(t, w, tc.after)
			if tc.closed {
				if err := r.store.put(contents{listeners: w.closed().contents.listeners}); err != nil {
					t.Fatal(err)
				}
			}
			if tc.gone {
				if err := r.store.put(contents{listeners: w.deleted().contents.listeners}); err != nil {
					t.Fatal(err)
				}
			}
			if tc.local {
				now := w.moved()
				if err := r.store.put(contents{listeners: now.contents.listeners, vips: now.contents.vips}); err != nil {
					t.Fatal(err)
				}
			}
			before := r.read(t)
			action, out := r.send(t, tc.frame)
			if action != tc.want {
				t.Errorf("action = %d, want %d", action, tc.want)
			}
			if isIP := out[13] == 0 || out[12] == 0x86; action != model.Drop && isIP && !strings.HasPrefix(tc.moved, "pass_") {
				checkSums(t, out)
			}
			if diff := cmp.Diff(want(tc.moved), moved(before, r.read(t))); diff != "" {
				t.Errorf("counters that moved (-want +got):\n%s", diff)
			}
		})
	}
}

// want reads "name name=3".
func want(text string) map[string]uint64 {
	out := map[string]uint64{}
	for word := range strings.FieldsSeq(text) {
		n := uint64(1)
		name, count, counted := strings.Cut(word, "=")
		if counted {
			_, _ = fmt.Sscan(count, &n)
		}
		out[name] = n
	}
	return out
}

func moved(before, after readings) map[string]uint64 {
	out := nonZero(after.reasons, before.reasons)
	maps.Copy(out, nonZero(after.events, before.events))
	for i := range after.balancers {
		maps.Copy(out, movedOf(subtract(after.balancers[i], before.balancers[i])))
	}
	return out
}

// movedOf is what counters of one load balancer moved by.
func movedOf(c BalancerCounters) map[string]uint64 {
	out := map[string]uint64{}
	for name, n := range map[string]uint64{
		"NewFlowCountTCP": c.NewFlowCountTCP, "NewFlowCountUDP": c.NewFlowCountUDP, "ProcessedBytesTCP": c.ProcessedBytesTCP,
		"ProcessedBytesUDP": c.ProcessedBytesUDP, "ProcessedPackets": c.ProcessedPackets, "RejectedFlowCountTCP": c.RejectedFlowCountTCP,
		"RejectedFlowCountUDP": c.RejectedFlowCountUDP, "TCPClientResetCount": c.TCPClientResetCount, "TCPELBResetCount": c.TCPELBResetCount,
		"TCPTargetResetCount": c.TCPTargetResetCount, "PortAllocationErrorCount": c.PortAllocationErrorCount, "UnhealthyRoutingFlowCount": c.UnhealthyRoutingFlowCount,
		"SecurityGroupBlockedFlowCountInboundTCP":  c.SecurityGroupBlockedFlowCountInboundTCP,
		"SecurityGroupBlockedFlowCountInboundUDP":  c.SecurityGroupBlockedFlowCountInboundUDP,
		"SecurityGroupBlockedFlowCountInboundICMP": c.SecurityGroupBlockedFlowCountInboundICMP,
		"SecurityGroupBlockedFlowCountOutboundTCP": c.SecurityGroupBlockedFlowCountOutboundTCP,
		"SecurityGroupBlockedFlowCountOutboundUDP": c.SecurityGroupBlockedFlowCountOutboundUDP,
	} {
		if n > 0 {
			out[name] = n
		}
	}
	return out
}

// Golden bytes: written down by hand from the RFCs, not by the model.
func TestFramesByteForByte(t *testing.T) {
	r := newRig(t)
	for name, tc := range map[string]struct {
		before [][]byte
		frame  []byte
		want   string
	}{
		"SYN goes to the target from the client": {
			frame: segment(segmentOptions{src: client4, dst: vipTCP4, flags: fSYN, seq: 1}),
			want:  hex.EncodeToString(segment(segmentOptions{src: client4, dst: targetA4, flags: fSYN, seq: 1, toMAC: [6]byte{2, 1, 0, 0, 0, 0}, fromMAC: rigMAC})),
		},
		"answer comes from the VIP": {
			before: handshake(client6, vipTCP6, targetA6)[:1], frame: handshake(client6, vipTCP6, targetA6)[1],
			want: hex.EncodeToString(segment(segmentOptions{src: vipTCP6, dst: client6, flags: fSYN | fACK, seq: 500, ack: 101, toMAC: clientMAC, fromMAC: rigMAC})),
		},
		"reset takes its sequence number from the ACK": {
			frame: tcp(client4, vipTCP4, fACK, 1000, 2000, 5),
			want: "020200000007" + "020000000001" + "0800" + "45000028" + "00004000" + "4006" + "384f" + "c6120064" + "cb00710a" +
				"0050" + "04d2" + "000007d0" + "00000000" + "5004" + "0000" + "a06d" + "0000",
		},
		"ARP reply": {
			frame: arpRequest(10, 100),
			want:  "020200000007" + "020000000001" + "0806" + "0001080006040002" + "020000000001" + "c6120064" + "020200000007" + "c612000a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.install(t, simple(false))
			for _, f := range tc.before {
				r.send(t, f)
			}
			_, out := r.send(t, tc.frame)
			if diff := cmp.Diff(tc.want, hex.EncodeToString(out)); diff != "" {
				t.Errorf("frame (-want +got):\n%s", diff)
			}
		})
	}
}
