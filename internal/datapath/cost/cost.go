// Package cost measures what a packet costs the edge's XDP program, in
// nanoseconds of one processor, without a network.
//
// It takes the program and the maps from where an edge has pinned them, so what
// is measured is what runs, with the configuration that it runs with. A loop in
// the kernel writes a fresh packet each round and tail-calls the program; the
// same loop around an empty program is timed in turn and subtracted.
//
// Invariant: a measurement in which the program did not send every packet on is
// an error, never a figure.
package cost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

const (
	rounds   = 32      // of the loop: ROUNDS in bpf/bench.bpf.c
	runs     = 200     // of the loop in one timing: well below a scheduler's time slice
	pairs    = 101     // of timings, with and without the program
	maxFlows = 1 << 20 // FLOWS in bpf/bench.bpf.c

	// A bucket of the flow table can be full; a flow that was refused then is
	// none of those that the measurement is about.
	tolerated = 0.001
)

// Meter measures the program of one edge.
type Meter struct {
	edge     *ebpf.Program
	flows    *ebpf.Map
	halfOpen *ebpf.Map
	mac      net.HardwareAddr
}

// Open finds what an edge has pinned in a directory. The MAC is its uplink's.
// Close lets go of it.
func Open(pinDir string, mac net.HardwareAddr) (*Meter, error) {
	m := &Meter{mac: mac}
	var err1, err2, err3 error
	m.edge, err1 = attached(filepath.Join(pinDir, "link"))
	m.flows, err2 = ebpf.LoadPinnedMap(filepath.Join(pinDir, "flows"), nil)
	m.halfOpen, err3 = ebpf.LoadPinnedMap(filepath.Join(pinDir, "half_open"), nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, errors.Join(fmt.Errorf("find the program of the edge: %w", err), m.Close())
	}
	return m, nil
}

// attached is the program of a pinned link.
func attached(path string) (*ebpf.Program, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return nil, err
	}
	return ebpf.NewProgramFromID(info.Program)
}

// Close lets go of the program and its maps.
func (m *Meter) Close() error {
	return errors.Join(m.edge.Close(), m.flows.Close(), m.halfOpen.Close())
}

// BytesPerFlow is the memory of the flow tables for each flow that they have
// room for, half-open ones included.
func (m *Meter) BytesPerFlow() float64 {
	const perFlow = 2 * 64 // two slots
	bytes := func(t *ebpf.Map) float64 { return float64(t.MaxEntries()) * float64(t.ValueSize()) }
	return (bytes(m.flows) + bytes(m.halfOpen)) / (bytes(m.flows) / perFlow)
}

// Kind says which packets are measured.
type Kind int

// Kinds of packets.
const (
	FromClient     Kind = iota // of established flows, in random order
	FromTarget                 // replies of the same
	Opening                    // the first one of a flow, while half-open flows have room
	OpeningInFlood             // the first one of a flow, each displacing a half-open one

	// Packets as FromClient, to programs that do one thing only: what a packet
	// costs at least.
	ReadLine // reads a line of the table of flows that the flow alone has
	Redirect // sends the packet back
)

func (k Kind) opens() bool { return k == Opening || k == OpeningInFlood }

// Result is a cost in nanoseconds a packet, net of the empty loop.
type Result struct {
	Median, Low, High float64 // Low and High are quartiles
	Loop              float64 // the empty loop's median, for comparison
}

// Measure times packets of the traffic. Its flows must be established unless
// the packets open new ones.
func (m *Meter) Measure(t *Traffic, k Kind) (r Result, err error) {
	var bare, full *loop
	if bare, err = m.newLoop(t, k, empty); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, bare.close()) }()
	if full, err = m.newLoop(t, k, m.program(k)); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, full.close()) }()
	if err := m.warmUp(k, full); err != nil {
		return r, err
	}
	var net, base []float64
	for range pairs {
		without, err := bare.time(runs)
		if err != nil {
			return r, err
		}
		if err := m.makeRoom(k); err != nil {
			return r, err
		}
		if err := m.settle(k, full); err != nil {
			return r, err
		}
		with, err := full.time(runs)
		if err != nil {
			return r, err
		}
		net, base = append(net, with-without), append(base, without)
	}
	slices.Sort(net)
	slices.Sort(base)
	return Result{Median: net[pairs/2], Low: net[pairs/4], High: net[3*pairs/4], Loop: base[pairs/2]}, errors.Join(bare.check(), full.check())
}

// program is what a kind is measured on.
func (m *Meter) program(k Kind) func(*benchObjects) *ebpf.Program {
	switch k {
	case ReadLine:
		return func(o *benchObjects) *ebpf.Program { return o.ReadLine }
	case Redirect:
		return func(o *benchObjects) *ebpf.Program { return o.Redirect }
	}
	return func(*benchObjects) *ebpf.Program { return m.edge }
}

func empty(o *benchObjects) *ebpf.Program { return o.Empty }

// settle brings back into the caches what others have driven out since the last
// timing. Flows that are opened are new to the caches in truth as well.
func (m *Meter) settle(k Kind, l *loop) error {
	if k.opens() {
		return nil
	}
	_, err := l.time(runs)
	return err
}

// warmUp is not timed: caches for established flows, and for a flood enough
// flows to fill the half-open table twice.
func (m *Meter) warmUp(k Kind, l *loop) error {
	n := runs
	if k == OpeningInFlood {
		n = int(2 * m.halfOpen.MaxEntries() * m.halfOpen.ValueSize() / 64 / rounds)
	}
	_, err := l.time(n)
	return err
}

// makeRoom empties the half-open table.
func (m *Meter) makeRoom(k Kind) error {
	if k != Opening {
		return nil
	}
	memory, err := m.halfOpen.Memory()
	if err != nil {
		return fmt.Errorf("map half-open flows: %w", err)
	}
	_, err = memory.WriteAt(make([]byte, memory.Size()), 0)
	return err
}

// loop is the program that writes packets, around another one.
type loop struct {
	objs    benchObjects
	packets int
}

// newLoop loads a loop around a program.
func (m *Meter) newLoop(t *Traffic, k Kind, around func(*benchObjects) *ebpf.Program) (*loop, error) {
	spec, err := loadBench()
	if err != nil {
		return nil, fmt.Errorf("read the loop: %w", err)
	}
	f := t.frame(m.mac, k)
	var words [frameSize / 8]uint64
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(f[8*i:])
	}
	err = errors.Join(
		spec.Variables["frame"].Set(words),
		spec.Variables["flows"].Set(uint32(t.Flows)),
		spec.Variables["first"].Set(firstClient(k)),
		spec.Variables["ipv6"].Set(flag(t.VIP.Addr().Is6())),
		spec.Variables["reply"].Set(flag(k == FromTarget)),
		spec.Variables["fresh"].Set(flag(k.opens())),
		m.lend(spec),
	)
	if err != nil {
		return nil, fmt.Errorf("describe the packets: %w", err)
	}
	l := &loop{}
	if err := spec.LoadAndAssign(&l.objs, m.loan()); err != nil {
		return nil, fmt.Errorf("load the loop: %w", err)
	}
	err = l.objs.Measured.Put(uint32(0), around(&l.objs))
	if k == FromTarget {
		err = errors.Join(err, t.putTargets(l.objs.Targets))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set the loop up: %w", err), l.objs.Close())
	}
	return l, nil
}

// lend makes room for the edge's table of flows in a loop that is not loaded yet.
func (m *Meter) lend(spec *ebpf.CollectionSpec) error {
	if m.flows == nil {
		return nil
	}
	spec.Maps["table"].MaxEntries = m.flows.MaxEntries()
	return spec.Variables["table_mask"].Set(m.flows.MaxEntries() - 1)
}

func (m *Meter) loan() *ebpf.CollectionOptions {
	if m.flows == nil {
		return nil
	}
	return &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{"table": m.flows}}
}

func flag(on bool) uint32 {
	if on {
		return 1
	}
	return 0
}

// time is what a packet takes, in nanoseconds, over n runs of the loop.
func (l *loop) time(n int) (float64, error) {
	_, took, err := l.objs.Loop.Benchmark(make([]byte, frameSize), n, nil)
	l.packets += n * rounds
	return float64(took) / float64(time.Nanosecond) / rounds, err
}

// check fails when packets went another way than the one that was to be measured.
func (l *loop) check() error {
	var n uint64
	if err := l.objs.Unexpected.Get(&n); err != nil {
		return fmt.Errorf("count unexpected verdicts: %w", err)
	}
	if float64(n) > tolerated*float64(l.packets) {
		return fmt.Errorf("%d of %d packets were not sent on", n, l.packets)
	}
	return nil
}

func (l *loop) close() error { return l.objs.Close() }
