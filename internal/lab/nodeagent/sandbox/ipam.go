package sandbox

import (
	"fmt"
	"math/big"
	"net/netip"
)

// Pool hands out pod addresses: the same offset in the range of each family.
// It is not safe for concurrent use.
type Pool struct {
	ranges []netip.Prefix
	size   int // offsets 1 … size are handed out
	next   int
	used   map[int]bool
}

// maxPool bounds a pool whose ranges are larger than a node's pods can be many.
const maxPool = 1 << 16

// NewPool returns the pool of a node's pod ranges. The first and the last
// address of a range stay unused.
func NewPool(ranges []netip.Prefix) *Pool {
	size := maxPool
	for _, r := range ranges {
		if free := r.Addr().BitLen() - r.Bits(); free < 16 {
			size = min(size, 1<<free-2)
		}
	}
	return &Pool{ranges: ranges, size: size, used: map[int]bool{}}
}

// Take returns one address per range. It goes round, so that an address is
// reused as late as possible: others may still have flows to it.
func (p *Pool) Take() ([]netip.Addr, error) {
	for range p.size {
		p.next = p.next%p.size + 1
		if !p.used[p.next] {
			p.used[p.next] = true
			return p.at(p.next), nil
		}
	}
	return nil, fmt.Errorf("all %d pod addresses of %v are in use", p.size, p.ranges)
}

// Give takes back what Take returned.
func (p *Pool) Give(addrs []netip.Addr) {
	for offset := range p.used {
		if have := p.at(offset); len(addrs) > 0 && have[0] == addrs[0] {
			delete(p.used, offset)
		}
	}
}

func (p *Pool) at(offset int) []netip.Addr {
	var out []netip.Addr
	for _, r := range p.ranges {
		out = append(out, add(r.Masked().Addr(), offset))
	}
	return out
}

func add(base netip.Addr, offset int) netip.Addr {
	b := base.AsSlice()
	sum := new(big.Int).Add(new(big.Int).SetBytes(b), big.NewInt(int64(offset)))
	addr, _ := netip.AddrFromSlice(sum.FillBytes(make([]byte, len(b))))
	return addr
}
