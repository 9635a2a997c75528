package model

import "net/netip"

// step is what is to be done with a packet after its flow was looked at.
type step int

const (
	deliver step = iota
	open
	unknown
	idle
	refused
	full
)

func (r *run) fromClient(l Listener) Action {
	if r.p.flagsImpossible() {
		return r.drop("flags")
	}
	w := r.wantedFromClient(&r.p, l)
	step, f := r.advanceClient(w, l)
	switch step {
	case deliver:
		return r.toTarget(l, w, f)
	case open:
		if l.Deleted {
			return r.drop("no_listener")
		}
		if !r.admits(l.Clients) {
			return r.barInbound(l.Balancer)
		}
		if l.Local {
			return r.pass("local")
		}
		return r.open(l, w)
	case idle:
		return r.refuse(l, "idle", "error")
	case refused:
		return r.refuse(l, "half_open", "error")
	case full:
		r.reject(l)
		return r.refuse(l, "table_full", "table_full")
	}
	if l.Deleted {
		return r.drop("no_listener")
	}
	if l.Local {
		return r.pass("local")
	}
	if !r.admits(l.Clients) {
		return r.barInbound(l.Balancer)
	}
	if r.Settings.Restoring {
		return r.drop("restoring")
	}
	return r.refuse(l, "unknown", "error")
}

func (r *run) wantedFromClient(p *packet, l Listener) wanted {
	return wanted{client: netip.AddrPortFrom(p.src, p.sport), listener: l.ID, proto: p.proto}
}

func (r *run) refuse(l Listener, reset, drop string) Action {
	if !r.p.tcp() {
		return r.drop(drop)
	}
	return r.reset(l, reset)
}

func (r *run) reject(l Listener) {
	if r.p.tcp() {
		r.count(l).RejectedFlowCountTCP++
	} else {
		r.count(l).RejectedFlowCountUDP++
	}
}

// advanceClient looks up the flow of a packet from the client and advances it.
func (r *run) advanceClient(w wanted, l Listener) (step, Flow) {
	if f := r.find(r.Flows, w); f != nil {
		return r.clientInFlows(f)
	}
	f := r.find(r.HalfOpen, w)
	switch {
	case f == nil && r.p.opening():
		return open, Flow{}
	case f == nil:
		return unknown, Flow{}
	case !r.expired(f) && r.proves(f):
		return r.promote(f, w, l)
	case r.expired(f) || r.p.opening() && f.State == Closing:
		f.release()
		if r.p.opening() {
			return open, Flow{}
		}
		return unknown, Flow{}
	case !r.p.opening() && !r.p.has(rst):
		return refused, Flow{}
	}
	f.Seen, f.MAC = r.Now, r.p.mac
	return deliver, *f
}

func (r *run) clientInFlows(f *Flow) (step, Flow) {
	closing, opening := f.State == Closing, r.p.opening()
	switch {
	case r.expired(f):
		f.release()
		if opening {
			return open, Flow{}
		}
		if closing {
			return unknown, Flow{}
		}
		return idle, Flow{}
	case closing && opening && r.p.tcp():
		f.release()
		return open, Flow{}
	}
	r.trackClose(f, ClientFIN)
	f.Seen, f.MAC = r.Now, r.p.mac
	f.Bytes += uint64(r.p.length)
	return deliver, *f
}

// proves says whether the packet's sender has received the target's answer.
func (r *run) proves(f *Flow) bool {
	if f.State != Answered {
		return false
	}
	return !r.p.tcp() || r.p.flags&(syn|ack|rst) == ack && r.p.ack == uint32(f.Bytes)
}

func (r *run) promote(f *Flow, w wanted, l Listener) (step, Flow) {
	to := r.vacancy(r.Flows, r.FlowHash(w.client, w.proto))
	made := *f
	f.release()
	if to == nil {
		return full, Flow{}
	}
	made.State, made.Flags = Established, 0
	made.Seen, made.MAC, made.Bytes = r.Now, r.p.mac, uint64(r.p.length)
	*to = made
	r.trackClose(to, ClientFIN)
	if r.p.tcp() {
		r.count(l).NewFlowCountTCP++
	}
	return deliver, *to
}

func (r *run) trackClose(f *Flow, side uint8) {
	if r.p.plain() {
		return
	}
	if r.p.has(fin) {
		f.Flags |= side
	}
	if r.p.has(rst) || f.Flags == ClientFIN|TargetFIN {
		f.State = Closing
	}
}

func (r *run) toTarget(l Listener, w wanted, f Flow) Action {
	t, ok := r.Targets[f.Target]
	if !ok || t.Terminate {
		r.forget(w)
		return r.refuse(l, "terminated", "terminated")
	}
	src := netip.AddrPortFrom(r.p.src, r.p.sport)
	if f.NAT != 0 {
		src = netip.AddrPortFrom(l.VIP.Addr(), f.NAT)
		if f.State == Established {
			r.natTouch(l, t, f)
		}
	}
	if t.Addr.Addr().Is6() != r.p.v6 {
		return r.drop("error")
	}
	r.edit(src, t.Addr, t.MAC)
	r.processed(l)
	if r.p.tcp() && r.p.has(rst) {
		r.count(l).TCPClientResetCount++
	}
	r.follow(Datagram{from: src.Addr(), to: t.Addr.Addr(), mac: t.MAC, listener: l, reason: "sent_to_target"})
	return r.forward(t.MAC, "sent_to_target")
}

func (r *run) processed(l Listener) {
	c := r.count(l)
	c.ProcessedPackets++
	if r.p.tcp() {
		c.ProcessedBytesTCP += uint64(r.p.length)
	} else {
		c.ProcessedBytesUDP += uint64(r.p.length)
	}
}

func (r *run) forget(w wanted) {
	f := r.find(r.Flows, w)
	if f == nil {
		f = r.find(r.HalfOpen, w)
	}
	if f != nil {
		f.release()
	}
}

// open begins a flow.
func (r *run) open(l Listener, w wanted) Action {
	f, why := r.newFlow(l, w)
	switch why {
	case "":
		return r.toTarget(l, w, f)
	case "outbound_rules":
		return r.barOutbound(l)
	case "target_rules", "unresolved":
		return r.drop(why)
	case "no_port":
		r.count(l).PortAllocationErrorCount++
	}
	r.reject(l)
	return r.refuse(l, why, why)
}

func (r *run) newFlow(l Listener, w wanted) (f Flow, failure string) {
	t, g, ok := r.choose(&r.p, l)
	if !ok && g.Unresolved {
		return f, "unresolved"
	}
	if !ok {
		return f, "no_target"
	}
	if forbidden := r.judge(t); forbidden != "" {
		return f, forbidden
	}
	f = Flow{
		State: Opening, Proto: r.p.proto, Seen: r.Now, Client: w.client, Listener: l.ID,
		Target: t.ID, Tag: r.Tag(t.Addr), MAC: r.p.mac, IdleSeconds: l.IdleSeconds,
	}
	hairpin := r.hairpin(&r.p, t) || r.egress && t.MAC == r.Settings.MAC
	if hairpin {
		r.event("hairpin")
	}
	if hairpin || g.SourceNAT {
		if f.NAT = r.natReserve(l, f); f.NAT == 0 {
			return f, "no_port"
		}
	} else if r.conflicts(f) {
		r.event("tuple_conflict")
		if f.NAT = r.natReserve(l, f); f.NAT == 0 {
			return f, "no_port"
		}
	}
	place := r.vacancy(r.HalfOpen, r.FlowHash(w.client, w.proto))
	if place == nil {
		return f, "table_full"
	}
	*place = f
	if g.FailOpen {
		r.count(l).UnhealthyRoutingFlowCount++
	}
	if !r.p.tcp() {
		r.count(l).NewFlowCountUDP++
	}
	return f, ""
}

// conflicts says whether the target has a live flow of this very 5-tuple.
func (r *run) conflicts(made Flow) bool {
	hash := r.FlowHash(made.Client, made.Proto)
	for _, table := range [][]Bucket{r.Flows, r.HalfOpen} {
		for _, f := range r.slots(table, hash) {
			if f.State != Free && f.State != NAT && f.State != Closing && f.Client == made.Client &&
				f.Proto == made.Proto && f.Tag == made.Tag && f.NAT == made.NAT && !r.expired(f) {
				return true
			}
		}
	}
	return false
}

func (r *run) fromTarget() Action {
	w := r.wantedFromTarget(&r.p)
	vip := r.VIPs[r.p.dst]
	if f := r.peek(r.Flows, w); f != nil && f.State == Established && r.p.plain() && r.isFrom(&r.p, *f) {
		vip = false // even to a load balancer's address: it is the client here
	}
	if vip && !r.natLookup(&w) {
		return r.unknownReply(vip)
	}
	step, f := r.advanceTarget(w)
	if step == unknown || !r.isFrom(&r.p, f) {
		return r.unknownReply(vip)
	}
	l, ok := r.Listeners[f.Listener]
	if !ok {
		return r.drop("no_listener_reply")
	}
	if step == idle {
		return r.reset(l, "idle")
	}
	r.edit(l.VIP, w.client, f.MAC)
	r.processed(l)
	if r.p.tcp() && r.p.has(rst) {
		r.count(l).TCPTargetResetCount++
	}
	r.follow(Datagram{from: l.VIP.Addr(), to: w.client.Addr(), mac: f.MAC, listener: l, reason: "sent_to_client"})
	return r.forward(f.MAC, "sent_to_client")
}

func (r *run) unknownReply(vip bool) Action {
	switch {
	case r.localReply(&r.p) && !r.p.opening():
		return r.pass("local")
	case vip:
		return r.drop("no_listener")
	}
	return r.pass("no_flow")
}

// localReply says whether a packet may be a reply to a connection that the
// kernel made from a VIP.
func (r *run) localReply(p *packet) bool {
	return r.Local[p.dst] && p.proto == protoTCP && p.dport >= firstLocalPort
}

func (r *run) wantedFromTarget(p *packet) wanted {
	return wanted{
		client: netip.AddrPortFrom(p.dst, p.dport), proto: p.proto,
		tag: r.Tag(netip.AddrPortFrom(p.src, p.sport)),
	}
}

func (r *run) isFrom(p *packet, f Flow) bool {
	t, ok := r.Targets[f.Target]
	return ok && t.Addr == netip.AddrPortFrom(p.src, p.sport)
}

func (r *run) advanceTarget(w wanted) (step, Flow) {
	if f := r.find(r.Flows, w); f != nil {
		was := *f
		if r.expired(f) {
			f.release()
			if was.State == Closing || !r.p.tcp() {
				return unknown, was
			}
			return idle, was
		}
		r.trackClose(f, TargetFIN)
		f.Seen = r.Now
		f.Bytes += uint64(r.p.length)
		return deliver, was
	}
	f := r.find(r.HalfOpen, w)
	if f == nil {
		return unknown, Flow{}
	}
	was := *f
	if r.expired(f) {
		f.release()
		return unknown, was
	}
	f.Seen = r.Now
	switch {
	case !r.p.tcp():
		f.State, f.Flags = Answered, 0
	case r.p.has(rst):
		f.State, f.Flags = Closing, 0
	case r.p.flags&(syn|ack) == syn|ack:
		f.State, f.Flags, f.Bytes = Answered, 0, uint64(r.p.seq+1)
	}
	return deliver, was
}
