package datapath

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// A target discards what comes over IPv6 without a checksum (RFC 8200 8.1): none is
// made up for it on the way, and none of a datagram over IPv4 that has none.
func TestDatagramsWithoutChecksumStayWithout(t *testing.T) {
	r := newRig(t)
	r.install(t, simple(false))
	for _, c := range []struct {
		frame []byte
		at    int
	}{{udp(client4, vipUDP4, 30), 40}, {udp(client6, vipUDP6, 30), 60}} {
		c.frame[c.at], c.frame[c.at+1] = 0, 0
		for range 2 {
			if action, out := r.send(t, c.frame); action != model.TX || out[c.at] != 0 || out[c.at+1] != 0 {
				t.Errorf("action %d, checksum %x, want none", action, out[c.at:c.at+2])
			}
		}
	}
}

// Nobody makes an edge answer more than a little: resets and echo replies are so
// many at once, then so many in a time, and none is larger than what it answers.
func TestAnswersAreFewAndSmall(t *testing.T) {
	r := newRig(t) // on this goroutine's processor, which has a limit of its own
	for answer, frames := range map[string][][]byte{
		"reset_unknown": {tcp(client4, vipTCP4, fACK, 1, 1, 0), tcp(client6, vipTCP6, fACK, 1, 1, 900)},
		"sent_echo": {
			icmp4(8, 0, "203.0.113.10", "198.18.0.100", []byte("ping")), icmp6(128, 0, "3fff::1", "2001:db8::100", []byte("ping")),
		},
	} {
		for _, frame := range frames {
			w := simple(true)
			r.install(t, w)
			for range 100 {
				if action, out := r.send(t, frame); action == model.TX && len(out) > len(frame) {
					t.Fatalf("%d bytes answer %d", len(out), len(frame))
				}
			}
			r.setClock(t, w, 3)
			for range 10 {
				r.send(t, frame)
			}
			got := nonZero(r.read(t).reasons, r.base.reasons)
			if diff := cmp.Diff(map[string]uint64{answer: 20 + 3, "drop_rate": 80 + 7}, got); diff != "" {
				t.Errorf("20 at once and one in a jiffy are allowed (-want +got):\n%s", diff)
			}
		}
	}
}

// Source NAT tries few ports, so that a packet costs no more when they run out; the
// client learns it, and so does whoever looks at PortAllocationErrorCount.
func TestSourcePortsRunOut(t *testing.T) {
	r := newRig(t)
	w := simple(false)
	w.listener(makeID(1, 13), "198.18.0.100:89", ipProtoUDP, 350, edgeChoice{Group: 2, Bound: 1<<32 - 1})
	client := netip.MustParseAddrPort(client4)
	for _, proto := range []uint8{ipProtoTCP, ipProtoUDP} {
		const first, ports, tries = 10240, 55000, 8 // NAT_FIRST_PORT, NAT_PORTS, NAT_TRIES
		start := uint32(w.model.FlowHash(client, proto)>>24) % ports
		for i := range uint32(tries) { // listeners' own ports are left out
			at := fmt.Sprintf("198.18.0.100:%d", first+(start+i*i*97)%ports)
			w.listener(makeID(1, 40+i+uint32(proto)*10), at, proto, 350)
		}
	}
	r.install(t, w)
	for text, frame := range map[string][]byte{
		"reset_no_port RejectedFlowCountTCP PortAllocationErrorCount TCPELBResetCount":   tcp(client4, "198.18.0.100:81", fSYN, 1, 0, 0),
		"drop_no_port RejectedFlowCountUDP PortAllocationErrorCount":                     udp(client4, "198.18.0.100:89", 4),
		"sent_to_target ProcessedPackets ProcessedBytesTCP=40 UnhealthyRoutingFlowCount": tcp("203.0.113.10:1235", "198.18.0.100:81", fSYN, 1, 0, 0),
	} {
		before := r.read(t)
		r.send(t, frame)
		got := moved(before, r.read(t))
		if diff := cmp.Diff(want(text), got); diff != "" {
			t.Errorf("counters that moved (-want +got):\n%s", diff)
		}
	}
}

func TestAWarningWhenTheTableIsFull(t *testing.T) {
	begin := time.Unix(1000, 0)
	var r room
	for _, step := range []struct {
		what    string
		refused uint64
		after   time.Duration
		want    uint64
	}{
		{"what an earlier process has refused", 50, 0, 0},
		{"nothing new", 50, 10 * time.Second, 0},
		{"the first refusals", 53, 20 * time.Second, 3},
		{"more, too soon", 60, 30 * time.Second, 0},
		{"what was not told yet", 60, 81 * time.Second, 7},
		{"nothing more", 60, time.Hour, 0},
		{"counters that begin anew", 2, 2 * time.Hour, 0},
		{"and count on", 4, 3 * time.Hour, 2},
	} {
		var got uint64
		if r, got = r.next(step.refused, begin.Add(step.after)); got != step.want {
			t.Errorf("%s: warns of %d, want %d", step.what, got, step.want)
		}
	}
}
