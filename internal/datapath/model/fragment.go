package model

import "net/netip"

// Datagram says what becomes of a UDP datagram's fragments.
type Datagram struct {
	id       uint32
	src, dst netip.Addr
	seen     uint64 // jiffies of the first one

	from, to netip.Addr // they are sent on
	mac      [6]byte
	listener Listener
	reason   string
}

const (
	datagramPlaces  = 8192
	datagramSeconds = 5
)

// place is where a datagram is kept; the last one to come has it.
func (r *run) place() uint64 {
	key := r.Settings.Key[keyPick:]
	return finish(key[11]+r.sum(keyPick, r.p.src)+r.sum(keyPick+4, r.p.dst)+key[8]*uint64(r.p.id)) % datagramPlaces
}

// follow has the other fragments of a datagram go where its first one goes.
func (r *run) follow(l Listener, from, to netip.Addr, mac [6]byte, reason string) {
	if r.p.fragment {
		r.Datagrams[r.place()] = Datagram{r.p.id, r.p.src, r.p.dst, r.Now, from, to, mac, l, reason}
	}
}

func (r *run) later() Action {
	d, ok := r.Datagrams[r.place()]
	if !ok || d.id != r.p.id || d.src != r.p.src || d.dst != r.p.dst || r.Now > d.seen+datagramSeconds*r.Settings.HZ {
		return r.unwanted("fragment")
	}
	r.editAddrs(d.from, d.to, d.mac)
	r.processed(d.listener)
	return r.verdict(TX, d.reason)
}
