package proxy

import (
	"net/netip"
	"time"
)

// placement is where a connection goes: the pool, by its key, and the target.
type placement struct {
	pool string
	id   string
	addr netip.AddrPort
}

// ends says whether a connection that was placed there has to end by now, under
// a listener's present pools.
//
// A target that fails its checks but takes new connections is one of a pool that
// fails open, whose connections live on (NLB user guide, target group health).
func ends(pools []Pool, at placement, now time.Time) bool {
	for i := range pools {
		p := &pools[i]
		if p.Key != at.pool {
			continue
		}
		if weightOf(pools, i) == 0 {
			return true
		}
		for j := range p.Targets {
			if t := &p.Targets[j]; t.ID == at.id && t.Addr == at.addr {
				return p.endsWith(t, now)
			}
		}
		return p.DrainTermination // it was deregistered, its drain time is over
	}
	return false // of a pool that new connections do not go to any more
}

func (p *Pool) endsWith(t *Target, now time.Time) bool {
	if p.DrainTermination && !t.DrainUntil.IsZero() && !now.Before(t.DrainUntil) {
		return true
	}
	return p.UnhealthyTermination && !t.Healthy && !t.Eligible
}

// nextEnd is the first moment after now at which the passing of time alone ends
// connections; the zero time when there is none.
func nextEnd(pools []Pool, now time.Time) (next time.Time) {
	for i := range pools {
		for j := range pools[i].Targets {
			until := pools[i].Targets[j].DrainUntil
			if pools[i].DrainTermination && until.After(now) && (next.IsZero() || until.Before(next)) {
				next = until
			}
		}
	}
	return next
}
