package datapath

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

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
	memory, err := m.Memory()
	if err != nil {
		return fmt.Errorf("map the table %s: %w", m, err)
	}
	buckets := make([]edgeBucket, chunk)
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&buckets[0])), len(buckets)*int(unsafe.Sizeof(buckets[0])))
	size := int64(m.MaxEntries()) * int64(unsafe.Sizeof(buckets[0]))
	for at := int64(0); at < size; {
		n, err := memory.ReadAt(bytes[:min(int64(len(bytes)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the table %s: %w", m, err)
		}
		at += int64(n)
		for b := range buckets[:n/int(unsafe.Sizeof(buckets[0]))] {
			for i := range buckets[b].Flow {
				if r := &buckets[b].Flow[i]; r.State != uint8(edgeFlowStateFLOW_FREE) {
					f(r)
				}
			}
		}
	}
	return nil
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
	targets  map[uint32]struct{} // IDs that live flows refer to
	active   map[uint32]activeFlows
	halfOpen int
	closing  int
	nat      int
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
	c.targets[f.Target] = struct{}{}
}

func (s *bpfStore) census(jiffies *ebpf.Program) (census, error) {
	out := census{targets: map[uint32]struct{}{}, active: map[uint32]activeFlows{}}
	now, err := s.clock(jiffies)
	if err != nil {
		return out, err
	}
	// In this order, because a flow moves the same way: it is seen at least once.
	for _, m := range []*ebpf.Map{s.maps.HalfOpen, s.maps.Flows} {
		err := walkFlows(m, func(f *edgeFlow) {
			if now.live(f) {
				out.count(f)
			}
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}
