package sandbox

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func take(t interface{ Fatal(...any) }, p *Pool) []string {
	addrs, err := p.Take()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func TestPoolGivesTheSameOffsetInEachFamily(t *testing.T) {
	p := NewPool(prefixes("198.18.17.0/24", "2001:db8:0:1:1::/80"))
	want := [][]string{{"198.18.17.1", "2001:db8:0:1:1::1"}, {"198.18.17.2", "2001:db8:0:1:1::2"}}
	if diff := cmp.Diff(want, [][]string{take(t, p), take(t, p)}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPoolReusesAsLateAsPossibleAndEnds(t *testing.T) {
	p := NewPool(prefixes("192.0.2.0/29"))
	for want := 1; want <= 6; want++ {
		if got := take(t, p); got[0] != netip.AddrFrom4([4]byte{192, 0, 2, byte(want)}).String() {
			t.Errorf("address %d is %s", want, got)
		}
	}
	if _, err := p.Take(); err == nil {
		t.Error("an empty pool gave an address")
	}
	p.Give([]netip.Addr{netip.MustParseAddr("192.0.2.5")})
	p.Give([]netip.Addr{netip.MustParseAddr("192.0.2.2")})
	got := []string{take(t, p)[0], take(t, p)[0]}
	if diff := cmp.Diff([]string{"192.0.2.2", "192.0.2.5"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPoolNeverLendsTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges := prefixes("192.0.2.0/28", "2001:db8::/64")
		p := NewPool(ranges)
		var lent [][]netip.Addr
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(lent) > 0 && rapid.Bool().Draw(t, "give") {
				i := rapid.IntRange(0, len(lent)-1).Draw(t, "which")
				p.Give(lent[i])
				lent = slices.Delete(lent, i, i+1)
				continue
			}
			addrs, err := p.Take()
			if err != nil {
				if len(lent) != 14 {
					t.Fatalf("no address with %d lent: %v", len(lent), err)
				}
				continue
			}
			for i, a := range addrs {
				if !ranges[i].Contains(a) {
					t.Fatalf("%s is not in %s", a, ranges[i])
				}
				for _, others := range lent {
					if others[i] == a {
						t.Fatalf("%s is lent twice", a)
					}
				}
			}
			lent = append(lent, addrs)
		}
	})
}
