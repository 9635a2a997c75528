package model

import (
	"encoding/binary"
	"net/netip"
)

// Uses of the hash keys, as in bpf/hash.h.
const (
	keyFlow   = 0
	keyTag    = 6
	keyPick   = 12
	keySource = 24
)

func finish(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// words are an address as the program's machine reads it: little endian.
func words(a netip.Addr) (w [4]uint64) {
	b := a.As16()
	for i := range w {
		w[i] = uint64(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return w
}

func swap(port uint16) uint64 { return uint64(port>>8 | port<<8) }

func (m *Maps) sum(key int, a netip.Addr) (sum uint64) {
	for i, w := range words(a) {
		sum += m.Settings.Key[key+i] * w
	}
	return sum
}

func (m *Maps) hashEnd(use int, a netip.AddrPort, proto uint8) uint64 {
	word := uint64(proto)<<16 | swap(a.Port())
	return finish(m.Settings.Key[use+5] + m.sum(use, a.Addr()) + m.Settings.Key[use+4]*word)
}

// FlowHash is where the flow of a client's address and port is found.
func (m *Maps) FlowHash(client netip.AddrPort, proto uint8) uint64 {
	return m.hashEnd(keyFlow, client, proto)
}

// Tag stands for a target in a flow record.
func (m *Maps) Tag(target netip.AddrPort) uint32 { return uint32(m.hashEnd(keyTag, target, 0)) }

func (m *Maps) vipHash(vip netip.Addr) uint64 {
	return m.hashEnd(keyTag, netip.AddrPortFrom(vip, 0), 0xff)
}

func (m *Maps) pickHash(p *packet) uint64 {
	key := m.Settings.Key[keyPick:]
	sum := key[11] + m.sum(keyPick, p.src) + m.sum(keyPick+4, p.dst) +
		key[8]*(swap(p.dport)<<16|swap(p.sport)) + key[9]*uint64(p.proto)
	if p.tcp() {
		sum += key[10] * uint64(p.seq)
	}
	return finish(sum)
}

// choose picks the target of a new flow.
func (m *Maps) choose(p *packet, l Listener) (t Target, g Group, ok bool) {
	hash, sticky := m.pickHash(p), m.hashEnd(keySource, netip.AddrPortFrom(p.src, 0), 0)
	spread := hash
	if l.Sticky {
		spread = sticky
	}
	for _, c := range l.Choices {
		if uint32(spread>>32) > c.Bound {
			continue
		}
		g = m.Groups[c.Group]
		if len(g.Slots) == 0 {
			return t, g, false
		}
		if g.Sticky {
			hash = sticky
		}
		t, ok = m.Targets[g.Slots[uint32(hash)%uint32(len(g.Slots))]]
		return t, g, ok && t.Addr.Addr().Is6() == p.v6
	}
	return t, g, false
}

// hairpin says whether client and target are one machine.
func (m *Maps) hairpin(p *packet, t Target) bool {
	longest, instance := -1, uint32(0)
	for prefix, i := range m.Prefixes {
		if prefix.Contains(p.src) && prefix.Bits() > longest {
			longest, instance = prefix.Bits(), i
		}
	}
	return t.Instance != 0 && longest >= 0 && instance == t.Instance
}
