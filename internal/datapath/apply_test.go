package datapath

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// apply is Datapath.Apply on a store, checking after every step.
func (s *memoryStore) apply(t fataler, tables Tables, used func(uint32) bool) error {
	t.Helper()
	have, err := s.load()
	if err != nil {
		return err
	}
	want, err := assign(assignment{tables: tables, have: have, resolve: resolveAll, inUse: inUse{used, used}})
	if err != nil {
		return err
	}
	for _, step := range diff(want, have) {
		if err := errors.Join(s.put(step.put), s.remove(step.remove)); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		s.check(t)
		s.checkClients(t)
	}
	return nil
}

func resolveAll(a netip.Addr) ([6]byte, bool) {
	b := a.As16()
	return [6]byte{2, 0, 0, 0, 0, b[15]}, true
}

func never(uint32) bool  { return false }
func always(uint32) bool { return true }

// draw returns random tables over few names, so that they come and go.
func draw(t *rapid.T) Tables {
	out := Tables{Instances: map[string][]netip.Prefix{}, Clients: map[string][]netip.Prefix{}}
	clients := func(t *rapid.T) string {
		name := rapid.SampledFrom([]string{everyone, nobody, "10.0.0.0/8", "10.0.0.0/8 192.0.2.0/24"}).Draw(t, "clients")
		for p := range strings.FieldsSeq(name) {
			if name != nobody {
				out.Clients[name] = append(out.Clients[name], netip.MustParsePrefix(p))
			}
		}
		return name
	}
	for g := range 4 {
		if !rapid.Bool().Draw(t, "group") {
			continue
		}
		group := Group{ARN: fmt.Sprintf("tg-%d", g), SourceNAT: rapid.Bool().Draw(t, "nat")}
		for i := range 6 {
			if rapid.Bool().Draw(t, "target") {
				group.Targets = append(group.Targets, Target{
					Addr:       netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(20 + i)}), 80),
					Selectable: rapid.Bool().Draw(t, "selectable"), Terminate: rapid.Bool().Draw(t, "terminate"), OnLeave: rapid.Bool().Draw(t, "on leave"),
					ClientsTCP: clients(t),
				})
			}
		}
		out.Groups = append(out.Groups, group)
	}
	for b := range 3 {
		if !rapid.Bool().Draw(t, "balancer") {
			continue
		}
		balancer := Balancer{ARN: fmt.Sprintf("lb-%d", b), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, 0, byte(100 + b)})}}
		out.Balancers = append(out.Balancers, balancer)
		for port := range rapid.IntRange(0, 3).Draw(t, "listeners") {
			arn := fmt.Sprintf("l-%d-%d-%d", b, port, rapid.IntRange(0, 1).Draw(t, "made anew"))
			l := Listener{ARN: arn, Balancer: balancer.ARN, VIP: balancer.Addrs[0], Port: uint16(80 + port), Protocol: "TCP", Clients: clients(t)}
			for _, g := range out.Groups {
				if rapid.Bool().Draw(t, "forward") {
					l.Forward = append(l.Forward, Choice{Group: g.ARN, Weight: rapid.IntRange(1, 9).Draw(t, "weight")})
				}
			}
			out.Listeners = append(out.Listeners, l)
		}
	}
	return out
}

func TestNoStepLeavesADanglingReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newMemoryStore()
		for range 4 {
			used := never
			if rapid.Bool().Draw(t, "in use") {
				used = always
			}
			if err := s.apply(t, draw(t), used); err != nil {
				t.Fatalf("%v", err)
			}
		}
	})
}

func TestApplyingTwiceWritesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newMemoryStore()
		for range 3 {
			tables := draw(t)
			if err := s.apply(t, tables, never); err != nil {
				t.Fatalf("%v", err)
			}
			s.writes = 0
			if err := s.apply(t, tables, never); err != nil {
				t.Fatalf("%v", err)
			}
			if s.writes != 0 {
				t.Fatalf("second apply wrote %d entries", s.writes)
			}
		}
	})
}

func TestFaultsDelayButDoNotChangeTheOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		faulty, plain := newMemoryStore(), newMemoryStore()
		chance := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "faults"), 1))
		faulty.faults = func() bool { return chance.IntN(40) == 0 }
		var tables Tables
		for range 3 {
			tables = draw(t)
			_ = faulty.apply(quiet{t}, tables, never)
		}
		faulty.faults = nil
		if err := errors.Join(faulty.apply(t, tables, never), plain.apply(t, tables, never)); err != nil {
			t.Fatalf("%v", err)
		}
		if diff := sameStore(plain, faulty); diff != "" {
			t.Fatalf("after faults (-without +with):\n%s", diff)
		}
	})
}

// A group that was to go and stays, because a write failed, still has its table
// when it is wanted again: each single write fails once.
func TestAFaultAnywhereInARemovalLeavesNothingHalf(t *testing.T) {
	vip := netip.MustParseAddr("198.18.0.100")
	full := Tables{Balancers: []Balancer{{ARN: "lb", Addrs: []netip.Addr{vip}}}}
	for i := range 3 {
		arn, backend := fmt.Sprint("tg-", i), netip.AddrFrom4([4]byte{198, 18, 0, byte(20 + i)})
		full.Groups = append(full.Groups, Group{ARN: arn, Targets: []Target{{Addr: netip.AddrPortFrom(backend, 80), Selectable: true}}})
		full.Listeners = append(full.Listeners, Listener{ARN: "l-" + arn, Balancer: "lb", VIP: vip, Port: uint16(80 + i), Protocol: "TCP", Forward: []Choice{{arn, 1}}})
	}
	plain := newMemoryStore()
	if err := plain.apply(t, full, never); err != nil {
		t.Fatal(err)
	}
	for failing, struck := 1, true; struck; failing++ {
		s, written := newMemoryStore(), 0
		if err := s.apply(t, full, never); err != nil {
			t.Fatal(err)
		}
		s.faults = func() bool { written++; return written == failing }
		struck = s.apply(t, Tables{}, never) != nil
		s.faults = nil
		if err := s.apply(t, full, never); err != nil {
			t.Fatal(err)
		}
		if diff := sameStore(plain, s); diff != "" {
			t.Fatalf("after write %d failed (-without +with):\n%s", failing, diff)
		}
	}
}

// quiet checks as well: a failed write must not leave dangling references either.
type quiet struct{ *rapid.T }

func TestIDsStayWithTheirTargetsAndAreNeverPassedOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newMemoryStore()
		owners := map[uint32]targetName{}
		last := map[targetName]uint32{}
		for range 5 {
			if err := s.apply(t, draw(t), never); err != nil {
				t.Fatalf("%v", err)
			}
			present := map[targetName]uint32{}
			for _, target := range s.contents.targets {
				name := nameOf(target)
				if owner, taken := owners[target.Id]; taken && owner != name {
					t.Fatalf("ID %#x of %v went to %v", target.Id, owner, name)
				}
				if id, had := last[name]; had && id != target.Id {
					t.Fatalf("%v had ID %#x and now has %#x", name, id, target.Id)
				}
				owners[target.Id], present[name] = name, target.Id
			}
			last = present
		}
	})
}

func TestTargetsThatLeftStayWhileFlowsUseThem(t *testing.T) {
	for name, onLeave := range map[string]bool{"without termination": false, "with termination": true} {
		t.Run(name, func(t *testing.T) {
			s := newMemoryStore()
			target := Target{Addr: netip.MustParseAddrPort("198.18.0.20:80"), Selectable: true, OnLeave: onLeave}
			tables := Tables{Groups: []Group{{ARN: "tg", Targets: []Target{target}}}}
			if err := s.apply(t, tables, always); err != nil {
				t.Fatal(err)
			}
			tables.Groups[0].Targets = nil
			if err := s.apply(t, tables, always); err != nil {
				t.Fatal(err)
			}
			if len(s.contents.targets) != 1 {
				t.Fatalf("targets = %v, want the one that left", s.contents.targets)
			}
			for _, left := range s.contents.targets {
				if terminated := left.Flags&targetTerminate != 0; terminated != onLeave {
					t.Errorf("terminated: %t, want %t", terminated, onLeave)
				}
			}
			if err := s.apply(t, tables, never); err != nil {
				t.Fatal(err)
			}
			if len(s.contents.targets) != 0 {
				t.Errorf("targets = %v after the last flow, want none", s.contents.targets)
			}
		})
	}
}

func TestOneChangedTargetOfAThousandGroupsTouchesOneGroup(t *testing.T) {
	s := newMemoryStore()
	var tables Tables
	for i := range 1000 {
		g := Group{ARN: fmt.Sprintf("tg-%d", i)}
		for j := range 10 {
			g.Targets = append(g.Targets, Target{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)}), 80), Selectable: true})
		}
		tables.Groups = append(tables.Groups, g)
	}
	if err := s.apply(t, tables, never); err != nil {
		t.Fatal(err)
	}
	before := maps.Clone(s.tables)
	s.writes = 0
	tables.Groups[500].Targets[3].Selectable = false
	if err := s.apply(t, tables, never); err != nil {
		t.Fatal(err)
	}
	// The group's entry twice (its old fingerprint is void first) and its table.
	if s.writes != 3 {
		t.Errorf("wrote %d entries, want 3", s.writes)
	}
	changed := 0
	for i := range before {
		if !cmp.Equal(before[i], s.tables[i]) {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d tables changed, want 1", changed)
	}
}

func TestEnumsAgreeWithTheProgram(t *testing.T) {
	if got := len(reasonNames()); got != int(edgeReasonREASONS) {
		t.Errorf("%d names of reasons, the program has %d", got, edgeReasonREASONS)
	}
	if got := len(eventNames()); got != int(edgeEventEVENTS) {
		t.Errorf("%d names of events, the program has %d", got, edgeEventEVENTS)
	}
	for name, want := range map[string]int{
		"pass_no_flow": int(edgeReasonPASS_NO_FLOW), "reset_unknown": int(edgeReasonRESET_UNKNOWN),
		"drop_malformed": int(edgeReasonDROP_MALFORMED), "drop_error": int(edgeReasonDROP_ERROR),
	} {
		if got := reasonNames()[want]; got != name {
			t.Errorf("reason %d is called %s, want %s", want, got, name)
		}
	}
}
