package datapath

import (
	"math/rand/v2"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// world is a configuration in the words of both sides.
type world struct {
	settings edgeSetting
	contents contents
	model    model.Maps
}

func newWorld(rng *rand.Rand, echo bool) *world {
	w := &world{contents: newContents()}
	s := edgeSetting{
		Mac: macToMap(rigMAC), Now: 1 << 33, Hz: rigHZ, FlowMask: rigBuckets - 1, HalfMask: rigBuckets/2 - 1, LockMask: rigBuckets/2 - 1,
		HalfOpenSeconds: halfOpenSeconds, ClosingSeconds: closingSeconds, AnswersPerJiffy: 1, AnswersBurst: 20,
	}
	for i := range s.Key {
		s.Key[i] = rng.Uint64()
	}
	if echo {
		s.Flags = settingEcho
	}
	w.settings = s
	w.model = model.Maps{
		Settings: model.Settings{
			Key: s.Key, MAC: rigMAC, HZ: rigHZ, Echo: echo, HalfOpenSeconds: halfOpenSeconds,
			ClosingSeconds: closingSeconds, AnswersPerJiffy: 1, AnswersBurst: 20,
		},
		Now: s.Now, Keys: map[model.ListenerKey]uint32{}, Listeners: map[uint32]model.Listener{},
		VIPs: map[netip.Addr]bool{}, Groups: map[uint32]model.Group{}, Targets: map[uint32]model.Target{},
		Prefixes: map[netip.Prefix]uint32{}, Clients: map[uint64][]netip.Prefix{}, Echo: map[netip.Addr]model.Echo{}, Local: map[netip.Addr]bool{},
		Flows: make([]model.Bucket, rigBuckets), HalfOpen: make([]model.Bucket, rigBuckets/2),
	}
	return w
}

func (w *world) vip(a netip.Addr, balancer uint32) {
	w.contents.vips[a] = edgeVip{Balancer: balancer}
	w.model.VIPs[a] = true
	w.model.Echo[a] = model.Echo{Balancer: balancer}
}

func (w *world) target(id uint32, addr string, group, instance uint32, flags uint16) {
	at := netip.MustParseAddrPort(addr)
	mac := [6]byte{0x02, 1, 0, 0, 0, byte(id)}
	w.contents.targets[indexOf(id)] = edgeTarget{
		Addr: addrToMap(at.Addr()), Port: portToMap(at.Port()), Id: id, Group: group,
		Instance: instance, Mac: macToMap(mac), Flags: flags,
	}
	w.model.Targets[id] = model.Target{ID: id, Addr: at, Terminate: flags&targetTerminate != 0, Instance: instance, MAC: mac}
}

func (w *world) group(index, flags uint32, slots ...uint32) {
	w.contents.groups[index] = edgeGroup{Digest: [16]byte{1, byte(index)}, Flags: flags, Slots: uint32(len(slots))}
	w.contents.tables[index] = slots
	w.model.Groups[index] = model.Group{
		SourceNAT: flags&groupSourceNAT != 0, Sticky: flags&groupSticky != 0, FailOpen: flags&groupFailOpen != 0, Slots: slots,
		Unresolved: flags&groupUnresolved != 0,
	}
}

func (w *world) listener(id uint32, vip string, proto uint8, idle uint32, choices ...edgeChoice) {
	at := netip.MustParseAddrPort(vip)
	entry := edgeListener{
		Id: id, Vip: addrToMap(at.Addr()), Port: portToMap(at.Port()), Proto: proto, IdleSeconds: idle, Choices: uint32(len(choices)),
	}
	copy(entry.Choice[:], choices)
	l := model.Listener{ID: id, VIP: at, Proto: proto, IdleSeconds: uint64(idle)}
	for _, c := range choices {
		l.Choices = append(l.Choices, model.Choice{Group: c.Group, Bound: c.Bound})
	}
	w.contents.listeners[indexOf(id)] = entry
	w.contents.keys[edgeListenerKey{Vip: entry.Vip, Port: entry.Port, Proto: proto}] = id
	w.model.Listeners[id] = l
	w.model.Keys[model.ListenerKey{VIP: at, Proto: proto}] = id
}

// own makes it a target of this machine.
func (w *world) own(id uint32) {
	entry, t := w.contents.targets[indexOf(id)], w.model.Targets[id]
	entry.Mac, t.MAC = macToMap(rigMAC), rigMAC
	w.contents.targets[indexOf(id)], w.model.Targets[id] = entry, t
}
