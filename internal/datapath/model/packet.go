package model

import (
	"encoding/binary"
	"net/netip"
)

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
func put32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, v) }

// kind is how far a frame could be understood.
type kind int

const (
	isL4 kind = iota
	isICMP
	malformed
	later // UDP fragment without the header
	fragment
	protocol
	truncated
)

// TCP flags.
const (
	fin = 0x01
	syn = 0x02
	rst = 0x04
	ack = 0x10
)

type packet struct {
	src, dst     netip.Addr
	sport, dport uint16
	seq, ack     uint32
	length       int // of the IP packet
	payload      int
	l4           int // offset in the frame
	v6           bool
	proto        uint8
	flags        uint8
	icmpType     uint8
	fragment     bool    // a datagram's first or a later one
	id           uint32  // the datagram's, then
	mac          [6]byte // the sender's
}

func (p *packet) tcp() bool        { return p.proto == protoTCP }
func (p *packet) has(f uint8) bool { return p.flags&f != 0 }

// opening says whether the packet may begin a flow.
func (p *packet) opening() bool { return !p.tcp() || p.flags&(syn|ack) == syn }

// plain says whether the packet changes nothing about its flow.
func (p *packet) plain() bool { return !p.tcp() || !p.has(syn|fin|rst) }

func (p *packet) flagsImpossible() bool {
	return p.tcp() && (!p.has(syn|ack|fin|rst) || p.has(syn) && p.has(fin|rst))
}

// addr6 keeps an IPv4 address in disguise apart from the real one.
func addr6(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b[:16])) }
func addr4(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b[:4])) }

func (p *packet) parse(f []byte) kind {
	p.mac = [6]byte(f[6:12])
	if be16(f[12:]) == 0x0800 {
		return p.parse4(f)
	}
	return p.parse6(f)
}

func (p *packet) parse4(f []byte) kind {
	if len(f) < 34 {
		return truncated
	}
	ip := f[14:]
	p.src, p.dst = addr4(ip[12:]), addr4(ip[16:])
	p.proto, p.length = ip[9], int(be16(ip[2:]))
	header := int(ip[0]&15) * 4
	if ip[0]>>4 != 4 || header < 20 || p.length < header || p.length > len(ip) {
		return malformed
	}
	if offset := be16(ip[6:]) & 0x3fff; offset != 0 {
		p.fragment, p.id = true, uint32(be16(ip[4:]))
		if p.proto != protoUDP {
			return fragment
		}
		if offset&0x1fff != 0 {
			return later
		}
	}
	p.l4 = 14 + header
	return p.parseL4(f, p.length-header, protoICMP)
}

func (p *packet) parse6(f []byte) kind {
	if len(f) < 54 {
		return truncated
	}
	ip := f[14:]
	p.v6, p.src, p.dst = true, addr6(ip[8:]), addr6(ip[24:])
	room := int(be16(ip[4:]))
	p.proto, p.length, p.l4 = ip[6], room+40, 54
	if ip[0]>>4 != 6 || p.length > len(ip) {
		return malformed
	}
	if p.proto == 44 {
		if room < 8 || len(f) < p.l4+8 {
			return malformed
		}
		header := f[p.l4:]
		offset := be16(header[2:])
		if p.proto, p.id = header[0], be32(header[4:]); p.proto != protoUDP {
			return fragment
		}
		if p.fragment = offset&0xfff9 != 0; offset&0xfff8 != 0 {
			return later
		}
		p.l4, room = p.l4+8, room-8
	}
	return p.parseL4(f, room, protoICMPv6)
}

func (p *packet) parseL4(f []byte, room int, icmp uint8) kind {
	l4 := f[min(p.l4, len(f)):]
	switch p.proto {
	case protoTCP:
		if len(l4) < 20 || room < 20 {
			return malformed
		}
		header := int(l4[12]>>4) * 4
		if header < 20 || header > room {
			return malformed
		}
		p.seq, p.ack, p.flags, p.payload = be32(l4[4:]), be32(l4[8:]), l4[13], room-header
	case protoUDP:
		if len(l4) < 8 || room < 8 || be16(l4[4:]) < 8 || int(be16(l4[4:])) > room && !p.fragment {
			return malformed
		}
	case icmp:
		if len(l4) < 8 || room < 8 {
			return malformed
		}
		p.icmpType = l4[0]
		return isICMP
	default:
		return protocol
	}
	p.sport, p.dport = be16(l4), be16(l4[2:])
	return isL4
}

func (p *packet) martian() bool {
	s := p.src.AsSlice()
	if !p.v6 {
		return s[0] == 0 || s[0] == 127 || s[0] >= 224
	}
	low := netip.PrefixFrom(netip.IPv6Unspecified(), 64)
	return inLow(low, p.src) || inLow(low, p.dst) || s[0] == 0xff
}

// inLow is Contains for addresses that netip takes for IPv4.
func inLow(low netip.Prefix, a netip.Addr) bool {
	b := a.As16()
	return low.Contains(a) || [8]byte(b[:8]) == [8]byte{}
}

// update is RFC 1624, equation 3, word by word.
func update(check uint16, from, to []byte) uint16 {
	sum := uint32(^check)
	for i := 0; i+1 < len(from); i += 2 {
		sum += uint32(^be16(from[i:])) + uint32(be16(to[i:]))
		sum = sum&0xffff + sum>>16
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// checksum is the Internet checksum of whole words.
func checksum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(be16(b[i:]))
			sum = sum&0xffff + sum>>16
		}
	}
	return ^uint16(sum)
}

// pseudo is the pseudo header of RFC 9293 and RFC 8200.
func pseudo(src, dst netip.Addr, proto uint8, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	return append(b, byte(length>>8), byte(length), 0, proto)
}
