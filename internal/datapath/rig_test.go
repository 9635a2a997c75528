package datapath

import (
	"fmt"
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

func zeroDatagrams(t fataler, m *ebpf.Map) {
	keys := make([]uint32, m.MaxEntries())
	for i := range keys {
		keys[i] = uint32(i)
	}
	if _, err := m.BatchUpdate(keys, make([]edgeDatagramSlot, len(keys)), nil); err != nil {
		t.Fatalf("%v", err)
	}
}
