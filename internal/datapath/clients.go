package datapath

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
)

// Names and numbers of sets of clients, as in bpf/maps.h. All others are named
// and numbered by what is in them, so that they stay the same without memory.
const (
	everyone = ""
	nobody   = "nobody"

	clientsEveryone = 0
	clientsNobody   = 1
)

// clients is the part of a set of the snapshot that clients of one family can be
// in, which is those that can meet an address. A set that is not there is
// nobody's: what cannot be judged is not let through.
func (d *desire) clients(name string, meeting netip.Addr) string {
	if name == "" {
		return everyone
	}
	all, known := d.in.Snapshot.ClientSets[name]
	if !known {
		d.unserved("clients %s: the set is not in the snapshot, so that nobody is let in", name)
	}
	var family []netip.Prefix
	var texts []string
	for _, p := range all {
		if p.Addr().Is4() != meeting.Unmap().Is4() {
			continue
		}
		if p.Bits() == 0 {
			return everyone
		}
		family, texts = append(family, p.Masked()), append(texts, p.Masked().String())
	}
	if len(family) == 0 {
		return nobody
	}
	slices.Sort(texts)
	key := strings.Join(texts, " ")
	d.out.Clients[key] = family
	return key
}

// clientsNumber is what the maps call a set: 64 bits of a digest, so that no two
// sets ever share one.
func clientsNumber(name string) uint64 {
	switch name {
	case everyone:
		return clientsEveryone
	case nobody:
		return clientsNobody
	}
	sum := digest("clients", name)
	return binary.LittleEndian.Uint64(sum[:]) | 1<<63
}

// client is an entry of the map of clients.
type client struct {
	set    uint64
	prefix netip.Prefix
}

// clients lists who is in which set. What does not fit is left out, so that it
// is not let in.
func (s *assigner) clients() {
	for name, prefixes := range s.tables.Clients {
		number := clientsNumber(name)
		for _, p := range prefixes {
			s.want.clients[client{number, p}] = struct{}{}
		}
	}
	if more := len(s.want.clients) - maxClients; more > 0 {
		s.lacking["prefixes of clients"] = more
		s.shed(more)
	}
}

// shed gives up the last sets, always the same ones.
func (s *assigner) shed(more int) {
	all := make([]client, 0, len(s.want.clients))
	for c := range s.want.clients {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b client) int {
		if a.set != b.set {
			return map[bool]int{true: -1, false: 1}[a.set < b.set]
		}
		return strings.Compare(a.prefix.String(), b.prefix.String())
	})
	for _, c := range all[len(all)-more:] {
		delete(s.want.clients, c)
	}
}

// clientKey is struct client_key, which is packed.
type clientKey [28]byte

func clientToMap(c client) (k clientKey) {
	inner := prefixToMap(c.prefix)
	binary.NativeEndian.PutUint32(k[:4], binary.NativeEndian.Uint32(inner[:4])+64)
	binary.NativeEndian.PutUint64(k[4:], c.set)
	copy(k[12:], inner[4:])
	return k
}

func clientFromMap(k clientKey) client {
	var inner prefixKey
	binary.NativeEndian.PutUint32(inner[:4], binary.NativeEndian.Uint32(k[:4])-64)
	copy(inner[4:], k[12:])
	return client{binary.NativeEndian.Uint64(k[4:]), prefixFromMap(inner)}
}

func clientKeys(clients map[client]struct{}) map[clientKey]uint32 {
	out := make(map[clientKey]uint32, len(clients))
	for c := range clients {
		out[clientToMap(c)] = 1
	}
	return out
}
