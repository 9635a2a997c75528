package cost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
)

// frameSize is FRAME in bpf/bench.bpf.c: a small packet, as most are.
const frameSize = 80

const (
	tcp = 6
	udp = 17

	flagSYN = 0x02
	flagACK = 0x10
)

// frameEnds are source and destination of a packet.
type frameEnds struct{ src, dst netip.AddrPort }

// Traffic is flows of one protocol to one listener.
type Traffic struct {
	VIP   netip.AddrPort
	UDP   bool
	Flows int // 1 to 1,048,576

	targets []uint32       // last four bytes of each flow's target, as in memory
	target  netip.AddrPort // of some flow
}

// networks hold clients by the last four bytes of their addresses.
var (
	network4 = [4]byte{}
	network6 = netip.MustParseAddr("3fff::").As16()
)

// firstClient is the last four bytes of flow 0's client. Kinds that open flows
// have clients of their own, so that they meet no flow that is there already.
func firstClient(k Kind) uint32 {
	switch k {
	case Opening:
		return 11 << 24
	case OpeningInFlood:
		return 12 << 24
	default:
		return 10 << 24
	}
}

// client is where flow i of a kind comes from, as in bpf/bench.bpf.c.
func (t *Traffic) client(k Kind, i int) netip.AddrPort {
	port := uint16(1024 + i&0x7fff)
	if t.VIP.Addr().Is4() {
		a := network4
		binary.BigEndian.PutUint32(a[:], firstClient(k)+uint32(i))
		return netip.AddrPortFrom(netip.AddrFrom4(a), port)
	}
	a := network6
	binary.BigEndian.PutUint32(a[12:], firstClient(k)+uint32(i))
	return netip.AddrPortFrom(netip.AddrFrom16(a), port)
}

// frame is a packet of flow 0: the loop makes those of others from it.
func (t *Traffic) frame(edge net.HardwareAddr, k Kind) []byte {
	ends, s := frameEnds{t.client(k, 0), t.VIP}, segment{flags: flagACK}
	if k == FromTarget {
		ends = frameEnds{t.target, t.client(k, 0)}
	}
	if k.opens() {
		s.flags = flagSYN
	}
	return t.packet(edge, ends, s)
}

// segment is what matters of a TCP header.
type segment struct {
	flags    byte
	seq, ack uint32
}

// packet builds a frame. Its checksums are arbitrary: the program changes them by
// difference, whatever they are, but for a UDP checksum of zero.
func (t *Traffic) packet(edge net.HardwareAddr, ends frameEnds, s segment) []byte {
	f := make([]byte, frameSize)
	copy(f, edge)
	copy(f[6:], net.HardwareAddr{2, 0, 0, 0, 0, 9})
	l3 := f[14:]
	var l4 []byte
	proto := byte(tcp)
	if t.UDP {
		proto = udp
	}
	if ends.src.Addr().Is4() {
		binary.BigEndian.PutUint16(f[12:], 0x0800)
		l3[0], l3[8], l3[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(l3[2:], uint16(len(l3)))
		copy(l3[12:], ends.src.Addr().AsSlice())
		copy(l3[16:], ends.dst.Addr().AsSlice())
		l4 = l3[20:]
	} else {
		binary.BigEndian.PutUint16(f[12:], 0x86dd)
		l3[0], l3[6], l3[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(l3[4:], uint16(len(l3)-40))
		copy(l3[8:], ends.src.Addr().AsSlice())
		copy(l3[24:], ends.dst.Addr().AsSlice())
		l4 = l3[40:]
	}
	t.putL4(l4, ends, s)
	return f
}

func (t *Traffic) putL4(l4 []byte, ends frameEnds, s segment) {
	binary.BigEndian.PutUint16(l4, ends.src.Port())
	binary.BigEndian.PutUint16(l4[2:], ends.dst.Port())
	if t.UDP {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		binary.BigEndian.PutUint16(l4[6:], 1)
		return
	}
	binary.BigEndian.PutUint32(l4[4:], s.seq)
	binary.BigEndian.PutUint32(l4[8:], s.ack)
	l4[12], l4[13] = 5<<4, s.flags
}

// endsOf reads source and destination of a frame that packet has built.
func endsOf(f []byte) (e frameEnds) {
	l3 := f[14:]
	src, dst, l4 := l3[12:16], l3[16:20], l3[20:]
	if binary.BigEndian.Uint16(f[12:]) == 0x86dd {
		src, dst, l4 = l3[8:24], l3[24:40], l3[40:]
	}
	a, _ := netip.AddrFromSlice(src)
	b, _ := netip.AddrFromSlice(dst)
	e.src = netip.AddrPortFrom(a, binary.BigEndian.Uint16(l4))
	e.dst = netip.AddrPortFrom(b, binary.BigEndian.Uint16(l4[2:]))
	return e
}

// putTargets tells the loop which target answers for which flow.
func (t *Traffic) putTargets(m *ebpf.Map) error {
	keys := make([]uint32, len(t.targets))
	for i := range keys {
		keys[i] = uint32(i)
	}
	_, err := m.BatchUpdate(keys, t.targets, nil)
	return err
}

// Establish opens all flows of the traffic as client and target would, and says
// how many the program had no room for.
func (m *Meter) Establish(t *Traffic) (refused int, err error) {
	if t.Flows < 1 || t.Flows > maxFlows {
		return 0, fmt.Errorf("establish %d flows: the number must be 1 to %d", t.Flows, maxFlows)
	}
	t.targets = make([]uint32, t.Flows)
	for i := range t.Flows {
		target, ok, err := m.handshake(t, t.client(FromClient, i))
		if err != nil {
			return refused, fmt.Errorf("establish flow %d: %w", i, err)
		}
		if !ok {
			refused++
		}
		last := target.Addr().AsSlice()
		t.targets[i] = binary.NativeEndian.Uint32(last[len(last)-4:])
		t.target = target
	}
	return refused, nil
}

// errWrongWay says that a packet did not come out as a working edge sends it.
var errWrongWay = errors.New("the edge sent a packet of the handshake another way")

// handshake opens one flow. It is not ok when the last packet was refused: the
// table of established flows has no room.
func (m *Meter) handshake(t *Traffic, client netip.AddrPort) (target netip.AddrPort, ok bool, err error) {
	in, back := frameEnds{client, t.VIP}, frameEnds{dst: client}
	out, err := m.send(t.packet(m.mac, in, segment{flags: flagSYN, seq: 1}))
	if err != nil {
		return target, false, err
	}
	if target = out.dst; out.src != client || target == t.VIP {
		return target, false, fmt.Errorf("%w: first packet from %v to %v", errWrongWay, out.src, out.dst)
	}
	back.src = target
	out, err = m.send(t.packet(m.mac, back, segment{flags: flagSYN | flagACK, seq: 999, ack: 2}))
	if err != nil {
		return target, false, err
	}
	if out != (frameEnds{t.VIP, client}) {
		return target, false, fmt.Errorf("%w: answer from %v to %v", errWrongWay, out.src, out.dst)
	}
	out, err = m.send(t.packet(m.mac, in, segment{flags: flagACK, seq: 2, ack: 1000}))
	return target, out == frameEnds{client, target}, err
}

func (m *Meter) send(frame []byte) (frameEnds, error) {
	opts := ebpf.RunOptions{Data: frame, DataOut: bytes.Clone(frame)}
	if _, err := m.edge.Run(&opts); err != nil {
		return frameEnds{}, err
	}
	return endsOf(opts.DataOut), nil
}
