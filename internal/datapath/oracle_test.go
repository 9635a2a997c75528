package datapath

import (
	"encoding/binary"
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

// source draws packets. It looks at the model's flows to answer them. Draws are
// even, which rapid's are not: full tables need all the variety there is.
type source struct {
	rng *rand.Rand
	m   *model.Maps
}

func (s *source) pick(n int) int { return s.rng.IntN(n) }

func pickOf[T any](s *source, of []T) T { return of[s.pick(len(of))] }

func (s *source) frame() []byte {
	var f []byte
	switch s.pick(14) {
	case 0, 1, 2, 12, 13:
		f = s.fromClient()
	case 3, 4, 5, 6:
		f = s.ofFlow(true)
	case 7, 8, 9:
		f = s.ofFlow(false)
	case 10:
		f = s.icmp()
	default:
		f = s.neighbor()
	}
	if s.pick(3) == 0 {
		f = s.fragment(f)
	}
	if s.pick(12) == 0 {
		f = s.mutate(f)
	}
	if s.pick(5) == 0 && len(f) >= 54 { // test runs at egress take no IP header that is cut short
		f = sent(f)
	}
	return f
}

// fragment makes fragments of UDP packets; those of few datagrams, so that they
// belong together.
func (s *source) fragment(f []byte) []byte {
	if isUDP := f[12] == 0x08 && f[13] == 0 && f[23] == ipProtoUDP || f[12] == 0x86 && f[20] == ipProtoUDP; !isUDP {
		return f
	}
	return fragment(f, pickOf(s, []uint16{0, 1, 5}), s.pick(3) != 0, uint32(s.pick(2)))
}

func (s *source) options() segmentOptions {
	o := segmentOptions{
		flags: pickOf(s, tcpFlags), seq: uint32(s.pick(3)), ack: uint32(s.pick(3)),
		payload: pickOf(s, []int{0, 0, 1, 7, 64}), ipOptions: pickOf(s, []int{0, 0, 0, 0, 4, 40}),
	}
	o.fromMAC = [6]byte{2, 2, 0, 0, 0, byte(s.pick(2))}
	return o
}

func (s *source) port() string {
	return fmt.Sprintf(":%d", 1024+s.pick(24))
}

func (s *source) fromClient() []byte {
	o := s.options()
	to4, to6 := vips4, vips6
	if o.proto = ipProtoTCP; s.pick(4) == 0 {
		o.proto, to4, to6 = ipProtoUDP, udp4, udp6
	}
	if s.pick(3) == 0 {
		o.src, o.dst = "["+pickOf(s, clients6)+"]"+s.port(), pickOf(s, to6)
	} else {
		o.src, o.dst = pickOf(s, clients4)+s.port(), pickOf(s, to4)
	}
	if s.pick(4) != 0 {
		o.flags = fSYN
	}
	if s.pick(200) == 0 {
		o.src, o.dst = "127.0.0.1:1024", to4[0]
	}
	return segment(o)
}

// flow draws one of the flows that exist; ok is false when there is none.
func (s *source) flow() (f model.Flow, l model.Listener, t model.Target, ok bool) {
	var all []model.Flow
	for _, table := range [][]model.Bucket{s.m.Flows, s.m.HalfOpen} {
		for _, b := range table {
			for _, f := range b {
				if f.State != model.Free && f.State != model.NAT {
					all = append(all, f)
				}
			}
		}
	}
	if len(all) == 0 {
		return f, l, t, false
	}
	f = pickOf(s, all)
	l, known := s.m.Listeners[f.Listener]
	t, reachable := s.m.Targets[f.Target]
	return f, l, t, reachable && (known || f.NAT == 0)
}

// ofFlow draws a packet of an existing flow, often the one that moves it on.
func (s *source) ofFlow(fromClient bool) []byte {
	f, l, t, ok := s.flow()
	if !ok {
		return s.fromClient()
	}
	o := s.options()
	o.proto = f.Proto
	if fromClient {
		if l.ID == 0 {
			return s.fromClient()
		}
		o.src, o.dst = f.Client.String(), l.VIP.String()
		if s.pick(8) != 0 {
			o.flags, o.ack = fACK, uint32(f.Bytes)
		}
		return segment(o)
	}
	o.src, o.dst = t.Addr.String(), f.Client.String()
	if f.NAT != 0 {
		o.dst = netip.AddrPortFrom(l.VIP.Addr(), f.NAT).String()
	}
	if f.State == model.Opening && s.pick(8) != 0 {
		o.flags = fSYN | fACK
	}
	return segment(o)
}

// quote draws the IP packet that an error is about: one that the client got, or
// one that the target got.
func (s *source) quote() []byte {
	f, l, t, ok := s.flow()
	if !ok || l.ID == 0 {
		return s.fromClient()[14:]
	}
	o := s.options()
	o.proto = f.Proto
	if s.pick(8) == 0 { // about what user space may have sent
		o.src, o.dst = pickOf(s, vips4), pickOf(s, clients4)+s.port()
		return segment(o)[14:]
	}
	o.src, o.dst = l.VIP.String(), f.Client.String()
	if s.pick(2) == 0 {
		o.src, o.dst = f.Client.String(), t.Addr.String()
		if f.NAT != 0 {
			o.src = netip.AddrPortFrom(l.VIP.Addr(), f.NAT).String()
		}
	}
	if s.pick(4) != 0 {
		o.ipOptions = 0
	}
	if s.pick(2) == 0 {
		return s.fragment(segment(o))[14:]
	}
	return segment(o)[14:]
}

func (s *source) icmp() []byte {
	inner := s.quote()
	v6 := inner[0]>>4 == 6
	size := min(len(inner), 28+s.pick(30))
	at, proto, types := 12, uint8(1), []uint8{3, 3, 3, 8, 0, 11}
	length := 4
	if v6 {
		size = min(len(inner), 48+s.pick(30))
		at, proto, types, length = 8, 58, []uint8{1, 2, 2, 3, 128, 129}, 16
	}
	back, _ := netip.AddrFromSlice(inner[at : at+length])
	from, _ := netip.AddrFromSlice(inner[at+length : at+2*length])
	if s.pick(3) == 0 {
		from = netip.MustParseAddr(map[bool]string{false: "10.1.1.1", true: "3fff::1"}[v6])
	}
	message := append([]byte{pickOf(s, types), byte(s.pick(5)), 0, 0, 0, 0, 5, 0}, inner[:size]...)
	if v6 {
		binary.BigEndian.PutUint16(message[2:], sumOf(from, back, proto, message))
	} else {
		binary.BigEndian.PutUint16(message[2:], fold(0, message))
	}
	return packetFrame(s.options(), from, back, proto, message)
}

func (s *source) neighbor() []byte {
	if s.pick(2) == 0 {
		f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, clientMAC[:]...)
		f = append(f, 8, 6, 0, 1, 8, 0, 6, 4, 0, byte(1+s.pick(2)))
		f = append(append(f, clientMAC[:]...), 198, 18, 0, byte(pickOf(s, []int{10, 100})))
		return append(f, 0, 0, 0, 0, 0, 0, 198, 18, 0, byte(pickOf(s, []int{4, 100, 101})))
	}
	src := netip.MustParseAddr(pickOf(s, []string{"::", "2001:db8::10"}))
	target := netip.MustParseAddr(pickOf(s, []string{"2001:db8::4", "2001:db8::100", "::ffff:198.18.0.100"}))
	message := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	if s.pick(2) == 0 {
		message = append(append(message, 1, 1), clientMAC[:]...)
	}
	f := packetFrame(segmentOptions{}, src, netip.MustParseAddr("ff02::1:ff00:100"), 58, message)
	f[21] = byte(pickOf(s, []int{255, 255, 64}))
	return f
}

// mutate breaks a frame a little.
func (s *source) mutate(f []byte) []byte {
	if s.pick(3) == 0 {
		return f[:max(14, s.pick(len(f)+1))]
	}
	f[s.pick(min(len(f), 90))] ^= 1 << s.pick(8)
	return f
}

// jump draws how far the clock goes before the next frame: mostly nowhere, now
// and then past one of the timeouts.
func (s *source) jump() uint64 {
	switch s.pick(250) {
	default:
		return 0
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15:
		return 1
	case 0:
	}
	return pickOf(s, []uint64{25, 9 * rigHZ, 11 * rigHZ, 31 * rigHZ, 61 * rigHZ, 61 * rigHZ, 61 * rigHZ, 400 * rigHZ})
}

func TestProgramDoesWhatTheModelSays(t *testing.T) {
	r := newRig(t)
	seen := map[string]uint64{}
	defer func() { reportUnseen(t, seen) }()
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		w := everything(rng)
		r.install(t, w)
		s := &source{rng, r.model}
		if s.pick(4) == 0 {
			r.fill(t, w, s)
		}
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
	})
}

// fill establishes flows until there is no room, so that a sequence starts where
// others seldom come; now and then all are past their idle timeout then, and a few
// take their places.
func (r *rig) fill(t fataler, w *world, s *source) {
	full := 3 * rigBuckets * slotsPerBucket
	r.establish(t, s, 2000, full)
	late := pickOf(s, []uint64{0, 61 * rigHZ})
	r.setClock(t, w, late)
	if late > 0 {
		r.establish(t, s, 2000+full, 10)
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
