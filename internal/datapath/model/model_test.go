package model

import (
	"net/netip"
	"testing"
)

// small is a world with one listener of each protocol and family.
func small() *Maps {
	m := &Maps{
		Settings: Settings{MAC: [6]byte{2, 0, 0, 0, 0, 1}, HZ: 250, Echo: true, HalfOpenSeconds: 30, ClosingSeconds: 10, AnswersPerJiffy: 1, AnswersBurst: 5},
		Now:      1000, Keys: map[ListenerKey]uint32{}, Listeners: map[uint32]Listener{}, VIPs: map[netip.Addr]bool{},
		Groups: map[uint32]Group{0: {Slots: []uint32{1}}, 1: {Slots: []uint32{2}}},
		Targets: map[uint32]Target{
			1: {ID: 1, Addr: netip.MustParseAddrPort("198.18.0.21:8080")}, 2: {ID: 2, Addr: netip.MustParseAddrPort("[2001:db8::21]:8080")},
		},
		Flows: make([]Bucket, 1), HalfOpen: make([]Bucket, 1),
		Reasons: map[string]uint64{}, Events: map[string]uint64{}, Balancers: map[uint32]*Counts{},
	}
	for i, at := range []string{"198.18.0.100:80", "[2001:db8::100]:80"} {
		for _, proto := range []uint8{protoTCP, protoUDP} {
			vip, id := netip.MustParseAddrPort(at), uint32(len(m.Listeners)+1)
			m.Listeners[id] = Listener{ID: id, VIP: vip, Proto: proto, IdleSeconds: 60, Choices: []Choice{{uint32(i), 1<<32 - 1}}}
			m.Keys[ListenerKey{vip, proto}], m.VIPs[vip.Addr()] = id, true
		}
	}
	return m
}

// Any bytes lead to one verdict, one reason, and no frame larger than the answer
// to a neighbour solicitation would make it.
func FuzzProcess(f *testing.F) {
	syn := []byte("\x02\x00\x00\x00\x00\x01\x02\x02\x00\x00\x00\x07\x08\x00" +
		"\x45\x00\x00\x28\x12\x34\x00\x00\x3d\x06\x00\x00\xcb\x00\x71\x0a\xc6\x12\x00\x64" +
		"\x04\xd2\x00\x50\x00\x00\x00\x01\x00\x00\x00\x00\x50\x02\x00\x00\x00\x00\x00\x00")
	f.Add(syn)
	f.Add(syn[:40])
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\x02\x02\x00\x00\x00\x07\x08\x06"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m := small()
		action, out := m.Process(frame)
		if action != Drop && action != Pass && action != TX {
			t.Errorf("action = %d", action)
		}
		total := uint64(0)
		for _, n := range m.Reasons {
			total += n
		}
		if total != 1 {
			t.Errorf("reasons = %v, want exactly one", m.Reasons)
		}
		if action == Pass && string(out) != string(frame) {
			t.Errorf("a frame for the kernel was changed: %x", out)
		}
		if len(out) > max(len(frame), 86) {
			t.Errorf("%d bytes became %d", len(frame), len(out))
		}
	})
}
