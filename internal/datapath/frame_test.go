package datapath

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// segmentOptions describe a frame to build.
type segmentOptions struct {
	src, dst  string // address and port
	proto     uint8
	flags     uint8
	seq, ack  uint32
	payload   int
	fromMAC   [6]byte
	toMAC     [6]byte // zero: the edge's
	ipOptions int     // bytes, IPv4
}

// segment builds a frame with valid checksums.
func segment(o segmentOptions) []byte {
	src, dst := netip.MustParseAddrPort(o.src), netip.MustParseAddrPort(o.dst)
	if o.proto == 0 {
		o.proto = ipProtoTCP
	}
	header := 20
	if o.proto == ipProtoUDP {
		header = 8
	}
	l4 := make([]byte, header+o.payload)
	for i := header; i < len(l4); i++ {
		l4[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint16(l4, src.Port())
	binary.BigEndian.PutUint16(l4[2:], dst.Port())
	if o.proto == ipProtoTCP {
		binary.BigEndian.PutUint32(l4[4:], o.seq)
		binary.BigEndian.PutUint32(l4[8:], o.ack)
		l4[12], l4[13] = 5<<4, o.flags
		binary.BigEndian.PutUint16(l4[16:], sumOf(src.Addr(), dst.Addr(), o.proto, l4))
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		binary.BigEndian.PutUint16(l4[6:], sumOf(src.Addr(), dst.Addr(), o.proto, l4))
	}
	return packetFrame(o, src.Addr(), dst.Addr(), o.proto, l4)
}

func packetFrame(o segmentOptions, src, dst netip.Addr, proto uint8, payload []byte) []byte {
	if o.toMAC == ([6]byte{}) {
		o.toMAC = rigMAC
	}
	if o.fromMAC == ([6]byte{}) {
		o.fromMAC = clientMAC
	}
	f := append(append([]byte{}, o.toMAC[:]...), o.fromMAC[:]...)
	if src.Is4() {
		ip := make([]byte, 20+o.ipOptions)
		ip[0], ip[8], ip[9] = byte(0x40|len(ip)/4), 61, proto
		for i := 20; i < len(ip); i++ {
			ip[i] = 1 // no operation
		}
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(payload)))
		binary.BigEndian.PutUint16(ip[4:], 0x1234)
		copy(ip[12:], src.AsSlice())
		copy(ip[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(ip[10:], fold(0, ip))
		return append(append(append(f, 0x08, 0x00), ip...), payload...)
	}
	ip := make([]byte, 40)
	ip[0], ip[6], ip[7] = 0x60, proto, 61
	binary.BigEndian.PutUint16(ip[4:], uint16(len(payload)))
	copy(ip[8:], src.AsSlice())
	copy(ip[24:], dst.AsSlice())
	return append(append(append(f, 0x86, 0xdd), ip...), payload...)
}

func fold(sum uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func sumOf(src, dst netip.Addr, proto uint8, l4 []byte) uint16 {
	pseudo := append(src.AsSlice(), dst.AsSlice()...)
	sum := uint32(^fold(0, pseudo)) + uint32(proto) + uint32(len(l4))
	return fold(sum, l4)
}

// fragment makes a fragment of a packet: where it lies in its datagram is counted
// in eight bytes. What it carries stays.
func fragment(f []byte, offset uint16, more bool, id uint32) []byte {
	f = slices.Clone(f)
	if f[12] == 0x08 {
		if more {
			offset |= 0x2000
		}
		binary.BigEndian.PutUint16(f[18:], uint16(id))
		binary.BigEndian.PutUint16(f[20:], offset)
		return refill(f)
	}
	header := []byte{f[20], 0, 0, 0, 0, 0, 0, 0}
	offset <<= 3
	if more {
		offset |= 1
	}
	binary.BigEndian.PutUint16(header[2:], offset)
	binary.BigEndian.PutUint32(header[4:], id)
	f[20] = 44
	binary.BigEndian.PutUint16(f[18:], binary.BigEndian.Uint16(f[18:])+8)
	return slices.Insert(f, 54, header...)
}

// checkSums fails when a checksum of a frame is wrong.
func checkSums(t fataler, frame []byte) {
	t.Helper()
	ip := frame[14:]
	if frame[12] == 0x08 {
		header := int(ip[0]&15) * 4
		if got := fold(0, ip[:header]); got != 0 {
			t.Fatalf("IP checksum is off by %#x in %x", got, frame)
		}
		if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
			return // the datagram's checksum is about all its fragments
		}
		total := int(binary.BigEndian.Uint16(ip[2:]))
		checkL4(t, netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])), ip[9], ip[header:total])
		return
	}
	total := 40 + int(binary.BigEndian.Uint16(ip[4:]))
	checkL4(t, netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:])), ip[6], ip[40:total])
}

func checkL4(t fataler, src, dst netip.Addr, proto uint8, l4 []byte) {
	t.Helper()
	got := uint16(0)
	switch proto {
	case ipProtoTCP, 58:
		got = sumOf(src, dst, proto, l4)
	case ipProtoUDP:
		if l4[6] != 0 || l4[7] != 0 {
			got = sumOf(src, dst, proto, l4)
		}
	case 1:
		got = fold(0, l4)
	}
	if got != 0 {
		t.Fatalf("checksum of protocol %d is off by %#x in %x", proto, got, l4)
	}
}

func tcp(src, dst string, flags uint8, seq, ack uint32, payload int) []byte {
	return segment(segmentOptions{src: src, dst: dst, flags: flags, seq: seq, ack: ack, payload: payload})
}

func udp(src, dst string, payload int) []byte {
	return segment(segmentOptions{src: src, dst: dst, proto: ipProtoUDP, payload: payload})
}

func edited(f []byte, edit func([]byte)) []byte {
	edit(f)
	return f
}

// refill repairs the IPv4 header's checksum.
func refill(f []byte) []byte {
	header := 14 + int(f[14]&15)*4
	f[24], f[25] = 0, 0
	binary.BigEndian.PutUint16(f[24:], fold(0, f[14:header]))
	return f
}

func icmp4(kind, code byte, from, to string, quoted []byte) []byte {
	message := append([]byte{kind, code, 0, 0, 0, 0, 5, 0x78}, quoted...)
	binary.BigEndian.PutUint16(message[2:], fold(0, message))
	return packetFrame(segmentOptions{}, netip.MustParseAddr(from), netip.MustParseAddr(to), 1, message)
}

func icmp6(kind, code byte, from, to string, quoted []byte) []byte {
	message := append([]byte{kind, code, 0, 0, 0, 0, 5, 0x78}, quoted...)
	src, dst := netip.MustParseAddr(from), netip.MustParseAddr(to)
	binary.BigEndian.PutUint16(message[2:], sumOf(src, dst, 58, message))
	return packetFrame(segmentOptions{}, src, dst, 58, message)
}

func arpRequest(sender, target byte) []byte {
	f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, clientMAC[:]...)
	f = append(append(f, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1), clientMAC[:]...)
	return append(f, 198, 18, 0, sender, 0, 0, 0, 0, 0, 0, 198, 18, 0, target)
}

func solicit(src, target string, option bool) []byte {
	message := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(target).AsSlice()...)
	if option {
		message = append(append(message, 1, 1), clientMAC[:]...)
	}
	dst := netip.MustParseAddr("ff02::1:ff00:100")
	from := netip.MustParseAddr(src)
	binary.BigEndian.PutUint16(message[2:], sumOf(from, dst, 58, message))
	f := packetFrame(segmentOptions{toMAC: [6]byte{0x33, 0x33, 0xff, 0, 1, 0}}, from, dst, 58, message)
	f[21] = 255
	return f
}

const (
	fFIN = 0x01
	fSYN = 0x02
	fRST = 0x04
	fACK = 0x10
)

var clientMAC = [6]byte{0x02, 2, 0, 0, 0, 7}
