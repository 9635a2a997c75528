package proxy

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// Route is a listener as it serves: its configuration changes with each Apply,
// its socket and its connections stay.
type Route struct {
	server   *Server
	current  atomic.Pointer[plan]
	tls      *tls.Config // one for all plans: it has the keys of session tickets
	sessions sessions
	surge    atomic.Int64 // connections that wait for a target
	carried  atomic.Int64 // connections in loops, beside sessions
	closed   atomic.Bool  // connections end

	mu       sync.Mutex // held to change plans and to retire; loops never take it
	acceptor acceptor
	retired  chan struct{}
	drain    *time.Timer // nil, or when the next target's drain time is over
}

// newRoute starts to accept connections.
func newRoute(s *Server, ln awaited, p *plan) (*Route, error) {
	r := &Route{server: s, acceptor: ln, retired: make(chan struct{})}
	r.sessions.all = map[*session]struct{}{}
	r.tls = &tls.Config{GetConfigForClient: r.configForClient}
	r.current.Store(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.plain() {
		if err := r.toLoops(); err != nil {
			return nil, err
		}
	} else {
		r.toGoroutine(ln)
	}
	r.endPlaced() // in time
	return r, nil
}

// configForClient is the present plan's. Since it has no session ticket keys of
// its own, crypto/tls uses those of the configuration it is called from.
func (r *Route) configForClient(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	p := r.current.Load()
	if p.tls == nil {
		return nil, errors.New("the listener does not speak TLS any more")
	}
	p.note(hello)
	return p.tls, nil
}

// Listener is the present configuration. It must not be changed.
func (r *Route) Listener() *Listener { return &r.current.Load().Listener }

// Counters are those of the listener's load balancer.
func (r *Route) Counters() *Counters { return r.current.Load().counters }

// Changed ends when the configuration is not the present one any more.
func (r *Route) Changed() <-chan struct{} { return r.current.Load().superseded }

// Retired ends when the listener accepts no more connections: it was removed, or
// the server stops.
func (r *Route) Retired() <-chan struct{} { return r.retired }

// Pick chooses a target for a client, one that is not among those tried. It
// returns false when there is none.
func (r *Route) Pick(client netip.AddrPort, tried ...*Target) (Choice, bool) {
	return r.current.Load().spread.pick(client, tried)
}

// Find is the choice of the target with an ID, if new connections may go there.
func (r *Route) Find(id string) (Choice, bool) { return r.current.Load().spread.find(id) }

// Ends says whether what uses a choice has to end by now: its target is gone,
// drained or unhealthy, and the pool's attributes say so.
func (r *Route) Ends(c Choice) bool {
	return ends(r.current.Load().Forward, placementOf(c), time.Now())
}

func placementOf(c Choice) placement { return placement{c.Pool.Key, c.Target.ID, c.Target.Addr} }

// set puts a plan in force and ends the connections that it ends.
func (r *Route) set(p *plan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.current.Load()
	if err := r.change(p); err != nil {
		r.current.Store(old)
		return err
	}
	close(old.superseded)
	r.endPlaced()
	return nil
}

// change puts a plan in force, and who accepts for it. A goroutine serves plain
// TCP as well, loops nothing else: so they begin after the change and end before.
func (r *Route) change(p *plan) error {
	_, loops := r.acceptor.(looped)
	switch {
	case loops == p.plain():
		r.current.Store(p)
		return nil
	case p.plain():
		r.current.Store(p)
		return r.toLoops()
	}
	ln, err := r.fromLoops()
	if err != nil {
		return err
	}
	r.acceptor.close()
	r.current.Store(p)
	r.toGoroutine(ln)
	return nil
}

// endPlaced ends the connections whose targets have gone, now and when drain
// times are over.
func (r *Route) endPlaced() {
	if r.drain != nil {
		r.drain.Stop()
	}
	pools, now := r.current.Load().Forward, time.Now()
	r.sessions.each(func(s *session) {
		if at, ok := s.placement(); ok && ends(pools, at, now) {
			s.terminate()
		}
	})
	r.endCarried(pools, now)
	if next := nextEnd(pools, now); !next.IsZero() && !r.isRetired() {
		r.drain = time.AfterFunc(time.Until(next), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.endPlaced()
		})
	}
}

func (r *Route) isRetired() bool {
	select {
	case <-r.retired:
		return true
	default:
		return false
	}
}

// retire stops accepting. Connections go on.
func (r *Route) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isRetired() {
		return
	}
	close(r.retired)
	r.acceptor.close()
}

// close stops accepting and ends all connections.
func (r *Route) close() {
	r.retire()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drain != nil {
		r.drain.Stop()
	}
	r.closed.Store(true)
	r.sessions.each((*session).terminate)
	r.server.loops.End(r, func(loop.Session) bool { return true })
}

// connections is how many there are.
func (r *Route) connections() int { return r.sessions.len() + int(r.carried.Load()) }
