package datapath

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// fragmentVerdicts are the rows of the verdict table about fragments of UDP.
func fragmentVerdicts() map[string]outcome {
	to4, to6 := udp(client4, vipUDP4, 32), udp(client6, vipUDP6, 32)
	from4, from6 := udp(targetA4, client4, 32), udp(targetA6, client6, 32)
	first4, first6 := fragment(to4, 0, true, 7), fragment(to6, 0, true, 7)
	toTarget := func(bytes int) string {
		return fmt.Sprintf("sent_to_target ProcessedPackets ProcessedBytesUDP=%d", bytes)
	}
	toClient := func(bytes int) string {
		return fmt.Sprintf("sent_to_client ProcessedPackets ProcessedBytesUDP=%d", bytes)
	}
	return map[string]outcome{
		"first fragment of a datagram":                {frame: first4, want: model.TX, moved: "NewFlowCountUDP " + toTarget(60)},
		"later fragment of a datagram":                {before: [][]byte{first4}, frame: fragment(to4, 5, true, 7), want: model.TX, moved: toTarget(60)},
		"last fragment of a datagram":                 {before: [][]byte{first4}, frame: fragment(to4, 9, false, 7), want: model.TX, moved: toTarget(60)},
		"later fragment before the first":             {frame: fragment(to4, 5, true, 7), want: model.Drop, moved: "drop_fragment"},
		"later fragment of another datagram":          {before: [][]byte{first4}, frame: fragment(to4, 5, true, 8), want: model.Drop, moved: "drop_fragment"},
		"later fragment long after the first":         {before: [][]byte{first4}, after: 6 * rigHZ, frame: fragment(to4, 5, true, 7), want: model.Drop, moved: "drop_fragment"},
		"first fragment whose length is impossible":   {frame: refill(edited(fragment(to4, 0, true, 7), func(f []byte) { f[38], f[39] = 0, 7 })), want: model.Drop, moved: "drop_malformed"},
		"first fragment without a whole UDP header":   {frame: refill(edited(fragment(to4, 0, true, 7), func(f []byte) { f[16], f[17] = 0, 27 })), want: model.Drop, moved: "drop_malformed"},
		"first fragment over IPv6":                    {frame: first6, want: model.TX, moved: "NewFlowCountUDP " + toTarget(88)},
		"later fragment over IPv6":                    {before: [][]byte{first6}, frame: fragment(to6, 5, false, 7), want: model.TX, moved: toTarget(88)},
		"later fragment before the first over IPv6":   {frame: fragment(to6, 5, false, 7), want: model.Drop, moved: "drop_fragment"},
		"fragment that is all of its datagram":        {frame: fragment(to6, 0, false, 7), want: model.TX, moved: "NewFlowCountUDP " + toTarget(88)},
		"TCP fragment over IPv6":                      {frame: fragment(tcp(client6, vipTCP6, fSYN, 1, 0, 0), 0, true, 7), want: model.Drop, moved: "drop_fragment"},
		"fragment header cut short":                   {frame: edited(fragment(to6, 5, false, 7)[:58], func(f []byte) { f[18], f[19] = 0, 4 }), want: model.Drop, moved: "drop_malformed"},
		"first fragment of an answer":                 {before: [][]byte{to4}, frame: fragment(from4, 0, true, 9), want: model.TX, moved: toClient(60)},
		"later fragment of an answer":                 {before: [][]byte{to4, fragment(from4, 0, true, 9)}, frame: fragment(from4, 5, false, 9), want: model.TX, moved: toClient(60)},
		"later fragment of an answer over IPv6":       {before: [][]byte{to6, fragment(from6, 0, true, 9)}, frame: fragment(from6, 5, false, 9), want: model.TX, moved: toClient(88)},
		"path MTU of an unknown fragment":             {before: [][]byte{to4, fragment(from4, 0, true, 9)}, frame: icmp4(3, 4, "10.1.1.1", "198.18.0.100", fragment(udp(vipUDP4, client4, 32), 5, false, 8)[14:]), want: model.Drop, moved: "drop_icmp_flow"},
		"path MTU of a fragment for another machine":  {before: [][]byte{to4}, frame: icmp4(3, 4, "10.1.1.1", "203.0.113.10", fragment(udp(client4, targetA4, 32), 5, false, 8)[14:]), want: model.Pass, moved: "pass_no_flow"},
		"path MTU of a fragment of TCP over IPv6":     {frame: icmp6(2, 0, "3fff::1", "2001:db8::100", fragment(tcp(vipTCP6, client6, fACK, 1, 1, 32), 0, true, 8)[14:]), want: model.Drop, moved: "drop_icmp_flow"},
		"path MTU of a fragment, cut short":           {before: [][]byte{to6, fragment(from6, 0, true, 9)}, frame: icmp6(2, 0, "3fff::1", "2001:db8::100", fragment(udp(vipUDP6, client6, 32), 0, true, 9)[14:62]), want: model.Drop, moved: "drop_icmp_flow"},
		"path MTU of a fragment long ago":             {before: [][]byte{to6, fragment(from6, 0, true, 9)}, after: 6 * rigHZ, frame: icmp6(2, 0, "3fff::1", "2001:db8::100", fragment(udp(vipUDP6, client6, 32), 5, false, 9)[14:]), want: model.Drop, moved: "drop_icmp_flow"},
		"later fragment of an answer, first not seen": {before: [][]byte{to4}, frame: fragment(from4, 5, false, 9), want: model.Pass, moved: "pass_no_flow"},
	}
}

// An error about a fragment that was sent on comes to its sender as an error about
// the fragment that it had sent.
func TestErrorsAboutFragmentsReachTheirSenders(t *testing.T) {
	r := newRig(t)
	to4, to6 := udp(client4, vipUDP4, 64), udp(client6, vipUDP6, 64)
	for name, c := range map[string]struct {
		open     []byte // datagram that opens the flow
		datagram []byte // whose fragments are complained about
		from     string // where to
		sender   string // what the sender sees the error come from
		snat     bool
	}{
		"IPv4, about the client's":           {to4, to4, "10.1.1.1", "10.1.1.1", false},
		"IPv4, about the target's":           {to4, udp(targetA4, client4, 64), "10.1.1.1", "10.1.1.1", false},
		"IPv6, about the client's":           {to6, to6, "3fff::1", "3fff::1", false},
		"IPv6, about the target's":           {to6, udp(targetA6, client6, 64), "3fff::1", "3fff::1", false},
		"IPv4, the target complains":         {to4, to4, "198.18.0.21", "198.18.0.100", false},
		"IPv6, the target complains":         {to6, to6, "2001:db8::21", "2001:db8::100", false},
		"behind source NAT, about an answer": {to4, nil, "10.1.1.1", "198.18.0.100", true},
	} {
		for which, offset := range map[string]uint16{"first": 0, "later": 5} {
			t.Run(name+", "+which, func(t *testing.T) {
				w := simple(false)
				if c.snat {
					w.group(0, groupSourceNAT, makeID(1, 0))
				}
				r.install(t, w)
				_, opened := r.send(t, c.open)
				whole := c.datagram
				if c.snat { // to the source port that the flow has got
					whole = udp(targetA4, fmt.Sprintf("198.18.0.100:%d", binary.BigEndian.Uint16(opened[34:])), 64)
				}
				_, sent := r.send(t, fragment(whole, 0, true, 9))
				f := fragment(whole, 0, true, 9)
				if offset != 0 {
					f = fragment(whole, offset, false, 9)
					_, sent = r.send(t, f)
				}
				build, kind, code, at, size := icmp4, byte(3), byte(4), 26, 4
				if f[12] == 0x86 {
					build, kind, code, at, size = icmp6, 2, 0, 22, 16
				}
				source := func(f []byte) string { a, _ := netip.AddrFromSlice(f[at : at+size]); return a.String() }
				action, out := r.send(t, build(kind, code, c.from, source(sent), sent[14:90]))
				if action != model.TX {
					t.Fatalf("action = %d, counters %v", action, r.model.Reasons)
				}
				checkSums(t, out)
				want := build(kind, code, c.sender, source(f), f[14:90])
				if !bytes.Equal(out[14:], want[14:]) {
					t.Errorf("the sender gets\n%x, want\n%x", out[14:], want[14:])
				}
			})
		}
	}
}

// echoDatagrams answers each datagram with its own content.
func (s *site) echoDatagrams(t *testing.T, ns string, port int) {
	t.Helper()
	var c net.PacketConn
	err := netlab.In(s.prefix+ns, func() (err error) { c, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port)); return err })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			_, _ = c.WriteTo(buffer[:n], from)
		}
	}()
}

func TestLargeDatagramsPassBothWays(t *testing.T) {
	s := newSite(t)
	s.echoDatagrams(t, "t1", 8080)
	s.echoDatagrams(t, "t2", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := snapshot()
	for i := range snap.LoadBalancers {
		snap.LoadBalancers[i].Listeners[0].Protocol = lb.UDP
		snap.TargetGroups[i].Protocol = lb.UDP
	}
	apply(t, d, snap, healthy(snap))
	for _, vip := range []string{vip4 + ":80", "[" + vip6 + "]:80"} {
		for _, size := range []int{1473, 9000, 60000} {
			sent, got := make([]byte, size), make([]byte, 1<<16)
			_, _ = rand.Read(sent)
			c, err := netlab.Dial(t.Context(), s.prefix+"client", "udp", vip)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for range 5 { // a neighbour's address may have to be found first, and fragments do not wait
				if _, err = c.Write(sent); err != nil {
					t.Fatal(err)
				}
				_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
				if n, err = c.Read(got); err == nil {
					break
				}
			}
			if err != nil || !bytes.Equal(sent, got[:n]) {
				t.Errorf("%s: %d bytes were answered by %d others, error %v", vip, size, n, err)
			}
			c.Close()
		}
	}
}
