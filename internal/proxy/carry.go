package proxy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// carried is a connection of plain TCP on both sides, which a loop carries and
// nobody else touches.
type carried struct {
	route  *Route
	plan   *plan // in force when the connection came
	client loop.Client
	start  time.Time

	search  search
	way     approach // to the target that was chosen last
	waiting bool     // in the surge queue
	chosen  bool     // way leads somewhere
}

// placed says whether the connection has come to its target.
func (s *carried) placed() bool { return s.chosen && !s.waiting }

// Accept implements loop.Server.
func (r *Route) Accept(c loop.Client) loop.Session {
	p := r.current.Load()
	if !r.admits(p, c.Addr) {
		return nil
	}
	r.carried.Add(1)
	return &carried{
		route: r, plan: p, client: c, start: time.Now(),
		search: search{route: r, counters: p.counters, client: c.Addr},
	}
}

// Dial implements loop.Session.
func (s *carried) Dial(failed error) (loop.Dialing, bool) {
	d, err := s.nextDialing(failed)
	if err != nil {
		s.route.notServed(s.client.Addr, err)
	}
	return d, err == nil
}

func (s *carried) nextDialing(failed error) (d loop.Dialing, err error) {
	if !s.waiting {
		if err := s.search.begin(); err != nil {
			return d, err
		}
		s.waiting = true
	}
	for {
		if !s.chosen {
			if err := s.choose(); err != nil {
				return d, err
			}
		}
		if d, err = s.way.next(failed); err == nil {
			return d, nil
		}
		s.plan.counters.BackendConnectionErrors.Add(1)
		at := s.way.choice.Target
		s.search.failed(s.way.choice, fmt.Errorf("connect to target %s at %s: %w", at.ID, at.Addr, err))
		s.chosen, failed = false, nil
	}
}

// choose chooses the next target, by the present plan unless that has targets
// that speak TLS by now.
func (s *carried) choose() error {
	p := s.route.current.Load()
	if !p.plain() {
		p = s.plan
	}
	c, err := s.search.next(p)
	if err != nil {
		return err
	}
	s.way, s.chosen = approach{choice: c, client: s.client.Addr, counters: s.plan.counters}, true
	return nil
}

// Connected implements loop.Session.
func (s *carried) Connected() (g loop.Greeting, ok bool) {
	s.search.end()
	s.waiting = false
	header, err := s.header()
	if err != nil {
		s.route.notServed(s.client.Addr, err)
		return g, false
	}
	pool := s.way.choice.Pool
	return loop.Greeting{Header: header, Keepalives: pool.Balance == FlowHash, Timed: s.logged()}, !s.route.Ends(s.way.choice)
}

func (s *carried) logged() bool {
	_, _, ok := s.route.log()
	return ok
}

func (s *carried) header() ([]byte, error) {
	version := s.way.choice.Pool.ProxyProtocol
	if version == NoProxyHeader {
		return nil, nil
	}
	local, err := s.client.Local()
	if err != nil {
		return nil, err
	}
	return proxyHeader(version, Flow{Client: s.client.Addr, Local: local}, "")
}

// Received implements loop.Session.
func (s *carried) Received(n int) { s.plan.counters.ProcessedBytes.Add(int64(n)) }

// IdleTimeout implements loop.Session.
func (s *carried) IdleTimeout() time.Duration { return s.route.Listener().IdleTimeout }

// Ended implements loop.Session.
func (s *carried) Ended(e loop.End) {
	if s.waiting {
		s.search.end()
	}
	if s.chosen {
		s.way.choice.Done()
	}
	switch e.Why {
	case loop.Idle:
		s.plan.counters.IdleTimeouts.Add(1)
	case loop.Terminated:
		s.plan.counters.Terminated.Add(1)
	default: // is not counted, or was
	}
	var at netip.AddrPort
	if s.placed() {
		at = s.way.choice.Target.Addr
	}
	s.route.logFlow(s.start, s.client.Addr, flowEnd{address: at, there: e.There, back: e.Back})
	s.route.carried.Add(-1)
	s.route.leaves(s.plan.counters)
}

// endCarried ends those connections of a loop that have to end under a plan.
func (r *Route) endCarried(pools []Pool, now time.Time) {
	known := map[placement]bool{} // there are fewer targets than connections
	r.server.loops.End(r, func(s loop.Session) bool {
		c := s.(*carried)
		if !c.placed() {
			return false
		}
		at := placementOf(c.way.choice)
		end, ok := known[at]
		if !ok {
			end = ends(pools, at, now)
			known[at] = end
		}
		return end
	})
}
