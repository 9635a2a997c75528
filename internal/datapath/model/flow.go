package model

import (
	"net/netip"
)

// State of a record, as enum flow_state.
type State uint8

// States.
const (
	Free State = iota
	Opening
	Answered
	Established
	Closing
	NAT
)

// Flags of a record.
const (
	ClientFIN = 1
	TargetFIN = 2
	Proven    = 4
)

// Flow is struct flow. A free record is the zero Flow.
type Flow struct {
	State       State
	Flags       uint8
	Proto       uint8
	Seen        uint64
	Client      netip.AddrPort
	NAT         uint16
	Listener    uint32
	Target      uint32
	Tag         uint32
	MAC         [6]byte // client side
	IdleSeconds uint64
	VIPHash     uint64 // NAT records only
	Bytes       uint64 // half-open TCP: the ack number that proves the client
}

// Bucket is struct bucket.
type Bucket [16]Flow

// halfSpan is how many slots of a half-open bucket one hash may use.
const halfSpan = 4

// wanted is what a record is looked up by; listener 0 means from the target.
type wanted struct {
	client   netip.AddrPort
	nat      uint16
	listener uint32
	tag      uint32
	proto    uint8
}

func (w wanted) matches(f *Flow) bool {
	if f.Client != w.client || f.Proto != w.proto || f.State == Free || f.State == NAT {
		return false
	}
	if w.listener != 0 {
		return f.Listener == w.listener
	}
	return f.Tag == w.tag && f.NAT == w.nat
}

// slots returns the records of a hash in probing order.
func (m *Maps) slots(table []Bucket, hash uint64) []*Flow {
	b := &table[hash&uint64(len(table)-1)]
	span := uint64(len(b))
	if &table[0] == &m.HalfOpen[0] {
		span = halfSpan
	}
	out := make([]*Flow, span)
	for i := range out {
		home := hash >> 56 % uint64(len(b))
		out[i] = &b[home/span*span+(home+uint64(i))%span]
	}
	return out
}

func (m *Maps) find(table []Bucket, w wanted) *Flow {
	for _, f := range m.slots(table, m.FlowHash(w.client, w.proto)) {
		if w.matches(f) {
			return f
		}
	}
	return nil
}

func (m *Maps) limit(f *Flow) uint64 {
	switch {
	case f.State == Closing:
		return m.Settings.ClosingSeconds * m.Settings.HZ
	case f.State != Established && f.State != NAT && f.Proto == protoTCP:
		return m.Settings.HalfOpenSeconds * m.Settings.HZ
	}
	return f.IdleSeconds * m.Settings.HZ
}

func (m *Maps) expired(f *Flow) bool { return m.Now > f.Seen && m.Now-f.Seen > m.limit(f) }

// peek finds a live record.
func (m *Maps) peek(table []Bucket, w wanted) *Flow {
	if f := m.find(table, w); f != nil && !m.expired(f) {
		return f
	}
	return nil
}

func (f *Flow) release() { *f = Flow{} }

// rank is how ready a record is to make room.
func (r *run) rank(f *Flow) int {
	switch {
	case f.State == Free:
		return 4
	case r.expired(f) && f.State == Established:
		return 1
	case r.expired(f):
		return 4
	case f.State == Closing:
		return 3
	case f.State == Opening || f.State == Answered || f.State == NAT && f.Flags&Proven == 0:
		return 2
	}
	return 0
}

// vacancy is the place for a new record: highest rank, then longest unseen, then
// first in probing order. It counts what the new record will displace.
func (r *run) vacancy(table []Bucket, hash uint64) *Flow {
	var best *Flow
	for _, f := range r.slots(table, hash) {
		rank := r.rank(f)
		if rank == 0 {
			continue
		}
		if best == nil || rank > r.rank(best) || rank == r.rank(best) && rank != 4 && f.Seen < best.Seen {
			best = f
		}
	}
	if best != nil {
		switch r.rank(best) {
		case 3:
			r.event("closing_evicted")
		case 2:
			r.event("half_open_evicted")
		case 1:
			r.event("idle_evicted")
		}
	}
	return best
}
