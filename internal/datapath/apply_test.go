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
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// memoryStore is a store without a kernel. With faults it fails now and then,
// before, in the middle of or after a write.
type memoryStore struct {
	contents
	tables map[uint32][]uint32
	faults *rand.Rand
	writes int
}

func newMemoryStore() *memoryStore {
	return &memoryStore{contents: newContents(), tables: map[uint32][]uint32{}}
}

var errFault = errors.New("injected fault")

func (s *memoryStore) load() (contents, error) {
	out := s.contents.clone()
	out.tables, out.counters = map[uint32][]uint32{}, map[uint32]struct{}{}
	return out, nil
}

// fails decides the fate of each single entry.
func (s *memoryStore) fails() bool { return s.faults != nil && s.faults.IntN(40) == 0 }

func (s *memoryStore) put(c contents) error {
	if c.generation != 0 {
		s.generation = c.generation
	}
	s.writes += len(c.targets) + len(c.tables) + len(c.groups) + len(c.prefixes) + len(c.clients) + len(c.listeners) + len(c.keys) + len(c.vips)
	return errors.Join(
		insertAll(s, s.contents.targets, c.targets), insertAll(s, s.tables, c.tables), insertAll(s, s.contents.groups, c.groups),
		insertAll(s, s.contents.prefixes, c.prefixes), insertAll(s, s.contents.clients, c.clients), insertAll(s, s.contents.listeners, c.listeners),
		insertAll(s, s.contents.keys, c.keys), insertAll(s, s.contents.vips, c.vips),
	)
}

func (s *memoryStore) remove(c contents) error {
	s.writes += len(c.targets) + len(c.groups) + len(c.prefixes) + len(c.clients) + len(c.listeners) + len(c.keys) + len(c.vips)
	return errors.Join(
		removeAll(s, s.contents.targets, c.targets), removeAll(s, s.tables, c.groups), removeAll(s, s.contents.groups, c.groups),
		removeAll(s, s.contents.prefixes, c.prefixes), removeAll(s, s.contents.clients, c.clients), removeAll(s, s.contents.listeners, c.listeners),
		removeAll(s, s.contents.keys, c.keys), removeAll(s, s.contents.vips, c.vips),
	)
}

func insertAll[K comparable, V any](s *memoryStore, into, entries map[K]V) error {
	for k, v := range entries {
		if s.fails() {
			return errFault
		}
		into[k] = v
	}
	return nil
}

func removeAll[K comparable, V, W any](s *memoryStore, from map[K]V, entries map[K]W) error {
	for k := range entries {
		if s.fails() {
			return errFault
		}
		delete(from, k)
	}
	return nil
}

// check holds what no packet may ever find against the maps.
func (s *memoryStore) check(t fataler) {
	t.Helper()
	for key, id := range s.keys {
		l, ok := s.listeners[indexOf(id)]
		if !ok || l.Id != id || l.Vip != key.Vip {
			t.Fatalf("key %v leads to listener %#x, which is %+v", key, id, l)
		}
	}
	for _, l := range s.listeners {
		for _, c := range l.Choice[:l.Choices] {
			if _, ok := s.groups[c.Group]; !ok {
				t.Fatalf("listener %#x forwards to group %d, which is not there", l.Id, c.Group)
			}
		}
	}
	for index, slots := range s.tables {
		if _, ok := s.groups[index]; !ok {
			continue // left by a write that failed; no listener leads there
		}
		for _, id := range slots {
			target, ok := s.contents.targets[indexOf(id)]
			if !ok || target.Id != id || target.Mac == 0 || target.Group != index {
				t.Fatalf("table of group %d leads to target %#x, which is %+v", index, id, target)
			}
		}
	}
}

// checkClients holds that a set which something names is whole.
func (s *memoryStore) checkClients(t fataler) {
	t.Helper()
	sizes := map[uint64]int{clientsEveryone: 0, clientsNobody: 0, clientsNumber("10.0.0.0/8"): 1, clientsNumber("10.0.0.0/8 192.0.2.0/24"): 2}
	have := map[uint64]int{}
	for c := range s.clients {
		have[c.set]++
	}
	named := func(what string, set uint64) {
		if want, known := sizes[set]; !known || have[set] != want {
			t.Fatalf("%s names the clients %#x, of which %d of %d are there", what, set, have[set], want)
		}
	}
	for _, l := range s.listeners {
		named("a listener", l.Clients)
	}
	for _, target := range s.contents.targets {
		named("a target", target.ClientsTcp)
	}
}

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

// sameStore compares what packets can see; generations and places may differ.
func sameStore(a, b *memoryStore) string {
	return cmp.Diff(a.visible(), b.visible(), cmpopts.EquateEmpty())
}

// visible tells by name what each listener does.
func (s *memoryStore) visible() map[string]any {
	out := map[string]any{}
	for key, id := range s.keys {
		l := s.listeners[indexOf(id)]
		name := fmt.Sprintf("%s:%d", addrFromMap(key.Vip), portFromMap(key.Port))
		for i, c := range l.Choice[:l.Choices] {
			slots := make([]string, len(s.tables[c.Group]))
			for slot, target := range s.tables[c.Group] {
				slots[slot] = addrFromMap(s.contents.targets[indexOf(target)].Addr).String()
			}
			out[fmt.Sprintf("%s %d", name, i)] = []any{c.Bound, l.Clients, s.groups[c.Group].Flags, slots}
		}
	}
	for a := range s.vips {
		out[a.String()] = true
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
		faulty.faults = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "faults"), 1))
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
