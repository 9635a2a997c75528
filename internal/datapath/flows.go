package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Flow is one flow as the table has it.
type Flow struct {
	Protocol  lb.Protocol
	Client    netip.AddrPort
	VIP       netip.AddrPort
	Target    netip.AddrPort // the zero AddrPort when the target is gone
	State     string         // opening, answered, established or closing
	SourceNAT uint16         // port at the target when the source is the VIP, else 0
	ClientMAC net.HardwareAddr
	Idle      time.Duration // since the last packet
	Bytes     uint64        // both directions, with IP headers; approximate, 0 until established
}

var flowStates = map[edgeFlowState]string{
	edgeFlowStateFLOW_OPENING:     "opening",
	edgeFlowStateFLOW_ANSWERED:    "answered",
	edgeFlowStateFLOW_ESTABLISHED: "established",
	edgeFlowStateFLOW_CLOSING:     "closing",
}

// chunk is how many buckets are copied at a time.
const chunk = 512

// walkFlows calls f for every record that is in use. One that was being written
// when it was copied has an odd version.
func walkFlows(m *ebpf.Map, f func(*edgeFlow)) error {
	return walkPlaces(m, func(_ place, r *edgeFlow) { f(r) })
}

// place is where a record lies in its table.
type place struct {
	bucket uint32
	slot   uint16
}

// walkPlaces is walkFlows that tells where the records lie. The table is mapped a
// part at a time: what is mapped counts as this process's memory.
func walkPlaces(m *ebpf.Map, f func(place, *edgeFlow)) error {
	const bucketBytes = int(unsafe.Sizeof(edgeBucket{}))
	entries := int(m.MaxEntries())
	buckets := make([]edgeBucket, min(chunk, entries))
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&buckets[0])), len(buckets)*bucketBytes)
	for at := 0; at < entries; at += len(buckets) {
		n := min(len(buckets), entries-at)
		if err := readMapped(m, int64(at*bucketBytes), bytes[:n*bucketBytes]); err != nil {
			return fmt.Errorf("read the table %s: %w", m, err)
		}
		for b := range buckets[:n] {
			for i := range buckets[b].Flow {
				if r := &buckets[b].Flow[i]; r.State != uint8(edgeFlowStateFLOW_FREE) {
					f(place{uint32(at + b), uint16(i)}, r)
				}
			}
		}
	}
	return nil
}

// readMapped copies from an array, from a multiple of the page size on.
func readMapped(m *ebpf.Map, at int64, into []byte) error {
	memory, err := unix.Mmap(m.FD(), at, len(into), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(into, memory)
	return unix.Munmap(memory)
}

// clock reads flow time stamps.
type clock struct {
	now      uint64
	hz       uint64
	settings edgeSetting
}

func (s *bpfStore) clock(jiffies *ebpf.Program) (clock, error) {
	settings, err := s.settings()
	if err != nil {
		return clock{}, err
	}
	now, err := readJiffies64(jiffies)
	return clock{now: now, hz: uint64(max(1, settings.Hz)), settings: settings}, err
}

func (c clock) idle(f *edgeFlow) time.Duration {
	if c.now <= f.Seen {
		return 0
	}
	return time.Duration(c.now-f.Seen) * time.Second / time.Duration(c.hz)
}

// limit is the idle timeout of a record, as limit_of in bpf/flow.h.
func (c clock) limit(f *edgeFlow) time.Duration {
	seconds := uint32(f.Link >> 48)
	switch edgeFlowState(f.State) {
	case edgeFlowStateFLOW_CLOSING:
		seconds = c.settings.ClosingSeconds
	case edgeFlowStateFLOW_NAT:
		seconds = uint32(f.Bytes)
	case edgeFlowStateFLOW_OPENING, edgeFlowStateFLOW_ANSWERED:
		if f.Proto == ipProtoTCP {
			seconds = c.settings.HalfOpenSeconds
		}
	}
	return time.Duration(seconds) * time.Second
}

func (c clock) live(f *edgeFlow) bool { return c.idle(f) <= c.limit(f) }

// census is what a walk over the flow tables finds.
type census struct {
	targets   map[uint32]struct{} // IDs that live flows refer to
	listeners map[uint32]struct{} // the same
	named     map[uint32]struct{} // IDs of listeners that any record refers to
	deleted   map[uint32]struct{} // listeners that were deleted when the walk began
	active    map[uint32]activeFlows
	held      int // live records in the table of established flows
	halfOpen  int
	closing   int
	nat       int
}

// activeFlows are the established flows of a listener, by its ID.
type activeFlows struct{ tcp, udp uint64 }

func (c *census) count(f *edgeFlow) {
	switch edgeFlowState(f.State) {
	case edgeFlowStateFLOW_NAT:
		c.nat++
		return
	case edgeFlowStateFLOW_ESTABLISHED:
		a := c.active[f.Listener]
		if f.Proto == ipProtoUDP {
			a.udp++
		} else {
			a.tcp++
		}
		c.active[f.Listener] = a
	case edgeFlowStateFLOW_CLOSING:
		c.closing++
	default:
		c.halfOpen++
	}
	c.targets[f.Target], c.listeners[f.Listener] = struct{}{}, struct{}{}
}

func (s *bpfStore) census(jiffies *ebpf.Program) (census, error) {
	out := census{
		targets: map[uint32]struct{}{}, listeners: map[uint32]struct{}{}, named: map[uint32]struct{}{}, active: map[uint32]activeFlows{},
	}
	now, err := s.clock(jiffies)
	if err != nil {
		return out, err
	}
	// In this order, because a flow moves the same way: it is seen at least once.
	for _, m := range []*ebpf.Map{s.maps.HalfOpen, s.maps.Flows} {
		err := walkFlows(m, func(f *edgeFlow) {
			out.named[f.Listener] = struct{}{}
			if now.live(f) {
				if m == s.maps.Flows {
					out.held++
				}
				out.count(f)
			}
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}
