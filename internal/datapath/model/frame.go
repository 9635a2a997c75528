package model

import (
	"net/netip"
	"slices"
)

// ends writes addresses and ports of the IP packet at ip, whose transport header
// is at l4, and returns the bytes that changed: what they were and are.
func ends(ip, l4 []byte, src, dst netip.AddrPort) (from, to []byte) {
	at, size := 12, 4
	if src.Addr().Is6() {
		at, size = 8, 16
	}
	from = append(append([]byte(nil), ip[at:at+2*size]...), l4[:4]...)
	copy(ip[at:], src.Addr().AsSlice())
	copy(ip[at+size:], dst.Addr().AsSlice())
	put16(l4, src.Port())
	put16(l4[2:], dst.Port())
	return from, append(append([]byte(nil), ip[at:at+2*size]...), l4[:4]...)
}

// edit sends the packet from src to dst by way of a next hop.
func (r *run) edit(src, dst netip.AddrPort, mac [6]byte) {
	ip, l4 := r.frame[14:], r.frame[r.p.l4:]
	from, to := ends(ip, l4, src, dst)
	if !r.p.v6 {
		put16(ip[10:], update(be16(ip[10:]), from[:8], to[:8]))
	}
	if r.p.tcp() {
		put16(l4[16:], update(be16(l4[16:]), from, to))
	} else {
		updateUDP(l4[6:], from, to)
	}
	r.macs(mac)
}

// editAddrs sends a packet on whose ports are elsewhere.
func (r *run) editAddrs(src, dst netip.Addr, mac [6]byte) {
	ip, noPorts := r.frame[14:], make([]byte, 4)
	from, to := ends(ip, noPorts, netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0))
	if !r.p.v6 {
		put16(ip[10:], update(be16(ip[10:]), from[:8], to[:8]))
	}
	r.macs(mac)
}

func updateUDP(check, from, to []byte) {
	if be16(check) == 0 {
		return
	}
	sum := update(be16(check), from, to)
	if sum == 0 {
		sum = 0xffff
	}
	put16(check, sum)
}

func (r *run) macs(to [6]byte) {
	copy(r.frame, to[:])
	copy(r.frame[6:], r.Settings.MAC[:])
}

// reset answers a TCP packet with a reset.
func (r *run) reset(l Listener, reason string) Action {
	if r.p.has(rst) {
		return r.drop("unknown_reset")
	}
	if !r.mayAnswer() {
		return r.drop("rate")
	}
	if options := !r.p.v6 && r.p.l4 != 14+20; options && r.egress {
		return r.drop("error") // the device could not finish the checksum
	}
	r.frame = resetFrame(r.frame, &r.p, r.Settings.MAC)
	r.count(l).TCPELBResetCount++
	return r.back("reset_" + reason)
}

func resetFrame(frame []byte, p *packet, mac [6]byte) []byte {
	tcp := make([]byte, 20)
	put16(tcp, p.dport)
	put16(tcp[2:], p.sport)
	tcp[12], tcp[13] = 5<<4, rst
	if p.has(ack) {
		put32(tcp[4:], p.ack)
	} else {
		next := p.seq + uint32(p.payload)
		for _, f := range []uint8{syn, fin} {
			if p.has(f) {
				next++
			}
		}
		put32(tcp[8:], next)
		tcp[13] |= ack
	}
	put16(tcp[16:], checksum(pseudo(p.dst, p.src, protoTCP, len(tcp)), tcp))
	out := append(append([]byte(nil), frame[6:12]...), mac[:]...)
	out = append(out, frame[12:14]...)
	return append(append(out, header(p.dst, p.src, protoTCP, 64, len(tcp))...), tcp...)
}

// header is a fresh IP header.
func header(src, dst netip.Addr, proto, ttl uint8, payload int) []byte {
	if src.Is6() {
		h := []byte{0x60, 0, 0, 0, byte(payload >> 8), byte(payload), proto, ttl}
		return append(append(h, src.AsSlice()...), dst.AsSlice()...)
	}
	h := []byte{0x45, 0, byte((payload + 20) >> 8), byte(payload + 20), 0, 0, 0x40, 0, ttl, proto, 0, 0}
	h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
	put16(h[10:], checksum(h))
	return h
}

func (r *run) arp() Action {
	if len(r.frame) < 42 {
		return r.pass("truncated")
	}
	a := r.frame[14:]
	sender, target := addr4(a[14:]), addr4(a[24:])
	request := be16(a) == 1 && be16(a[2:]) == 0x0800 && a[4] == 6 && a[5] == 4 && be16(a[6:]) == 1
	if !request || !r.VIPs[target] || sender == target {
		return r.pass("not_ip")
	}
	from := [6]byte(r.frame[6:12])
	put16(a[6:], 2)
	copy(a[18:], a[8:18]) // who asked, MAC and address
	copy(a[8:], r.Settings.MAC[:])
	copy(a[14:], target.AsSlice())
	r.macs(from)
	return r.back("sent_neighbor")
}

func (r *run) solicitation() Action {
	if len(r.frame) < 14+40+24 || r.p.length < 40+24 {
		return r.pass("truncated")
	}
	nd := r.frame[54:]
	vip := addr6(nd[8:])
	if r.frame[21] != 255 || nd[1] != 0 || !r.VIPs[vip] {
		return r.pass("no_flow")
	}
	to, mac, flags := r.p.src, r.p.mac, byte(0x60)
	if to == netip.IPv6Unspecified() {
		to, mac, flags = netip.IPv6LinkLocalAllNodes(), [6]byte{0x33, 0x33, 0, 0, 0, 1}, 0x20
	}
	answer := append([]byte{136, 0, 0, 0, flags, 0, 0, 0}, vip.AsSlice()...)
	answer = append(append(answer, 2, 1), r.Settings.MAC[:]...)
	put16(answer[2:], checksum(pseudo(vip, to, protoICMPv6, len(answer)), answer))
	ethernet := slices.Concat(mac[:], r.Settings.MAC[:], []byte{0x86, 0xdd})
	r.frame = slices.Concat(ethernet, header(vip, to, protoICMPv6, 255, len(answer)), answer)
	return r.back("sent_neighbor")
}
