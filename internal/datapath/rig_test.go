package datapath

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// rig runs frames through the program and the model and holds one against the
// other: what becomes of the frame, the flow tables, and the counters.
type rig struct {
	objs   *edgeObjects
	egress *ebpf.Program
	store  *bpfStore
	model  *model.Maps
	base   readings // counters before
	out    []byte
}

const (
	rigBuckets = 2 // few, so that buckets fill up
	rigHZ      = 250
)

var rigMAC = [6]byte{0x02, 0, 0, 0, 0, 0x01}

func newRig(t testing.TB) *rig {
	t.Helper()
	// Counters of our own answers are per CPU, and so is their limit.
	runtime.LockOSThread()
	var cpu unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpu); err != nil {
		t.Fatal(err)
	}
	for i := range 1024 {
		if cpu.IsSet(i) {
			cpu.Zero()
			cpu.Set(i)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &cpu); err != nil {
		t.Fatal(err)
	}
	edit := func(spec *ebpf.CollectionSpec) error {
		spec.Maps[edgeMapHalfOpen].MaxEntries = rigBuckets / 2
		return spec.Variables[edgeVarFixedClock].Set(uint32(1))
	}
	objs, store, err := load("", rigBuckets*slotsPerBucket/slotsPerFlow, edit)
	if err != nil {
		t.Fatalf("loading the program needs root: %v", err)
	}
	t.Cleanup(func() { objs.Close() })
	egress, err := newEgress(objs, edit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { egress.Close() })
	if err := aloneNow(objs); err != nil {
		t.Fatal(err)
	}
	return &rig{objs: objs, egress: egress, store: store, out: make([]byte, 4096)}
}

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

// install writes the world into the maps, which may hold another one, and empties
// the flow tables.
func (r *rig) install(t fataler, w *world) {
	t.Helper()
	have, err := r.store.load()
	if err != nil {
		t.Fatalf("%v", err)
	}
	zeroFlows(t, r.objs.Flows)
	zeroFlows(t, r.objs.HalfOpen)
	have.tables = tablesOf(have.groups)
	if err := r.store.remove(have); err != nil {
		t.Fatalf("%v", err)
	}
	if err := r.store.put(w.contents); err != nil {
		t.Fatalf("%v", err)
	}
	limiters := make([]edgeLimiter, ebpf.MustPossibleCPU())
	if err := r.objs.Limiters.Put(uint32(0), limiters); err != nil {
		t.Fatalf("%v", err)
	}
	m := w.model
	zeroDatagrams(t, r.objs.Datagrams)
	m.Datagrams = map[uint64]model.Datagram{}
	m.Reasons, m.Events, m.Balancers = map[string]uint64{}, map[string]uint64{}, map[uint32]*model.Counts{}
	r.model = &m
	r.setClock(t, w, 0)
	r.base = r.read(t)
}

func (r *rig) setClock(t fataler, w *world, jiffies uint64) {
	w.settings.Now += jiffies
	if r.model != nil {
		r.model.Now = w.settings.Now
	}
	if err := r.store.putSettings(w.settings); err != nil {
		t.Fatalf("%v", err)
	}
}

// fataler is what testing.TB and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func zeroFlows(t fataler, m *ebpf.Map) {
	memory, err := m.Memory()
	if err != nil {
		t.Fatalf("%v", err)
	}
	if _, err := memory.WriteAt(make([]byte, m.MaxEntries()*uint32(unsafe.Sizeof(edgeBucket{}))), 0); err != nil {
		t.Fatalf("%v", err)
	}
}

// own makes it a target of this machine.
func (w *world) own(id uint32) {
	entry, t := w.contents.targets[indexOf(id)], w.model.Targets[id]
	entry.Mac, t.MAC = macToMap(rigMAC), rigMAC
	w.contents.targets[indexOf(id)], w.model.Targets[id] = entry, t
}

// sent makes a frame one that this machine sends.
func sent(frame []byte) []byte {
	frame = slices.Clone(frame)
	copy(frame, clientMAC[:])
	copy(frame[6:], rigMAC[:])
	return frame
}

// What the program at egress returns, as in linux/bpf.h.
var tcxOf = map[model.Action]int32{model.Drop: 2, model.Pass: -1, model.TX: -1, model.Up: 7}

// send runs a frame through both and compares frames and flow tables. A frame that
// this machine sends goes to the hook at egress.
func (r *rig) send(t fataler, frame []byte) (model.Action, []byte) {
	t.Helper()
	prog, process := r.objs.Edge, r.model.Process
	want := func(a model.Action) int32 { return int32(a) }
	if [6]byte(frame[6:12]) == rigMAC {
		prog, process = r.egress, r.model.ProcessEgress
		want = func(a model.Action) int32 { return tcxOf[a] }
	}
	opts := ebpf.RunOptions{Data: frame, DataOut: r.out}
	ret, err := prog.Run(&opts)
	if err != nil {
		t.Fatalf("run the program on %d bytes: %v", len(frame), err)
	}
	if isSolicitation := frame[12] == 0x86 && len(frame) > 54 && frame[54] == 135; len(opts.DataOut) > len(frame) && !isSolicitation {
		t.Fatalf("what was sent is larger than what caused it: %d bytes for %x", len(opts.DataOut), frame)
	}
	action, out := process(frame)
	if int32(ret) != want(action) {
		t.Fatalf("program returned %d, model %d, reasons of the model %v\nframe %x", int32(ret), action, r.model.Reasons, frame)
	}
	// What is dropped may have been edited halfway.
	if action != model.Drop && string(opts.DataOut) != string(out) {
		t.Fatalf("frames differ for %x:\nprogram %x\nmodel   %x", frame, opts.DataOut, out)
	}
	r.compareFlows(t, "flows", r.objs.Flows, r.model.Flows, frame)
	r.compareFlows(t, "half_open", r.objs.HalfOpen, r.model.HalfOpen, frame)
	return action, out
}

func (r *rig) compareFlows(t fataler, name string, m *ebpf.Map, want []model.Bucket, frame []byte) {
	t.Helper()
	memory, err := m.Memory()
	if err != nil {
		t.Fatalf("%v", err)
	}
	span := map[string]int{"flows": slotsPerBucket, "half_open": 4} // FLOW_SPAN, HALF_SPAN
	var bucket edgeBucket
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&bucket)), unsafe.Sizeof(bucket))
	for b := range want {
		if _, err := memory.ReadAt(raw, int64(b)*int64(len(raw))); err != nil {
			t.Fatalf("%v", err)
		}
		if name == "flows" {
			checkHomes(t, r.objs.Homes, b, &bucket)
		}
		for i := range bucket.Flow {
			if got := flowToModel(&bucket.Flow[i]); got != want[b][i] {
				t.Fatalf("%s[%d][%d] after %x (-model +program):\n%s", name, b, i, frame, cmp.Diff(fmt.Sprintf("%+v", want[b][i]), fmt.Sprintf("%+v", got)))
			}
			if got, want := bucket.Flow[i].Passed, passed(&bucket, i, span[name]); got != want {
				t.Fatalf("%s[%d][%d] says that %d records lie behind it, want %d, after %x", name, b, i, got, want, frame)
			}
			if bucket.Flow[i].Version&1 != 0 {
				t.Fatalf("%s[%d][%d] is left half written", name, b, i)
			}
		}
	}
}

// passed counts the records of a bucket that lie behind a slot on their way, which
// goes round in span slots.
func passed(b *edgeBucket, slot, span int) (n uint8) {
	for _, f := range b.Flow {
		for d := range int(f.Distance) {
			if home := int(f.Home); home/span*span+(home+d)%span == slot {
				n++
			}
		}
	}
	return n
}

func flowToModel(f *edgeFlow) model.Flow {
	if f.State == uint8(edgeFlowStateFLOW_FREE) {
		return model.Flow{}
	}
	out := model.Flow{
		State: model.State(f.State), Flags: f.Flags, Proto: f.Proto, Seen: f.Seen,
		Client: netip.AddrPortFrom(addrFromMap(f.Client), portFromMap(f.Port)),
		NAT:    portFromMap(f.Nat), Listener: f.Listener, Target: f.Target, Tag: f.Tag,
	}
	if out.State == model.NAT {
		out.VIPHash, out.IdleSeconds = f.Link, f.Bytes
		return out
	}
	copy(out.MAC[:], macFromMap(f.Link))
	out.IdleSeconds, out.Bytes = f.Link>>48, f.Bytes
	return out
}

// readings are all counters.
type readings struct {
	reasons, events map[string]uint64
	balancers       map[uint32]BalancerCounters
}

const rigBalancers = 3

func (r *rig) read(t fataler) readings {
	t.Helper()
	out := readings{balancers: map[uint32]BalancerCounters{}}
	var err error
	if out.reasons, err = r.store.reasons(); err != nil {
		t.Fatalf("%v", err)
	}
	if out.events, err = r.store.events(); err != nil {
		t.Fatalf("%v", err)
	}
	for i := range uint32(rigBalancers) {
		if out.balancers[i], err = r.store.balancer(i); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return out
}

// compareCounters holds all that the counters have moved since install against
// the model's.
func (r *rig) compareCounters(t fataler) {
	t.Helper()
	now := r.read(t)
	if diff := cmp.Diff(nonZero(r.model.Reasons, nil), nonZero(now.reasons, r.base.reasons)); diff != "" {
		t.Fatalf("reasons (-model +program):\n%s", diff)
	}
	if diff := cmp.Diff(nonZero(r.model.Events, nil), nonZero(now.events, r.base.events)); diff != "" {
		t.Fatalf("events (-model +program):\n%s", diff)
	}
	for i := range uint32(rigBalancers) {
		want := BalancerCounters{}
		if c := r.model.Balancers[i]; c != nil {
			want = countersOf(*c)
		}
		if diff := cmp.Diff(want, subtract(now.balancers[i], r.base.balancers[i])); diff != "" {
			t.Fatalf("counters of load balancer %d (-model +program):\n%s", i, diff)
		}
	}
}

func nonZero(now, base map[string]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for name, n := range now {
		if n != base[name] {
			out[name] = n - base[name]
		}
	}
	return out
}

func countersOf(c model.Counts) BalancerCounters {
	return BalancerCounters{
		NewFlowCountTCP: c.NewFlowCountTCP, NewFlowCountUDP: c.NewFlowCountUDP,
		ProcessedBytesTCP: c.ProcessedBytesTCP, ProcessedBytesUDP: c.ProcessedBytesUDP, ProcessedPackets: c.ProcessedPackets,
		RejectedFlowCountTCP: c.RejectedFlowCountTCP, RejectedFlowCountUDP: c.RejectedFlowCountUDP,
		TCPClientResetCount: c.TCPClientResetCount, TCPELBResetCount: c.TCPELBResetCount, TCPTargetResetCount: c.TCPTargetResetCount,
		PortAllocationErrorCount: c.PortAllocationErrorCount, UnhealthyRoutingFlowCount: c.UnhealthyRoutingFlowCount,

		SecurityGroupBlockedFlowCountInboundTCP: c.SecurityGroupBlockedFlowCountInboundTCP, SecurityGroupBlockedFlowCountInboundUDP: c.SecurityGroupBlockedFlowCountInboundUDP,
		SecurityGroupBlockedFlowCountInboundICMP: c.SecurityGroupBlockedFlowCountInboundICMP,
		SecurityGroupBlockedFlowCountOutboundTCP: c.SecurityGroupBlockedFlowCountOutboundTCP, SecurityGroupBlockedFlowCountOutboundUDP: c.SecurityGroupBlockedFlowCountOutboundUDP,
	}
}

func subtract(a, b BalancerCounters) BalancerCounters {
	return BalancerCounters{
		NewFlowCountTCP: a.NewFlowCountTCP - b.NewFlowCountTCP, NewFlowCountUDP: a.NewFlowCountUDP - b.NewFlowCountUDP,
		ProcessedBytesTCP: a.ProcessedBytesTCP - b.ProcessedBytesTCP, ProcessedBytesUDP: a.ProcessedBytesUDP - b.ProcessedBytesUDP,
		ProcessedPackets:     a.ProcessedPackets - b.ProcessedPackets,
		RejectedFlowCountTCP: a.RejectedFlowCountTCP - b.RejectedFlowCountTCP, RejectedFlowCountUDP: a.RejectedFlowCountUDP - b.RejectedFlowCountUDP,
		TCPClientResetCount: a.TCPClientResetCount - b.TCPClientResetCount, TCPELBResetCount: a.TCPELBResetCount - b.TCPELBResetCount,
		TCPTargetResetCount: a.TCPTargetResetCount - b.TCPTargetResetCount, PortAllocationErrorCount: a.PortAllocationErrorCount - b.PortAllocationErrorCount,
		UnhealthyRoutingFlowCount: a.UnhealthyRoutingFlowCount - b.UnhealthyRoutingFlowCount,

		SecurityGroupBlockedFlowCountInboundTCP:  a.SecurityGroupBlockedFlowCountInboundTCP - b.SecurityGroupBlockedFlowCountInboundTCP,
		SecurityGroupBlockedFlowCountInboundUDP:  a.SecurityGroupBlockedFlowCountInboundUDP - b.SecurityGroupBlockedFlowCountInboundUDP,
		SecurityGroupBlockedFlowCountInboundICMP: a.SecurityGroupBlockedFlowCountInboundICMP - b.SecurityGroupBlockedFlowCountInboundICMP,
		SecurityGroupBlockedFlowCountOutboundTCP: a.SecurityGroupBlockedFlowCountOutboundTCP - b.SecurityGroupBlockedFlowCountOutboundTCP,
		SecurityGroupBlockedFlowCountOutboundUDP: a.SecurityGroupBlockedFlowCountOutboundUDP - b.SecurityGroupBlockedFlowCountOutboundUDP,
	}
}

// segmentOptions describe a frame to build.
type segmentOptions struct {
	src, dst  string // address and port
	proto     uint8
	flags     uint8
	seq, ack  uint32
	payload   int
	fromMAC   [6]byte
	toMAC     [6]byte // zero: the edge's
	ipOptions int     // bytes, IPv4
}

const (
	fFIN = 0x01
	fSYN = 0x02
	fRST = 0x04
	fACK = 0x10
)

var clientMAC = [6]byte{0x02, 2, 0, 0, 0, 7}

// segment builds a frame with valid checksums.
func segment(o segmentOptions) []byte {
	src, dst := netip.MustParseAddrPort(o.src), netip.MustParseAddrPort(o.dst)
	if o.proto == 0 {
		o.proto = ipProtoTCP
	}
	header := 20
	if o.proto == ipProtoUDP {
		header = 8
	}
	l4 := make([]byte, header+o.payload)
	for i := header; i < len(l4); i++ {
		l4[i] = byte(i * 7)
	}
	binary.BigEndian.PutUint16(l4, src.Port())
	binary.BigEndian.PutUint16(l4[2:], dst.Port())
	if o.proto == ipProtoTCP {
		binary.BigEndian.PutUint32(l4[4:], o.seq)
		binary.BigEndian.PutUint32(l4[8:], o.ack)
		l4[12], l4[13] = 5<<4, o.flags
		binary.BigEndian.PutUint16(l4[16:], sumOf(src.Addr(), dst.Addr(), o.proto, l4))
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		binary.BigEndian.PutUint16(l4[6:], sumOf(src.Addr(), dst.Addr(), o.proto, l4))
	}
	return packetFrame(o, src.Addr(), dst.Addr(), o.proto, l4)
}

func packetFrame(o segmentOptions, src, dst netip.Addr, proto uint8, payload []byte) []byte {
	if o.toMAC == ([6]byte{}) {
		o.toMAC = rigMAC
	}
	if o.fromMAC == ([6]byte{}) {
		o.fromMAC = clientMAC
	}
	f := append(append([]byte{}, o.toMAC[:]...), o.fromMAC[:]...)
	if src.Is4() {
		ip := make([]byte, 20+o.ipOptions)
		ip[0], ip[8], ip[9] = byte(0x40|len(ip)/4), 61, proto
		for i := 20; i < len(ip); i++ {
			ip[i] = 1 // no operation
		}
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(payload)))
		binary.BigEndian.PutUint16(ip[4:], 0x1234)
		copy(ip[12:], src.AsSlice())
		copy(ip[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(ip[10:], fold(0, ip))
		return append(append(append(f, 0x08, 0x00), ip...), payload...)
	}
	ip := make([]byte, 40)
	ip[0], ip[6], ip[7] = 0x60, proto, 61
	binary.BigEndian.PutUint16(ip[4:], uint16(len(payload)))
	copy(ip[8:], src.AsSlice())
	copy(ip[24:], dst.AsSlice())
	return append(append(append(f, 0x86, 0xdd), ip...), payload...)
}

func fold(sum uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func sumOf(src, dst netip.Addr, proto uint8, l4 []byte) uint16 {
	pseudo := append(src.AsSlice(), dst.AsSlice()...)
	sum := uint32(^fold(0, pseudo)) + uint32(proto) + uint32(len(l4))
	return fold(sum, l4)
}

func zeroDatagrams(t fataler, m *ebpf.Map) {
	keys := make([]uint32, m.MaxEntries())
	for i := range keys {
		keys[i] = uint32(i)
	}
	if _, err := m.BatchUpdate(keys, make([]edgeDatagramSlot, len(keys)), nil); err != nil {
		t.Fatalf("%v", err)
	}
}

// fragment makes a fragment of a packet: where it lies in its datagram is counted
// in eight bytes. What it carries stays.
func fragment(f []byte, offset uint16, more bool, id uint32) []byte {
	f = slices.Clone(f)
	if f[12] == 0x08 {
		if more {
			offset |= 0x2000
		}
		binary.BigEndian.PutUint16(f[18:], uint16(id))
		binary.BigEndian.PutUint16(f[20:], offset)
		return refill(f)
	}
	header := []byte{f[20], 0, 0, 0, 0, 0, 0, 0}
	offset <<= 3
	if more {
		offset |= 1
	}
	binary.BigEndian.PutUint16(header[2:], offset)
	binary.BigEndian.PutUint32(header[4:], id)
	f[20] = 44
	binary.BigEndian.PutUint16(f[18:], binary.BigEndian.Uint16(f[18:])+8)
	return slices.Insert(f, 54, header...)
}

// checkSums fails when a checksum of a frame is wrong.
func checkSums(t fataler, frame []byte) {
	t.Helper()
	ip := frame[14:]
	if frame[12] == 0x08 {
		header := int(ip[0]&15) * 4
		if got := fold(0, ip[:header]); got != 0 {
			t.Fatalf("IP checksum is off by %#x in %x", got, frame)
		}
		if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
			return // the datagram's checksum is about all its fragments
		}
		total := int(binary.BigEndian.Uint16(ip[2:]))
		checkL4(t, netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])), ip[9], ip[header:total])
		return
	}
	total := 40 + int(binary.BigEndian.Uint16(ip[4:]))
	checkL4(t, netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:])), ip[6], ip[40:total])
}

func checkL4(t fataler, src, dst netip.Addr, proto uint8, l4 []byte) {
	t.Helper()
	got := uint16(0)
	switch proto {
	case ipProtoTCP, 58:
		got = sumOf(src, dst, proto, l4)
	case ipProtoUDP:
		if l4[6] != 0 || l4[7] != 0 {
			got = sumOf(src, dst, proto, l4)
		}
	case 1:
		got = fold(0, l4)
	}
	if got != 0 {
		t.Fatalf("checksum of protocol %d is off by %#x in %x", proto, got, l4)
	}
}
