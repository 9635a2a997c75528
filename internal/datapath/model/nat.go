package model

import "net/netip"

// Ports of source NAT, as in bpf/nat.h.
const (
	natFirstPort = 10240
	natPorts     = 55000
	natTries     = 8

	firstLocalPort = 32768 // of the kernel's own connections from a VIP
)

func (r *run) findNAT(table []Bucket, hash uint64, nat Flow) *Flow {
	for _, f := range r.slots(table, hash) {
		if f.State == NAT && f.NAT == nat.NAT && f.Tag == nat.Tag && f.Proto == nat.Proto && f.VIPHash == nat.VIPHash {
			return f
		}
	}
	return nil
}

// natFlow is the record beside a flow that leads replies to (vip, port) back.
func (r *run) natFlow(l Listener, f Flow, port uint16) Flow {
	nat := Flow{
		State: NAT, Proto: f.Proto, Seen: r.Now, Client: f.Client, NAT: port, Listener: l.ID,
		Target: f.Target, Tag: f.Tag, IdleSeconds: l.IdleSeconds, VIPHash: r.vipHash(l.VIP.Addr()),
	}
	if f.State == Established {
		nat.Flags = Proven
	}
	return nat
}

func (r *run) natPlace(vip netip.Addr, nat Flow) (hash uint64, inFlows, inHalfOpen *Flow) {
	hash = r.FlowHash(netip.AddrPortFrom(vip, nat.NAT), nat.Proto)
	return hash, r.findNAT(r.Flows, hash, nat), r.findNAT(r.HalfOpen, hash, nat)
}

// natReserve finds a port for a new flow; 0 when all that it tries are taken.
func (r *run) natReserve(l Listener, f Flow) uint16 {
	ports := uint32(natPorts)
	if f.Proto == protoTCP && r.Local[l.VIP.Addr()] {
		ports = firstLocalPort - natFirstPort
	}
	start := uint32(r.FlowHash(f.Client, f.Proto)>>24) % ports
	for i := range uint32(natTries) {
		port := uint16(natFirstPort + (start+i*i*97)%ports)
		if _, taken := r.Keys[ListenerKey{netip.AddrPortFrom(l.VIP.Addr(), port), f.Proto}]; taken {
			continue
		}
		if r.natClaim(l, f, port) {
			return port
		}
	}
	return 0
}

func (r *run) natClaim(l Listener, f Flow, port uint16) bool {
	made := r.natFlow(l, f, port)
	hash, place, half := r.natPlace(l.VIP.Addr(), made)
	if place == nil {
		place = half
	}
	if place != nil {
		own := place.Client == made.Client && place.Listener == made.Listener
		if !r.expired(place) && !own {
			return false
		}
	} else if place = r.vacancy(r.HalfOpen, hash); place == nil {
		return false
	}
	*place = made
	return true
}

// natTouch keeps the port with its established flow.
func (r *run) natTouch(l Listener, t Target, f Flow) {
	f.Client = netip.AddrPortFrom(r.p.src, r.p.sport)
	f.Target, f.Tag = t.ID, r.Tag(t.Addr)
	made := r.natFlow(l, f, f.NAT)
	hash, place, half := r.natPlace(l.VIP.Addr(), made)
	if place != nil {
		place.Seen = r.Now
		return
	}
	if half != nil {
		half.release()
	}
	if place = r.vacancy(r.Flows, hash); place != nil {
		*place = made
	}
}

// natLookup leads a reply to one of our ports back to the client's record.
func (r *run) natLookup(w *wanted) bool {
	nat := Flow{NAT: w.client.Port(), Tag: w.tag, Proto: w.proto, VIPHash: r.vipHash(w.client.Addr())}
	_, f, half := r.natPlace(w.client.Addr(), nat)
	if f == nil {
		f = half
	}
	if f == nil || r.expired(f) {
		return false
	}
	f.Seen = r.Now
	w.nat, w.client = w.client.Port(), f.Client
	return true
}
