package proxy

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"sync/atomic"
)

// spread chooses targets: a pool by weight, then a target by the pool's Balance.
type spread struct {
	pools    []*choices
	total    uint32 // of the weights
	bySource bool   // the pool, too, follows from the client's address alone
}

// choices are the targets of one pool that take new connections.
type choices struct {
	pool     *Pool
	weight   uint32
	eligible []candidate
	turn     *atomic.Uint32 // of RoundRobin, and of LeastOutstanding among equals
}

// candidate is a target that may be chosen.
type candidate struct {
	target      *Target
	hash        uint64
	outstanding *atomic.Int64
}

// Choice is a target for a connection or a request. Done must be called once
// when the connection or the request has ended.
type Choice struct {
	Pool   *Pool
	Target *Target

	outstanding *atomic.Int64
}

// Done says that the connection or request has ended.
func (c Choice) Done() { c.outstanding.Add(-1) }

// loads remembers turns and outstanding requests from one plan to the next.
type loads struct {
	turns       map[string]*atomic.Uint32
	outstanding map[targetKey]*atomic.Int64
}

// targetKey names a target among all of a listener's.
type targetKey struct {
	pool, id string
	addr     netip.AddrPort
}

// newSpread prepares to choose among a listener's pools; before is what the
// plan before remembered.
func newSpread(pools []Pool, before loads) (*spread, loads) {
	now := loads{turns: map[string]*atomic.Uint32{}, outstanding: map[targetKey]*atomic.Int64{}}
	s := &spread{bySource: true}
	for i := range pools {
		p := &pools[i]
		c := &choices{pool: p, weight: weightOf(pools, i), turn: reuse(before.turns, p.Key)}
		now.turns[p.Key] = c.turn
		for j := range p.Targets {
			t := &p.Targets[j]
			key := targetKey{p.Key, t.ID, t.Addr}
			now.outstanding[key] = reuse(before.outstanding, key)
			if t.Eligible {
				c.eligible = append(c.eligible, candidate{t, hashTarget(t), now.outstanding[key]})
			}
		}
		s.total += c.weight
		s.bySource = s.bySource && (p.StickToSource || c.weight == 0)
		s.pools = append(s.pools, c)
	}
	return s, now
}

// weightOf is a pool's share; a single pool takes all.
func weightOf(pools []Pool, i int) uint32 {
	if len(pools) == 1 {
		return 1
	}
	return uint32(max(pools[i].Weight, 0))
}

func reuse[K comparable, V any](before map[K]*V, key K) *V {
	if v, ok := before[key]; ok {
		return v
	}
	return new(V)
}

// pick chooses a target for a client that is not one of those tried. It returns
// false when there is none.
func (s *spread) pick(client netip.AddrPort, tried []*Target) (Choice, bool) {
	c := s.pool(client)
	if c == nil {
		return Choice{}, false
	}
	i := c.index(client, tried)
	if i < 0 {
		return Choice{}, false
	}
	return c.eligible[i].take(c.pool), true
}

func (c candidate) take(p *Pool) Choice {
	c.outstanding.Add(1)
	return Choice{Pool: p, Target: c.target, outstanding: c.outstanding}
}

// find returns the eligible target with an ID.
func (s *spread) find(id string) (Choice, bool) {
	for _, c := range s.pools {
		for _, e := range c.eligible {
			if c.weight > 0 && e.target.ID == id {
				return e.take(c.pool), true
			}
		}
	}
	return Choice{}, false
}

// pool chooses by weight. Its hash is not that of the target's choice: the
// shares within a pool would not be even.
func (s *spread) pool(client netip.AddrPort) *choices {
	if s.total == 0 {
		return nil
	}
	at := uint32(mix(hashClient(client, s.bySource)^0x9e3779b97f4a7c15) % uint64(s.total))
	for _, c := range s.pools {
		if at < c.weight {
			return c
		}
		at -= c.weight
	}
	return nil
}

func (c *choices) index(client netip.AddrPort, tried []*Target) int {
	switch {
	case c.pool.Balance == FlowHash || c.pool.StickToSource:
		return c.highest(hashClient(client, c.pool.StickToSource), tried)
	case c.pool.Balance == RoundRobin:
		return c.next(tried)
	default:
		return c.leastLoaded(tried)
	}
}

// highest is rendezvous hashing: a target that comes or goes moves only what it
// gets or had.
func (c *choices) highest(client uint64, tried []*Target) int {
	best, at := uint64(0), -1
	for i, e := range c.eligible {
		if score := mix(client ^ e.hash); (at < 0 || score > best) && !slices.Contains(tried, e.target) {
			best, at = score, i
		}
	}
	return at
}

func (c *choices) next(tried []*Target) int {
	n := len(c.eligible)
	if n == 0 {
		return -1
	}
	first := c.first(tried)
	for i := range n {
		if at := (first + i) % n; !slices.Contains(tried, c.eligible[at].target) {
			return at
		}
	}
	return -1
}

// first is whose turn it is. A second attempt takes nobody's turn.
func (c *choices) first(tried []*Target) int {
	turn := c.turn.Load()
	if len(tried) == 0 {
		turn = c.turn.Add(1)
	}
	return int(turn % uint32(len(c.eligible)))
}

// leastLoaded takes turns among targets with equally many requests.
func (c *choices) leastLoaded(tried []*Target) int {
	n, at, least := len(c.eligible), -1, int64(0)
	if n == 0 {
		return -1
	}
	first := c.first(tried)
	for i := range n {
		j := (first + i) % n
		if load := c.eligible[j].outstanding.Load(); (at < 0 || load < least) && !slices.Contains(tried, c.eligible[j].target) {
			at, least = j, load
		}
	}
	return at
}

func hashTarget(t *Target) uint64 {
	h := fnv.New64a()
	b, _ := t.Addr.MarshalBinary() // never fails
	h.Write(b)
	h.Write([]byte(t.ID))
	return mix(h.Sum64())
}

// hashClient is the same in every process, so that stickiness survives upgrades.
func hashClient(client netip.AddrPort, addressOnly bool) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range client.Addr().As16() {
		h = (h ^ uint64(b)) * 1099511628211
	}
	if !addressOnly {
		h = (h ^ uint64(client.Port())) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of SplitMix64: each bit of the input moves half of the
// output's.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
