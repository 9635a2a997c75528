package datapath

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// everyByte is all that an edge has pinned, by map.
func everyByte(t *testing.T, d *Datapath) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, m := range map[string]*ebpf.Map{"flows": d.objs.Flows, "half_open": d.objs.HalfOpen} {
		memory, err := m.Memory()
		if err != nil {
			t.Fatal(err)
		}
		all := make([]byte, memory.Size())
		if _, err := memory.ReadAt(all, 0); err != nil {
			t.Fatal(err)
		}
		out[name] = string(all)
	}
	for name, m := range map[string]*ebpf.Map{
		"settings": d.objs.Settings, "listener_hints": d.objs.ListenerHints,
		"events": d.objs.Events, "balancer_counters": d.objs.BalancerCounters, "limiters": d.objs.Limiters,
	} {
		for key := range min(m.MaxEntries(), 4096) {
			value, err := m.LookupBytes(key)
			if err != nil {
				t.Fatal(err)
			}
			out[name] += string(value)
		}
	}
	reasons, err := d.bpf.reasons()
	if err != nil {
		t.Fatal(err)
	}
	// Hosts on the segment look for their neighbours meanwhile.
	maps.DeleteFunc(reasons, func(name string, _ uint64) bool {
		return strings.HasPrefix(name, "pass_") || name == "sent_neighbor"
	})
	out["reasons"] = fmt.Sprint(reasons)
	return out
}

// changes are the maps that do changes each time. Once is not enough to say so:
// hosts acknowledge late what they received.
func changes(t *testing.T, d *Datapath, do func()) []string {
	t.Helper()
	var changed []string
	for range 5 {
		before := everyByte(t, d)
		do()
		changed = nil
		for name, after := range everyByte(t, d) {
			if after != before[name] {
				changed = append(changed, name)
			}
		}
		if len(changed) == 0 {
			break
		}
	}
	return changed
}

func ask(t *testing.T, s *site, q Query) (Trace, map[string]string) {
	t.Helper()
	trace, err := Ask(s.pins, q)
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]string{}
	for _, l := range trace.Explain(NamesOf(snapshot())) {
		stages[l.Stage] = l.Text
	}
	return trace, stages
}

func TestATraceTellsWhatHappensAndChangesNothing(t *testing.T) {
	s, d, stop := servingSite(t)
	defer stop()
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	for vip, network := range map[string]string{vip4: "198.18.0.0/16", "[" + vip6 + "]": "2001:db8::/32"} {
		c := s.dial(t, "client", vip+":80")
		served := map[string]string{"t1": "21", "t2": "22"}[c.ask(t, "hello")[0]]
		client, at := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(vip+":80")
		target := netip.Addr{}
		for _, g := range snap.TargetGroups {
			for _, x := range g.Targets {
				if netip.MustParsePrefix(network).Contains(x.Addr) && strings.HasSuffix(x.Addr.String(), served) {
					target = x.Addr
				}
			}
		}
		back := netip.AddrPortFrom(target, 8080)
		cases := map[string]struct {
			query         Query
			reason, stage string
			want          string
		}{
			"data of a flow":       {Query{lb.TCP, client, at, false, 0}, "sent_to_target", "target", back.String()},
			"its target's data":    {Query{lb.TCP, back, client, false, 0}, "sent_to_client", "rewrite", at.String() + " to " + client.String()},
			"SYN of a new flow":    {Query{lb.TCP, netip.AddrPortFrom(client.Addr(), 9), at, true, 7}, "sent_to_target", "hash", "slot "},
			"data of no flow":      {Query{lb.TCP, netip.AddrPortFrom(client.Addr(), 9), at, false, 0}, "reset_unknown", "flow", "none, and the packet cannot open one"},
			"no such listener":     {Query{lb.UDP, client, at, false, 0}, "drop_no_listener", "listener", "no UDP listener"},
			"no load balancer":     {Query{lb.TCP, client, netip.AddrPortFrom(client.Addr(), 22), true, 0}, "pass_no_flow", "listener", "no load balancer address"},
			"SYN of an old client": {Query{lb.TCP, client, at, true, 0}, "sent_to_target", "flow", "established"},
		}
		changed := changes(t, d, func() {
			for name, tc := range cases {
				trace, stages := ask(t, s, tc.query)
				if trace.Reason != tc.reason || !strings.Contains(stages[tc.stage], tc.want) {
					t.Errorf("%s: %s, %q; want %s, %s with %q", name, trace.Reason, stages, tc.reason, tc.stage, tc.want)
				}
			}
		})
		if len(changed) > 0 {
			t.Errorf("%s: tracing changed the edge's %v", vip, changed)
		}
		if got := c.ask(t, "after")[0]; got != "t"+served[1:] {
			t.Errorf("%s: answered by %s after the trace, was t%s", vip, got, served[1:])
		}
	}
}

// What a trace says of a new flow is what happens to it.
func TestATraceForetellsTheTarget(t *testing.T) {
	s := newSite(t)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	seen := map[string]bool{}
	for i := range uint32(20) {
		q := Query{lb.TCP, netip.MustParseAddrPort("203.0.113.10:1234"), netip.MustParseAddrPort(vip4 + ":80"), true, i}
		q.From = netip.AddrPortFrom(q.From.Addr(), uint16(1000+i))
		_, stages := ask(t, s, q)
		run := ebpf.RunOptions{Data: probe(q, macToMap(d.mac)), DataOut: make([]byte, 256)}
		if _, err := d.objs.Edge.Run(&run); err != nil {
			t.Fatal(err)
		}
		to := netip.AddrFrom4([4]byte(run.DataOut[30:]))
		if want := to.String() + ":8080, next hop"; !strings.Contains(stages["target"], want) {
			t.Errorf("the trace said %q, the packet went to %s", stages["target"], to)
		}
		seen[to.String()] = true
	}
	if len(seen) != 2 {
		t.Errorf("packets went to %v, want both targets", seen)
	}
}

func TestATraceWithoutAnEdgeSaysSo(t *testing.T) {
	_, err := Ask(t.TempDir(), Query{})
	if !errors.Is(err, ErrNoEdge) {
		t.Errorf("error = %v, want %v", err, ErrNoEdge)
	}
}
