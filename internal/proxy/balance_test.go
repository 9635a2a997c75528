package proxy

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func targets(n int) []Target {
	all := make([]Target, n)
	for i := range all {
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		all[i] = Target{ID: fmt.Sprintf("i-%d", i), Addr: netip.AddrPortFrom(addr, 80), Eligible: true, Healthy: true}
	}
	return all
}

func clientAt(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 24), byte(i >> 16)}), uint16(i))
}

// chosen is the ID of the target for a client, or empty.
func chosen(s *spread, client netip.AddrPort, tried ...*Target) string {
	c, ok := s.pick(client, tried)
	if !ok {
		return ""
	}
	defer c.Done()
	return c.Target.ID
}

func spreadOf(pools ...Pool) *spread {
	s, _ := newSpread(pools, loads{})
	return s
}

func TestFlowHashMovesOnlyTheConnectionsOfTheTargetThatGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "targets")
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		before, less := targets(n), targets(n)
		less[gone].Eligible = false
		all, rest := spreadOf(Pool{Key: "p", Targets: before}), spreadOf(Pool{Key: "p", Targets: less})
		for i := range 200 {
			was, is := chosen(all, clientAt(i)), chosen(rest, clientAt(i))
			if was != before[gone].ID && was != is {
				t.Fatalf("client %d moved from %s to %s although %s went", i, was, is, before[gone].ID)
			}
			if is == before[gone].ID {
				t.Fatalf("client %d goes to %s, which takes no connections", i, is)
			}
		}
	})
}

func TestFlowHashSpreadsConnectionsEvenly(t *testing.T) {
	s, got := spreadOf(Pool{Key: "p", Targets: targets(10)}), map[string]int{}
	for i := range 10_000 {
		got[chosen(s, clientAt(i))]++
	}
	for id, n := range got {
		if n < 850 || n > 1150 {
			t.Errorf("target %s got %d of 10,000 connections, want about 1,000", id, n)
		}
	}
}

func TestPoolsGetTheirWeightsShares(t *testing.T) {
	one, two, none := targets(3), targets(6)[3:], targets(9)[6:]
	s, got := spreadOf(Pool{Key: "one", Weight: 1, Targets: one}, Pool{Key: "two", Weight: 3, Targets: two}, Pool{Key: "none", Targets: none}), map[string]int{}
	for i := range 12_000 {
		c, _ := s.pick(clientAt(i), nil)
		got[c.Pool.Key]++
		got[c.Target.ID]++
	}
	if got["one"] < 2800 || got["one"] > 3200 || got["none"] != 0 {
		t.Errorf("pools of weights 1, 3 and 0 got %d, %d and %d of 12,000", got["one"], got["two"], got["none"])
	}
	for _, target := range two {
		if n := got[target.ID]; n < 2700 || n > 3300 {
			t.Errorf("target %s of three got %d of its pool's 9,000", target.ID, n)
		}
	}
}

func TestASinglePoolServesWhateverItsWeight(t *testing.T) {
	if got := chosen(spreadOf(Pool{Key: "p", Weight: 0, Targets: targets(1)}), clientAt(1)); got != "i-0" {
		t.Errorf("got %q, want the only target", got)
	}
}

func TestSourceStickinessIgnoresPorts(t *testing.T) {
	s := spreadOf(Pool{Key: "a", Weight: 1, StickToSource: true, Balance: RoundRobin, Targets: targets(7)},
		Pool{Key: "b", Weight: 1, StickToSource: true, Balance: RoundRobin, Targets: targets(14)[7:]})
	seen := map[string]bool{}
	for i := range 50 {
		client := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		first := chosen(s, netip.AddrPortFrom(client, 1))
		seen[first] = true
		for port := range uint16(50) {
			if got := chosen(s, netip.AddrPortFrom(client, port)); got != first {
				t.Fatalf("client %s goes to %s and to %s", client, first, got)
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("50 clients go to %d targets of 14", len(seen))
	}
}

func TestRoundRobinTakesTurnsAcrossPlans(t *testing.T) {
	pools := []Pool{{Key: "p", Balance: RoundRobin, Targets: targets(3)}}
	got, memory := map[string]int{}, loads{}
	for range 30 {
		var s *spread
		s, memory = newSpread(pools, memory) // a new plan before each connection
		got[chosen(s, clientAt(1))]++
	}
	for id, n := range got {
		if n != 10 {
			t.Errorf("target %s got %d of 30, want 10", id, n)
		}
	}
}

func TestLeastOutstandingGoesToTheIdlestTarget(t *testing.T) {
	pools := []Pool{{Key: "p", Balance: LeastOutstanding, Targets: targets(3)}}
	s, memory := newSpread(pools, loads{})
	open := map[string]Choice{}
	for range 3 {
		c, _ := s.pick(clientAt(1), nil)
		open[c.Target.ID] = c
	}
	if len(open) != 3 {
		t.Fatalf("three requests went to %d targets of three", len(open))
	}
	open["i-1"].Done()
	s, _ = newSpread(pools, memory) // outstanding requests are not forgotten
	if got := chosen(s, clientAt(1)); got != "i-1" {
		t.Errorf("the next request goes to %s, want i-1, which has none", got)
	}
}

func TestTriedTargetsAreNotChosenAgain(t *testing.T) {
	for name, balance := range map[string]Balance{"flow hash": FlowHash, "round robin": RoundRobin, "least outstanding": LeastOutstanding} {
		t.Run(name, func(t *testing.T) {
			pools := []Pool{{Key: "p", Balance: balance, Targets: targets(4)}}
			s := spreadOf(pools...)
			var tried []*Target
			seen := map[string]bool{}
			for range 4 {
				c, ok := s.pick(clientAt(1), tried)
				if !ok || seen[c.Target.ID] {
					t.Fatalf("attempt %d: %v, %v", len(tried), c.Target, ok)
				}
				seen[c.Target.ID], tried = true, append(tried, c.Target)
			}
			if c, ok := s.pick(clientAt(1), tried); ok {
				t.Errorf("a fifth attempt goes to %s of four targets", c.Target.ID)
			}
		})
	}
}

func TestNobodyServesWithoutEligibleTargets(t *testing.T) {
	none := targets(2)
	none[0].Eligible, none[1].Eligible = false, false
	for name, pools := range map[string][]Pool{
		"no pools": nil, "no targets": {{Key: "p"}}, "none eligible": {{Key: "p", Targets: none}},
		"weights of zero": {{Key: "a", Targets: targets(1)}, {Key: "b", Targets: targets(1)}},
	} {
		for _, balance := range []Balance{FlowHash, RoundRobin, LeastOutstanding} {
			for i := range pools {
				pools[i].Balance = balance
			}
			if got := chosen(spreadOf(pools...), clientAt(1)); got != "" {
				t.Errorf("%s: %s serves", name, got)
			}
		}
	}
}

func TestFindReturnsEligibleTargetsOnly(t *testing.T) {
	all := targets(2)
	all[1].Eligible = false
	s := spreadOf(Pool{Key: "p", Targets: all})
	if c, ok := s.find("i-0"); !ok || c.Target.ID != "i-0" {
		t.Errorf("i-0: got %v, %v", c.Target, ok)
	}
	if _, ok := s.find("i-1"); ok {
		t.Error("i-1 takes no connections and was found")
	}
}
