package maglev_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/datapath/maglev"
)

func targets(n int) []maglev.Target {
	all := make([]maglev.Target, n)
	for i := range all {
		all[i] = maglev.Target{Name: fmt.Sprintf("i-%017x:%d", i*7919, 30000+i), Weight: 1}
	}
	return all
}

// names resolves slots, so that tables over different slices can be compared.
func names(all []maglev.Target, table []int) []string {
	out := make([]string, len(table))
	for i, t := range table {
		out[i] = all[t].Name
	}
	return out
}

func TestSizeGivesEachTargetItsSlots(t *testing.T) {
	for n, want := range map[int]int{0: 1021, 4: 1021, 5: 4093, 16: 4093, 17: 16381, 65: 16381, 66: 65537, 500: 65537, 1000: 65537} {
		if got := maglev.Size(n); got != want {
			t.Errorf("Size(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestEmptyTableHoldsNone(t *testing.T) {
	for name, all := range map[string][]maglev.Target{"no targets": nil, "no weights": {{Name: "a"}, {Name: "b"}}} {
		for slot, got := range maglev.Build(all, 1021) {
			if got != maglev.None {
				t.Fatalf("%s: slot %d = %d, want None", name, slot, got)
			}
		}
	}
}

// The bounds are twice what the same algorithm showed when it was measured; a
// moved slot is extra when neither the old nor the new owner came or went.
func TestRemovingOneTargetMovesFewSlotsOfTheOthers(t *testing.T) {
	for _, tc := range []struct {
		n, size int
		bound   float64
	}{
		{10, 1021, 0.06}, {50, 1021, 0.10},
		{10, 4093, 0.022}, {100, 4093, 0.06},
		{10, 16381, 0.010}, {100, 16381, 0.026},
		{10, 65537, 0.0046}, {100, 65537, 0.011}, {500, 65537, 0.018},
	} {
		all := targets(tc.n)
		before := names(all, maglev.Build(all, tc.size))
		gone := all[tc.n/2].Name
		left := append(append([]maglev.Target{}, all[:tc.n/2]...), all[tc.n/2+1:]...)
		after := names(left, maglev.Build(left, tc.size))
		extra := 0
		for i := range before {
			if before[i] != after[i] && before[i] != gone {
				extra++
			}
		}
		if got := float64(extra) / float64(tc.size); got > tc.bound {
			t.Errorf("%d of %d slots: %.4f moved without need, want at most %.4f", tc.n, tc.size, got, tc.bound)
		}
	}
}

func TestSharesFollowWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "targets")
		all, sum := targets(n), 0
		for i := range all {
			all[i].Weight = rapid.IntRange(0, 20).Draw(t, "weight")
			sum += all[i].Weight
		}
		all[0].Weight++
		sum++
		const size = 4093
		slots := make([]int, n)
		for _, owner := range maglev.Build(all, size) {
			slots[owner]++
		}
		for i, got := range slots {
			want := float64(size) * float64(all[i].Weight) / float64(sum)
			// A turn more or less in the last round, which only part of the targets get.
			if diff := float64(got) - want; diff < -want*0.02-2 || diff > want*0.02+2 {
				t.Fatalf("target %d of weight %d/%d has %d slots, want about %.0f", i, all[i].Weight, sum, got, want)
			}
		}
	})
}

func TestOrderOfTargetsDoesNotMatter(t *testing.T) {
	all := targets(30)
	want := names(all, maglev.Build(all, 4093))
	shuffled := append([]maglev.Target{}, all...)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) {
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	})
	if diff := cmp.Diff(want, names(shuffled, maglev.Build(shuffled, 4093))); diff != "" {
		t.Errorf("table depends on the order of its targets (-want +got):\n%s", diff)
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500} {
		all := targets(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				maglev.Build(all, maglev.Size(n))
			}
		})
	}
}
