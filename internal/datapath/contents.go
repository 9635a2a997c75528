package datapath

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
)

// contents is what is in the configuration maps, or in a part of them. Arrays
// are keyed by index; an entry without ID or digest is a free place.
type contents struct {
	generation uint32 // last one given to an ID
	targets    map[uint32]edgeTarget
	tables     map[uint32][]uint32 // group index -> slots; never read back
	groups     map[uint32]edgeGroup
	prefixes   map[netip.Prefix]uint32
	clients    map[client]struct{}
	listeners  map[uint32]edgeListener
	keys       map[edgeListenerKey]uint32
	vips       map[netip.Addr]edgeVip
	counters   map[uint32]struct{} // balancers whose counters start at zero; never read back
}

func newContents() contents {
	return contents{
		targets:   map[uint32]edgeTarget{},
		tables:    map[uint32][]uint32{},
		groups:    map[uint32]edgeGroup{},
		prefixes:  map[netip.Prefix]uint32{},
		clients:   map[client]struct{}{},
		listeners: map[uint32]edgeListener{},
		keys:      map[edgeListenerKey]uint32{},
		vips:      map[netip.Addr]edgeVip{},
		counters:  map[uint32]struct{}{},
	}
}

func (c contents) clone() contents {
	c.targets = maps.Clone(c.targets)
	c.tables = maps.Clone(c.tables)
	c.groups = maps.Clone(c.groups)
	c.prefixes = maps.Clone(c.prefixes)
	c.clients = maps.Clone(c.clients)
	c.listeners = maps.Clone(c.listeners)
	c.keys = maps.Clone(c.keys)
	c.vips = maps.Clone(c.vips)
	c.counters = maps.Clone(c.counters)
	return c
}

// IDs carry the index in their lower half and a generation above, so that what
// refers to an entry never takes its successor for it.
func makeID(generation, index uint32) uint32 { return generation<<16 | index }

func indexOf(id uint32) uint32 { return id & 0xffff }

// digest stands for a name in the maps: fixed in size and found again by a new
// process.
func digest(parts ...string) [16]byte {
	h := sha256.New()
	for _, p := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write([]byte(p))
	}
	return [16]byte(h.Sum(nil)[:16])
}

// addrToMap writes an address as the program keeps it: 16 bytes in network
// order, IPv4 mapped.
func addrToMap(a netip.Addr) edgeAddr {
	b := a.As16()
	return edgeAddr{D: [2]uint64{binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])}}
}

func addrFromMap(a edgeAddr) netip.Addr {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], a.D[0])
	binary.NativeEndian.PutUint64(b[8:], a.D[1])
	return netip.AddrFrom16(b).Unmap()
}

// portToMap swaps a port into network order as the machine reads it.
func portToMap(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func portFromMap(p uint16) uint16 { return portToMap(p) }

// macToMap puts a MAC into the low 48 bits as a frame carries it.
func macToMap(mac [6]byte) uint64 {
	return binary.LittleEndian.Uint64([]byte{mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0})
}

func macFromMap(mac uint64) net.HardwareAddr {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], mac)
	return b[:6]
}
