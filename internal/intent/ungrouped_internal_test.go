package intent

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestJoinedBlocksHoldTheSameAddressesInFewestBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Prefix {
			bits := rapid.IntRange(28, 32).Draw(t, "bits")
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, rapid.Byte().Draw(t, "last") % 32}), bits).Masked()
		}), 0, 12).Draw(t, "blocks")
		before := slices.Clone(blocks)
		out := joined(blocks)
		holds := func(all []netip.Prefix, a netip.Addr) (n int) {
			for _, p := range all {
				if p.Contains(a) {
					n++
				}
			}
			return n
		}
		for i := range 64 {
			a := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			if n := holds(out, a); n > 1 || (n == 1) != (holds(before, a) > 0) {
				t.Fatalf("%s is in %d of %v, made of %v", a, n, out, before)
			}
		}
		for i, a := range out {
			for _, b := range out[i+1:] {
				if a.Bits() == b.Bits() && netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked() == netip.PrefixFrom(b.Addr(), b.Bits()-1).Masked() {
					t.Fatalf("%v has two blocks that are one: %s and %s", out, a, b)
				}
			}
		}
		if !slices.Equal(before, blocks) {
			t.Fatal("the argument was changed")
		}
	})
}
