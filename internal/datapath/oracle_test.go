package datapath

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

var oracleFrames = flag.Int("oracle-frames", 1000, "frames in each random sequence that the program is compared with the model on; there are -rapid.checks of them")

// everything is a world with one of each: both families, both protocols, source
// NAT, hairpins, weights, stickiness, terminated and vanished targets, empty
// groups and groups of the other family.
func everything(rng *rand.Rand) *world {
	w := newWorld(rng, rng.IntN(2) == 0)
	for i, a := range []string{"198.18.0.100", "198.18.0.101", "2001:db8::100"} {
		w.vip(netip.MustParseAddr(a), uint32(i))
	}
	id := func(i uint32) uint32 { return makeID(3, i) }
	w.target(id(0), "198.18.0.21:8080", 0, 5, 0)
	w.target(id(1), "198.18.0.22:8080", 0, 7, 0)
	w.target(id(2), "[2001:db8::21]:8080", 1, 5, 0)
	w.target(id(3), "[2001:db8::22]:8080", 1, 0, 0)
	w.target(id(4), "198.18.0.23:53", 2, 0, targetTerminate)
	w.target(id(5), "198.18.0.21:53", 2, 5, 0)
	w.target(id(6), "198.18.0.21:8080", 3, 5, 0) // the endpoint of target 0 in another group
	gone := makeID(2, 9)
	w.group(0, 0, id(0), id(1), id(0))
	w.group(1, groupFailOpen, id(2), id(3))
	w.group(2, groupSticky, id(4), id(5), gone)
	w.group(3, groupSourceNAT, id(6), id(1))
	w.group(4, groupUnresolved)
	w.group(5, 0, id(6))
	half := edgeChoice{Group: 0, Bound: 1 << 31}
	w.listener(id(0), "198.18.0.100:80", ipProtoTCP, 60, half, edgeChoice{Group: 3, Bound: 1<<32 - 1})
	w.listener(id(1), "198.18.0.100:53", ipProtoUDP, 120, edgeChoice{Group: 2, Bound: 1<<32 - 1})
	w.listener(id(2), "[2001:db8::100]:80", ipProtoTCP, 350, edgeChoice{Group: 1, Bound: 1<<32 - 1})
	w.listener(id(3), "[2001:db8::100]:53", ipProtoUDP, 120, edgeChoice{Group: 1, Bound: 1 << 31}, half)
	w.listener(id(4), "198.18.0.101:80", ipProtoTCP, 350, edgeChoice{Group: 5, Bound: 1<<32 - 1})
	w.listener(id(5), "198.18.0.101:81", ipProtoTCP, 350, edgeChoice{Group: 4, Bound: 1<<32 - 1})
	w.listener(id(6), "198.18.0.101:82", ipProtoTCP, 350, edgeChoice{Group: 0, Bound: 1 << 30})
	w.listener(id(7), "198.18.0.101:53", ipProtoUDP, 120, edgeChoice{Group: 3, Bound: 1<<32 - 1})
	for p, instance := range map[string]uint32{"198.18.1.0/24": 5, "198.18.1.128/25": 7, "2001:db8:1::/64": 5} {
		prefix := netip.MustParsePrefix(p)
		w.contents.prefixes[prefix] = instance
		w.model.Prefixes[prefix] = instance
	}
	if rng.IntN(4) == 0 {
		w.own(id(1))
		w.own(id(2))
	}
	if rng.IntN(2) == 0 {
		w.securityGroups(id)
	}
	if rng.IntN(2) == 0 {
		w.spreadByClient(id(0))
		w.spreadByClient(id(3))
	}
	if rng.IntN(2) == 0 {
		w.local(id(8), "198.18.0.100:443")
		w.local(id(9), "[2001:db8::100]:443")
	}
	return w
}

// spreadByClient has the client's address decide the group.
func (w *world) spreadByClient(id uint32) {
	entry, l := w.contents.listeners[indexOf(id)], w.model.Listeners[id]
	entry.Flags |= listenerSticky
	l.Sticky = true
	w.contents.listeners[indexOf(id)], w.model.Listeners[id] = entry, l
}

// pools from which packets are drawn: small, so that they meet.
var (
	clients4 = []string{"203.0.113.10", "192.0.2.10", "198.18.1.5", "198.18.1.200"}
	clients6 = []string{"3fff:0:0:2::10", "2001:db8:1::5"}
	vips4    = []string{"198.18.0.100:80", "198.18.0.100:80", "198.18.0.101:80", "198.18.0.101:81", "198.18.0.101:82", "198.18.0.101:999", "198.18.0.100:443", "198.18.0.100:40000"}
	vips6    = []string{"[2001:db8::100]:80", "[2001:db8::100]:80", "[2001:db8::100]:999", "[2001:db8::100]:443", "[2001:db8::100]:40000"}
	udp4     = []string{"198.18.0.100:53", "198.18.0.101:53"}
	udp6     = []string{"[2001:db8::100]:53"}
	tcpFlags = []uint8{fSYN, fSYN, fACK, fACK, fACK, fACK, fACK, fACK | 8, fFIN | fACK, fRST, fRST | fACK, fSYN | fACK, fSYN | fFIN, 0, 0x20}
)

// start is the state of the flow table that a sequence of packets begins with.
type start string

const (
	fromEmpty start = "an empty table"
	fromFull  start = "a full table"
	fromStale start = "a table full of idle flows"
)

// sequence is a run of random packets, which the seed decides.
type sequence struct {
	seed  uint64
	start start
}

// corpus are sequences that every run begins with: each start, and whatever once
// told program and model apart.
var corpus = []sequence{{1, fromEmpty}, {2, fromFull}, {3, fromFull}, {4, fromStale}, {5, fromStale}, {6, fromFull}, {7, fromEmpty}, {8, fromStale}}

func TestProgramDoesWhatTheModelSays(t *testing.T) {
	r := newRig(t)
	seen := map[string]uint64{}
	defer func() { reportUnseen(t, seen) }()
	for _, q := range corpus {
		t.Logf("sequence %d, %s", q.seed, q.start)
		r.play(t, q, seen)
	}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		starts := []start{fromEmpty, fromEmpty, fromEmpty, fromEmpty, fromEmpty, fromEmpty, fromFull, fromStale} // even draws: rapid's prefer the first
		q := sequence{seed, starts[seed%uint64(len(starts))]}
		r.play(t, q, seen)
	})
}

// play sends a sequence through program and model, and adds to seen what became
// of the packets.
func (r *rig) play(t fataler, q sequence, seen map[string]uint64) {
	rng := rand.New(rand.NewPCG(q.seed, 1))
	w := everything(rng)
	r.install(t, w)
	s := &source{rng, r.model}
	r.fill(t, w, s, q.start)
	for i := range *oracleFrames {
		if jump := s.jump(); jump != 0 {
			r.setClock(t, w, jump)
		}
		if s.pick(50) == 0 {
			r.change(t, w, s)
		}
		r.send(t, s.frame())
		if i%40 == 39 {
			r.compareCounters(t)
		}
	}
	r.compareCounters(t)
	for _, counts := range []map[string]uint64{r.model.Reasons, r.model.Events} {
		for name, n := range counts {
			seen[name] += n
		}
	}
}

// fill establishes flows until there is no room, unless the table begins empty;
// in a stale one all are past their idle timeout then, and a few take their places.
func (r *rig) fill(t fataler, w *world, s *source, start start) {
	if start == fromEmpty {
		return
	}
	room := 3 * rigBuckets * slotsPerBucket
	r.establish(t, s, 2000, room)
	r.converse(t, s, 20)
	if start == fromStale {
		r.setClock(t, w, 61*rigHZ)
		r.establish(t, s, 2000+room, 10)
	}
}

// establish makes n flows of one client, as far as there is room.
func (r *rig) establish(t fataler, s *source, first, n int) {
	vip := "198.18.0.100:80"
	for port := range n {
		client := fmt.Sprintf("192.0.2.99:%d", first+port)
		r.send(t, tcp(client, vip, fSYN, 100, 0, 0))
		for _, b := range s.m.HalfOpen {
			for _, f := range b {
				if target, ok := s.m.Targets[f.Target]; ok && f.State == model.Opening && f.NAT == 0 && f.Client.String() == client {
					r.send(t, tcp(target.Addr.String(), client, fSYN|fACK, 500, 101, 0))
					r.send(t, tcp(client, vip, fACK, 101, 501, 0))
				}
			}
		}
	}
}

// converse has n clients exchange datagrams until their flows are established, as
// far as there is room.
func (r *rig) converse(t fataler, s *source, n int) {
	vip := "198.18.0.100:53"
	for port := range n {
		client := fmt.Sprintf("192.0.2.99:%d", 2000+port)
		r.send(t, udp(client, vip, 8))
		for _, b := range s.m.HalfOpen {
			for _, f := range b {
				if target, ok := s.m.Targets[f.Target]; ok && f.State == model.Opening && f.NAT == 0 && f.Client.String() == client {
					r.send(t, udp(target.Addr.String(), client, 8))
					r.send(t, udp(client, vip, 8))
				}
			}
		}
	}
}

// change alters the configuration under the flows: a target is terminated,
// restored or taken away, a listener goes.
func (r *rig) change(t fataler, w *world, s *source) {
	id := pickOf(s, []uint32{makeID(3, 0), makeID(3, 1), makeID(3, 5), makeID(3, 6)})
	target, known := w.contents.targets[indexOf(id)]
	var err error
	switch s.pick(30) {
	case 0, 3:
		target = edgeTarget{}
	case 1, 4, 5:
		target.Flags |= targetTerminate
	case 6:
		w.makeDeleted(makeID(3, 4))
		err = r.store.put(contents{listeners: map[uint32]edgeListener{4: w.contents.listeners[4]}})
	case 2:
		l := makeID(3, 0)
		key := w.contents.listeners[indexOf(l)]
		err = r.store.remove(contents{keys: map[edgeListenerKey]uint32{{Vip: key.Vip, Port: key.Port, Proto: key.Proto}: l}, listeners: map[uint32]edgeListener{indexOf(l): key}})
		delete(r.model.Listeners, l)
		delete(r.model.Keys, model.ListenerKey{VIP: netip.MustParseAddrPort("198.18.0.100:80"), Proto: ipProtoTCP})
	default:
		target.Flags &^= targetTerminate
	}
	if !known {
		return
	}
	if err = errors.Join(err, r.store.put(contents{targets: map[uint32]edgeTarget{indexOf(id): target}})); err != nil {
		t.Fatalf("%v", err)
	}
	one := r.model.Targets[id]
	one.ID, one.Terminate = id, target.Flags&targetTerminate != 0
	one.Addr = netip.AddrPortFrom(addrFromMap(w.contents.targets[indexOf(id)].Addr), portFromMap(w.contents.targets[indexOf(id)].Port))
	one.Instance, one.MAC = w.contents.targets[indexOf(id)].Instance, [6]byte(macFromMap(w.contents.targets[indexOf(id)].Mac))
	entry := w.contents.targets[indexOf(id)]
	one.NoTCP, one.NoUDP = entry.Flags&targetNoTCP != 0, entry.Flags&targetNoUDP != 0
	one.ClientsTCP, one.ClientsUDP = entry.ClientsTcp, entry.ClientsUdp
	if r.model.Targets[id] = one; target.Id == 0 {
		delete(r.model.Targets, id)
	}
}

// reportUnseen fails when random packets do not reach some verdict any more: a
// comparison that never happens proves nothing.
func reportUnseen(t *testing.T, seen map[string]uint64) {
	unreachable := map[string]bool{
		"pass_settings":  true,                       // the rig always has settings
		"drop_error":     true,                       // frames change their length only in the driver's hands
		"drop_restoring": true,                       // see the named packets
		"reset_no_port":  true, "drop_no_port": true, // see the named packets
	}
	failed := t.Failed()
	for _, name := range append(reasonNames(), eventNames()...) {
		if seen[name] == 0 && !unreachable[name] && !failed {
			t.Errorf("no random packet led to %s", name)
		}
	}
	t.Log(seen)
}
