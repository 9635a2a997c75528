package tree

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// version pairs a tree with the plain map that it must equal for ever.
type version struct {
	tree Map[int]
	want map[string]int
}

func TestEveryVersionEqualsItsModelForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[abc/]{0,4}`)
		versions := []version{{want: map[string]int{}}}
		for range rapid.IntRange(0, 60).Draw(t, "writes") {
			last := versions[len(versions)-1]
			k, next := key.Draw(t, "key"), version{want: maps.Clone(last.want)}
			if rapid.Bool().Draw(t, "delete") {
				next.tree = last.tree.Delete(k)
				delete(next.want, k)
			} else {
				v := rapid.Int().Draw(t, "value")
				next.tree, next.want[k] = last.tree.Put(k, v), v
			}
			versions = append(versions, next)
		}
		for _, v := range versions {
			checkVersion(t, v, key.Draw(t, "probe"))
		}
		a := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "a")]
		b := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "b")]
		checkDiff(t, a, b)
	})
}

func checkVersion(t *rapid.T, v version, probe string) {
	if v.tree.Len() != len(v.want) {
		t.Fatalf("Len() = %d, want %d", v.tree.Len(), len(v.want))
	}
	if diff := cmp.Diff(v.want, maps.Collect(v.tree.All())); diff != "" {
		t.Fatalf("All() (-want +got):\n%s", diff)
	}
	sorted := slices.Sorted(maps.Keys(v.want))
	var from, prefixed []string
	for k := range v.tree.From(probe) {
		from = append(from, k)
	}
	for k := range v.tree.Prefix(probe) {
		prefixed = append(prefixed, k)
	}
	wantFrom := slices.DeleteFunc(slices.Clone(sorted), func(k string) bool { return k < probe })
	wantPrefixed := slices.DeleteFunc(slices.Clone(sorted), func(k string) bool { return !strings.HasPrefix(k, probe) })
	if !slices.Equal(from, wantFrom) || !slices.Equal(prefixed, wantPrefixed) {
		t.Fatalf("From(%q) = %q, want %q; Prefix = %q, want %q", probe, from, wantFrom, prefixed, wantPrefixed)
	}
}

// checkDiff applies the difference to a's model, which must give b's.
func checkDiff(t *rapid.T, a, b version) {
	got, previous := maps.Clone(a.want), ""
	for d := range Diff(a.tree, b.tree) {
		if previous != "" && d.Key <= previous {
			t.Fatalf("Diff yields %q after %q", d.Key, previous)
		}
		previous = d.Key
		before, had := a.want[d.Key]
		if had != (d.Before != nil) || had && *d.Before != before {
			t.Fatalf("Diff says %q was %v, want %v (%t)", d.Key, d.Before, before, had)
		}
		if d.After == nil {
			delete(got, d.Key)
		} else {
			got[d.Key] = *d.After
		}
	}
	if diff := cmp.Diff(b.want, got); diff != "" {
		t.Fatalf("a patched with Diff(a, b) is not b (-want +got):\n%s", diff)
	}
}

func TestDiffVisitsOnlyWhatDiffers(t *testing.T) {
	var m Map[int]
	for i := range 10_000 {
		m = m.Put(fmt.Sprint(i), i)
	}
	changed := m.Put("77", -1).Delete("4242").Put("new", 1)
	var keys []string
	allocations := testing.AllocsPerRun(1, func() {
		keys = keys[:0]
		for d := range Diff(m, changed) {
			keys = append(keys, d.Key)
		}
	})
	if want := []string{"4242", "77", "new"}; !slices.Equal(keys, want) {
		t.Errorf("Diff yields %q, want %q", keys, want)
	}
	// One path of nodes is about 2 log2(10,000) = 27 long; a full walk is 10,000.
	if allocations > 500 {
		t.Errorf("Diff of three changes in 10,000 allocates %.0f times", allocations)
	}
}

func TestStoppingAnIterationStops(t *testing.T) {
	m := Map[int]{}.Put("a", 1).Put("b", 2).Put("c", 3)
	seen := 0
	for range m.All() {
		seen++
		break
	}
	for range Diff(Map[int]{}, m) {
		seen++
		break
	}
	if seen != 2 {
		t.Errorf("saw %d entries after breaking out of two loops, want 2", seen)
	}
}

func TestAMapFromSortedKeysIsThatOfTheirPuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := slices.Compact(slices.Sorted(slices.Values(rapid.SliceOf(rapid.String()).Draw(t, "keys"))))
		var want Map[int]
		values := make([]int, len(keys))
		for i, key := range keys {
			values[i] = i
			want = want.Put(key, i)
		}
		if got := FromSorted(keys, values); !reflect.DeepEqual(want, got) {
			t.Fatalf("of %q another tree", keys)
		}
	})
}
