package model

import "net/netip"

// Datagram says what becomes of a UDP datagram's fragments, or, where an error
// quotes one, what it was before and who sent it.
type Datagram struct {
	key  datagramKey
	seen uint64 // jiffies of the first one

	from, to netip.Addr // they are sent on
	mac      [6]byte
	listener Listener
	reason   string
}

const (
	datagramPlaces  = 16384
	datagramSeconds = 5
)

type datagramKey struct {
	src, dst netip.Addr
	id       uint32
	quoted   bool
}

// place is where a datagram is kept; the last one to come has it.
func (r *run) place(k datagramKey) uint64 {
	key := r.Settings.Key[keyPick:]
	sum := key[11] + r.sum(keyPick, k.src) + r.sum(keyPick+4, k.dst) + key[8]*uint64(k.id)
	if k.quoted {
		sum += key[9]
	}
	return finish(sum) % datagramPlaces
}

func (r *run) keep(d Datagram) { r.Datagrams[r.place(d.key)] = d }

// follow has the other fragments of a datagram go where its first one goes, and
// errors about them back.
func (r *run) follow(d Datagram) {
	if !r.p.fragment {
		return
	}
	p := &r.p
	d.key, d.seen = datagramKey{p.src, p.dst, p.id, false}, r.Now
	r.keep(d)
	d.key = datagramKey{d.from, d.to, p.id, true}
	d.from, d.to, d.mac = p.src, p.dst, p.mac
	r.keep(d)
}

func (r *run) datagram(k datagramKey) (Datagram, bool) {
	d, ok := r.Datagrams[r.place(k)]
	return d, ok && d.key == k && r.Now <= d.seen+datagramSeconds*r.Settings.HZ
}

func (r *run) later() Action {
	d, ok := r.datagram(datagramKey{r.p.src, r.p.dst, r.p.id, false})
	if !ok {
		return r.unwanted("fragment")
	}
	r.editAddrs(d.from, d.to, d.mac)
	r.processed(d.listener)
	return r.forward(d.mac, d.reason)
}

// errorAboutFragment is an error that quotes a fragment without ports.
func (r *run) errorAboutFragment(q quoted, vip bool) Action {
	d, ok := r.datagram(datagramKey{q.dst, q.src, q.id, true})
	if !ok {
		return r.notOurs(vip)
	}
	src := r.p.src
	behindNAT := d.reason == "sent_to_client" && d.to != q.src
	ofTarget := d.reason == "sent_to_target" && src == q.src
	if behindNAT || ofTarget {
		src = d.to
	}
	return r.sendError(q, sender{netip.AddrPortFrom(d.from, 0), d.mac}, netip.AddrPortFrom(d.to, 0), src)
}
