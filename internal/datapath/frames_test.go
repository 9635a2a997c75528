package datapath

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// source draws packets. It looks at the model's flows to answer them. Draws are
// even, which rapid's are not: full tables need all the variety there is.
type source struct {
	rng *rand.Rand
	m   *model.Maps
}

func (s *source) pick(n int) int { return s.rng.IntN(n) }

func pickOf[T any](s *source, of []T) T { return of[s.pick(len(of))] }

func (s *source) frame() []byte {
	var f []byte
	switch s.pick(14) {
	case 0, 1, 2, 12, 13:
		f = s.fromClient()
	case 3, 4, 5, 6:
		f = s.ofFlow(true)
	case 7, 8, 9:
		f = s.ofFlow(false)
	case 10:
		f = s.icmp()
	default:
		f = s.neighbor()
	}
	if s.pick(3) == 0 {
		f = s.fragment(f)
	}
	if s.pick(12) == 0 {
		f = s.mutate(f)
	}
	if s.pick(5) == 0 && len(f) >= 54 { // test runs at egress take no IP header that is cut short
		f = sent(f)
	}
	return f
}

// fragment makes fragments of UDP packets; those of few datagrams, so that they
// belong together.
func (s *source) fragment(f []byte) []byte {
	if isUDP := f[12] == 0x08 && f[13] == 0 && f[23] == ipProtoUDP || f[12] == 0x86 && f[20] == ipProtoUDP; !isUDP {
		return f
	}
	return fragment(f, pickOf(s, []uint16{0, 1, 5}), s.pick(3) != 0, uint32(s.pick(2)))
}

func (s *source) options() segmentOptions {
	o := segmentOptions{
		flags: pickOf(s, tcpFlags), seq: uint32(s.pick(3)), ack: uint32(s.pick(3)),
		payload: pickOf(s, []int{0, 0, 1, 7, 64}), ipOptions: pickOf(s, []int{0, 0, 0, 0, 4, 40}),
	}
	o.fromMAC = [6]byte{2, 2, 0, 0, 0, byte(s.pick(2))}
	return o
}

func (s *source) port() string {
	return fmt.Sprintf(":%d", 1024+s.pick(24))
}

func (s *source) fromClient() []byte {
	o := s.options()
	to4, to6 := vips4, vips6
	if o.proto = ipProtoTCP; s.pick(4) == 0 {
		o.proto, to4, to6 = ipProtoUDP, udp4, udp6
	}
	if s.pick(3) == 0 {
		o.src, o.dst = "["+pickOf(s, clients6)+"]"+s.port(), pickOf(s, to6)
	} else {
		o.src, o.dst = pickOf(s, clients4)+s.port(), pickOf(s, to4)
	}
	if s.pick(4) != 0 {
		o.flags = fSYN
	}
	if s.pick(200) == 0 {
		o.src, o.dst = "127.0.0.1:1024", to4[0]
	}
	return segment(o)
}

// flow draws one of the flows that exist; ok is false when there is none.
func (s *source) flow() (f model.Flow, l model.Listener, t model.Target, ok bool) {
	var all []model.Flow
	for _, table := range [][]model.Bucket{s.m.Flows, s.m.HalfOpen} {
		for _, b := range table {
			for _, f := range b {
				if f.State != model.Free && f.State != model.NAT {
					all = append(all, f)
				}
			}
		}
	}
	if len(all) == 0 {
		return f, l, t, false
	}
	f = pickOf(s, all)
	l, known := s.m.Listeners[f.Listener]
	t, reachable := s.m.Targets[f.Target]
	return f, l, t, reachable && (known || f.NAT == 0)
}

// ofFlow draws a packet of an existing flow, often the one that moves it on.
func (s *source) ofFlow(fromClient bool) []byte {
	f, l, t, ok := s.flow()
	if !ok {
		return s.fromClient()
	}
	o := s.options()
	o.proto = f.Proto
	if fromClient {
		if l.ID == 0 {
			return s.fromClient()
		}
		o.src, o.dst = f.Client.String(), l.VIP.String()
		if s.pick(8) != 0 {
			o.flags, o.ack = fACK, uint32(f.Bytes)
		}
		return segment(o)
	}
	o.src, o.dst = t.Addr.String(), f.Client.String()
	if f.NAT != 0 {
		o.dst = netip.AddrPortFrom(l.VIP.Addr(), f.NAT).String()
	}
	if f.State == model.Opening && s.pick(8) != 0 {
		o.flags = fSYN | fACK
	}
	return segment(o)
}

// quote draws the IP packet that an error is about: one that the client got, or
// one that the target got.
func (s *source) quote() []byte {
	f, l, t, ok := s.flow()
	if !ok || l.ID == 0 {
		return s.fromClient()[14:]
	}
	o := s.options()
	o.proto = f.Proto
	if s.pick(8) == 0 { // about what user space may have sent
		o.src, o.dst = pickOf(s, vips4), pickOf(s, clients4)+s.port()
		return segment(o)[14:]
	}
	o.src, o.dst = l.VIP.String(), f.Client.String()
	if s.pick(2) == 0 {
		o.src, o.dst = f.Client.String(), t.Addr.String()
		if f.NAT != 0 {
			o.src = netip.AddrPortFrom(l.VIP.Addr(), f.NAT).String()
		}
	}
	if s.pick(4) != 0 {
		o.ipOptions = 0
	}
	if s.pick(2) == 0 {
		return s.fragment(segment(o))[14:]
	}
	return segment(o)[14:]
}

func (s *source) icmp() []byte {
	inner := s.quote()
	v6 := inner[0]>>4 == 6
	size := min(len(inner), 28+s.pick(30))
	at, proto, types := 12, uint8(1), []uint8{3, 3, 3, 8, 0, 11}
	length := 4
	if v6 {
		size = min(len(inner), 48+s.pick(30))
		at, proto, types, length = 8, 58, []uint8{1, 2, 2, 3, 128, 129}, 16
	}
	back, _ := netip.AddrFromSlice(inner[at : at+length])
	from, _ := netip.AddrFromSlice(inner[at+length : at+2*length])
	if s.pick(3) == 0 {
		from = netip.MustParseAddr(map[bool]string{false: "10.1.1.1", true: "3fff::1"}[v6])
	}
	message := append([]byte{pickOf(s, types), byte(s.pick(5)), 0, 0, 0, 0, 5, 0}, inner[:size]...)
	if v6 {
		binary.BigEndian.PutUint16(message[2:], sumOf(from, back, proto, message))
	} else {
		binary.BigEndian.PutUint16(message[2:], fold(0, message))
	}
	return packetFrame(s.options(), from, back, proto, message)
}

func (s *source) neighbor() []byte {
	if s.pick(2) == 0 {
		f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, clientMAC[:]...)
		f = append(f, 8, 6, 0, 1, 8, 0, 6, 4, 0, byte(1+s.pick(2)))
		f = append(append(f, clientMAC[:]...), 198, 18, 0, byte(pickOf(s, []int{10, 100})))
		return append(f, 0, 0, 0, 0, 0, 0, 198, 18, 0, byte(pickOf(s, []int{4, 100, 101})))
	}
	src := netip.MustParseAddr(pickOf(s, []string{"::", "2001:db8::10"}))
	target := netip.MustParseAddr(pickOf(s, []string{"2001:db8::4", "2001:db8::100", "::ffff:198.18.0.100"}))
	message := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	if s.pick(2) == 0 {
		message = append(append(message, 1, 1), clientMAC[:]...)
	}
	f := packetFrame(segmentOptions{}, src, netip.MustParseAddr("ff02::1:ff00:100"), 58, message)
	f[21] = byte(pickOf(s, []int{255, 255, 64}))
	return f
}

// mutate breaks a frame a little.
func (s *source) mutate(f []byte) []byte {
	if s.pick(3) == 0 {
		return f[:max(14, s.pick(len(f)+1))]
	}
	f[s.pick(min(len(f), 90))] ^= 1 << s.pick(8)
	return f
}

// jump draws how far the clock goes before the next frame: mostly nowhere, now
// and then past one of the timeouts.
func (s *source) jump() uint64 {
	switch s.pick(250) {
	default:
		return 0
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15:
		return 1
	case 0:
	}
	return pickOf(s, []uint64{25, 9 * rigHZ, 11 * rigHZ, 31 * rigHZ, 61 * rigHZ, 61 * rigHZ, 61 * rigHZ, 400 * rigHZ})
}
