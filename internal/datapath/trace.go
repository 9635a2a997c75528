package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Query is a packet to ask about.
type Query struct {
	Protocol lb.Protocol // TCP or UDP
	From, To netip.AddrPort
	SYN      bool   // the first packet of a connection; else one in the middle, with an ACK
	Sequence uint32 // of the TCP packet: one of the things that choose a new flow's target
}

// ErrNoEdge says that no edge has pinned its maps in a directory.
var ErrNoEdge = errors.New("no edge has its maps there")

// ErrOtherVersion says that the pinned maps are those of another version.
var ErrOtherVersion = errors.New("the edge there is of another version")

// liveMaps are those that a trace reads from a running edge. All others that the
// program knows are made for the trace alone, counters among them.
var liveMaps = []string{
	edgeMapSettings, edgeMapListenerIds, edgeMapListeners, edgeMapVips, edgeMapGroups, edgeMapTables,
	edgeMapTargets, edgeMapPrefixes, edgeMapClients, edgeMapFlows, edgeMapHalfOpen, edgeMapLocks,
}

// Ask runs a packet through the program that an edge has pinned in a directory,
// in a build that changes nothing, and returns what happened to it on its way.
// The edge need not run.
func Ask(pinDir string, q Query) (Trace, error) {
	maps, err := openLive(pinDir)
	defer closeMaps(maps)
	if err != nil {
		return Trace{}, err
	}
	t, err := newTracer(maps)
	if err != nil {
		return Trace{}, err
	}
	defer t.close()
	return t.ask(q)
}

func openLive(dir string) (map[string]*ebpf.Map, error) {
	out := map[string]*ebpf.Map{}
	for _, name := range liveMaps {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			return out, fmt.Errorf("open %s: %w", filepath.Join(dir, name), ErrNoEdge)
		}
		if err != nil {
			return out, fmt.Errorf("open the map %s: %w", filepath.Join(dir, name), err)
		}
		out[name] = m
	}
	return out, nil
}

func closeMaps(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		m.Close()
	}
}

// tracer is the read-only build with the maps of an edge.
type tracer struct {
	objs struct {
		Edge             *ebpf.Program `ebpf:"edge"`
		Walks            *ebpf.Map     `ebpf:"walks"`
		Reasons          *ebpf.Map     `ebpf:"reasons"`
		Events           *ebpf.Map     `ebpf:"events"`
		BalancerCounters *ebpf.Map     `ebpf:"balancer_counters"`
	}
	settings edgeSetting
	have     contents
}

func newTracer(maps map[string]*ebpf.Map) (*tracer, error) {
	spec, err := loadTrace()
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	for _, name := range []string{edgeMapFlows, edgeMapHalfOpen} {
		spec.Maps[name].MaxEntries = maps[name].MaxEntries()
	}
	t := &tracer{}
	err = spec.LoadAndAssign(&t.objs, &ebpf.CollectionOptions{MapReplacements: maps})
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, fmt.Errorf("%w: %w", ErrOtherVersion, err)
	}
	if err != nil {
		return nil, fmt.Errorf("load the program: %w", err)
	}
	live := &bpfStore{maps: edgeMaps{
		Settings: maps[edgeMapSettings], ListenerIds: maps[edgeMapListenerIds], Listeners: maps[edgeMapListeners],
		Vips: maps[edgeMapVips], Groups: maps[edgeMapGroups], Targets: maps[edgeMapTargets],
		Prefixes: maps[edgeMapPrefixes], Clients: maps[edgeMapClients],
	}}
	var err2 error
	t.settings, err = live.settings()
	t.have, err2 = live.load()
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *tracer) close() error {
	o := &t.objs
	return errors.Join(o.Edge.Close(), o.Walks.Close(), o.Reasons.Close(), o.Events.Close(), o.BalancerCounters.Close())
}

func (t *tracer) ask(q Query) (Trace, error) {
	run := ebpf.RunOptions{Data: probe(q, t.settings.Mac), DataOut: make([]byte, 256)}
	if _, err := t.objs.Edge.Run(&run); err != nil {
		return Trace{}, fmt.Errorf("run the program: %w", err)
	}
	private := &bpfStore{maps: edgeMaps{Reasons: t.objs.Reasons, Events: t.objs.Events}}
	reasons, err1 := private.reasons()
	events, err2 := private.events()
	walk, err3 := t.walk()
	out := Trace{query: q, settings: t.settings, have: t.have, walk: walk, events: events, frame: run.DataOut}
	for reason, n := range reasons {
		if n > 0 {
			out.Reason = reason
		}
	}
	return out, errors.Join(err1, err2, err3)
}

// walk is what the program noted on its way, on whichever processor it ran.
func (t *tracer) walk() (edgeWalk, error) {
	var all []edgeWalk
	if err := t.objs.Walks.Lookup(uint32(0), &all); err != nil {
		return edgeWalk{}, fmt.Errorf("read what the program noted: %w", err)
	}
	for _, w := range all {
		if w.Packet.Family != 0 {
			return w, nil
		}
	}
	return edgeWalk{}, nil
}

// probeMAC is the sender of the frame of a query: nobody's.
var probeMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0}

// probe is the frame of a query, addressed to the edge. Its checksums are left
// out: the program edits them by difference and never looks whether they are right.
func probe(q Query, mac uint64) []byte {
	const syn, ack = 0x02, 0x10
	l4, proto := make([]byte, 20), byte(ipProtoTCP)
	binary.BigEndian.PutUint16(l4, q.From.Port())
	binary.BigEndian.PutUint16(l4[2:], q.To.Port())
	if q.Protocol == lb.UDP {
		l4, proto = l4[:8], ipProtoUDP
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	} else {
		binary.BigEndian.PutUint32(l4[4:], q.Sequence)
		l4[12], l4[13] = 5<<4, ack
		if q.SYN {
			l4[13] = syn
		}
	}
	frame := append([]byte(macFromMap(mac)), probeMAC...)
	if q.From.Addr().Is4() {
		ip := []byte{0x45, 0, 0, byte(20 + len(l4)), 0, 0, 0x40, 0, 64, proto, 0, 0}
		frame = append(append(frame, 0x08, 0x00), ip...)
	} else {
		frame = append(append(frame, 0x86, 0xdd), 0x60, 0, 0, 0, 0, byte(len(l4)), proto, 64)
	}
	return append(append(append(frame, q.From.Addr().AsSlice()...), q.To.Addr().AsSlice()...), l4...)
}
