package model

import (
	"bytes"
	"net/netip"
)

func (r *run) icmp() Action {
	p := &r.p
	isError := p.icmpType == 3
	echo := uint8(8)
	if p.v6 {
		isError, echo = p.icmpType == 1 || p.icmpType == 2, 128
	}
	switch {
	case isError:
		return r.icmpError()
	case !r.VIPs[p.dst]:
		return r.pass("no_flow")
	case p.icmpType == echo:
		return r.echo()
	}
	return r.drop("icmp_type")
}

func (r *run) echo() Action {
	if e := r.Echo[r.p.dst]; !r.admits(e.Clients) {
		return r.barInbound(e.Balancer)
	}
	if !r.Settings.Echo {
		return r.drop("echo")
	}
	if !r.mayAnswer() {
		return r.drop("rate")
	}
	message := r.frame[r.p.l4:]
	was := append([]byte(nil), message[:2]...)
	message[0] = 0
	if r.p.v6 {
		message[0] = 129
	}
	put16(message[2:], update(be16(message[2:]), was, message[:2]))
	r.addresses(r.p.dst, r.p.src)
	r.macs(r.p.mac)
	return r.back("sent_echo")
}

// addresses rewrites the outer header of an ICMP message.
func (r *run) addresses(src, dst netip.Addr) (from, to []byte) {
	ip, at := r.frame[14:], 12
	if r.p.v6 {
		at = 8
	}
	size := len(src.AsSlice())
	from = append([]byte(nil), ip[at:at+2*size]...)
	to = append(src.AsSlice(), dst.AsSlice()...)
	copy(ip[at:], to)
	if !r.p.v6 {
		put16(ip[10:], update(be16(ip[10:]), from, to))
	}
	return from, to
}

// quoted is the packet that an error quotes, as the one that would come back. Of a
// fragment that is not the first one fragment is set, and its ports are elsewhere.
type quoted struct {
	packet
	ip, l4 []byte // in the frame, no longer than the IP packet
}

func (r *run) quote() (q quoted, ok bool) {
	rest := r.frame[:14+r.p.length]
	rest = rest[min(len(rest), r.p.l4+8):]
	q.v6 = r.p.v6
	if q.v6 {
		if len(rest) < 48 || rest[0]>>4 != 6 {
			return q, false
		}
		q.dst, q.src, q.proto, q.l4 = addr6(rest[8:]), addr6(rest[24:]), rest[6], rest[40:]
		if q.proto == 44 {
			q.proto, q.id, q.fragment = q.l4[0], be32(q.l4[4:]), be16(q.l4[2:])&0xfff8 != 0
			if q.l4 = q.l4[8:]; q.proto != protoUDP || !q.fragment && len(q.l4) < 8 {
				return q, false
			}
		}
	} else {
		if len(rest) < 28 || rest[0] != 0x45 {
			return q, false
		}
		q.dst, q.src, q.proto, q.l4 = addr4(rest[12:]), addr4(rest[16:]), rest[9], rest[20:]
		q.id, q.fragment = uint32(be16(rest[4:])), be16(rest[6:])&0x1fff != 0
	}
	q.ip = rest
	if q.fragment {
		q.l4 = make([]byte, 4)
		return q, q.proto == protoUDP && q.dst == r.p.dst
	}
	q.dport, q.sport = be16(q.l4), be16(q.l4[2:])
	return q, (q.proto == protoTCP || q.proto == protoUDP) && q.dst == r.p.dst
}

func (r *run) icmpError() Action {
	vip := r.VIPs[r.p.dst]
	q, ok := r.quote()
	if !ok {
		return r.notOurs(vip)
	}
	if q.fragment {
		return r.errorAboutFragment(q, vip)
	}
	if l, ok := r.listener(&q.packet); ok && vip {
		return r.errorToTarget(q, l)
	}
	return r.errorToClient(q, vip)
}

func (r *run) notOurs(vip bool) Action {
	if vip {
		return r.drop("icmp_flow")
	}
	return r.pass("no_flow")
}

func (r *run) peekAnywhere(w wanted) *Flow {
	if f := r.peek(r.Flows, w); f != nil {
		return f
	}
	return r.peek(r.HalfOpen, w)
}

func (r *run) errorToTarget(q quoted, l Listener) Action {
	f := r.peekAnywhere(r.wantedFromClient(&q.packet, l))
	if f == nil && l.Local {
		return r.pass("local")
	}
	if f == nil {
		return r.drop("icmp_flow")
	}
	t, ok := r.Targets[f.Target]
	if !ok || t.Terminate {
		return r.drop("icmp_flow")
	}
	src, seen := r.p.src, f.Client
	if f.NAT != 0 {
		src, seen = l.VIP.Addr(), netip.AddrPortFrom(l.VIP.Addr(), f.NAT)
	}
	return r.sendError(q, sender{t.Addr, t.MAC}, seen, src)
}

func (r *run) errorToClient(q quoted, vip bool) Action {
	w := r.wantedFromTarget(&q.packet)
	if vip && !r.natLookup(&w) {
		if r.localReply(&q.packet) {
			return r.pass("local")
		}
		return r.drop("icmp_flow")
	}
	f := r.peekAnywhere(w)
	if f == nil || !r.isFrom(&q.packet, *f) {
		return r.notOurs(vip)
	}
	l, ok := r.Listeners[f.Listener]
	if !ok {
		return r.drop("no_listener_reply")
	}
	src := r.p.src
	if src == q.src {
		src = l.VIP.Addr()
	}
	return r.sendError(q, sender{w.client, f.MAC}, l.VIP, src)
}

// sender is who sent the packet that an error quotes, and gets the error.
type sender struct {
	addr netip.AddrPort
	mac  [6]byte
}

// sendError rewrites the quoted packet to what the sender sent to dst, all
// sums, and the message itself to one from src to the sender.
func (r *run) sendError(q quoted, peer sender, dst netip.AddrPort, src netip.Addr) Action {
	if dst.Addr().Is6() != r.p.v6 {
		return r.drop("error")
	}
	message := r.frame[r.p.l4 : 14+r.p.length]
	was := bytes.Clone(message)
	from, to := ends(q.ip, q.l4, peer.addr, dst)
	if !q.v6 {
		put16(q.ip[10:], update(be16(q.ip[10:]), from[:8], to[:8]))
	}
	if q.tcp() && len(q.l4) >= 18 {
		put16(q.l4[16:], update(be16(q.l4[16:]), from, to))
	}
	if !q.tcp() && !q.fragment {
		updateUDP(q.l4[6:], from, to)
	}
	even := len(message) &^ 1
	check := update(be16(was[2:]), was[4:even], message[4:even])
	outerFrom, outerTo := r.addresses(src, peer.addr.Addr())
	if r.p.v6 {
		check = update(check, outerFrom, outerTo)
	}
	put16(message[2:], check)
	r.macs(peer.mac)
	return r.forward(peer.mac, "sent_icmp")
}
