package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// session is a client's connection from accept to close, served by goroutines:
// one that TLS or HTTP is spoken on.
type session struct {
	route    *Route
	counters *Counters
	flow     Flow
	client   *net.TCPConn
	activity activity

	mu     sync.Mutex
	target *net.TCPConn // nil before it is connected, and of HTTP
	at     placement    // where target is
	cancel context.CancelFunc
	ended  bool
	idle   *time.Timer
	alive  *loop.Keepalives // nil when keepalives do not count as activity
}

// activity is when either side last said something, in nanoseconds since start.
type activity struct {
	start time.Time
	last  atomic.Int64
}

func (a *activity) mark() { a.last.Store(int64(time.Since(a.start))) }

// quiet is for how long nobody has said anything.
func (a *activity) quiet() time.Duration {
	return time.Since(a.start) - time.Duration(a.last.Load())
}

// sessions are the connections of a route.
type sessions struct {
	mu  sync.Mutex
	all map[*session]struct{}
}

func (s *sessions) add(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[c] = struct{}{}
}

func (s *sessions) remove(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

func (s *sessions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// each calls f, which may remove the session, for all.
func (s *sessions) each(f func(*session)) {
	s.mu.Lock()
	all := make([]*session, 0, len(s.all))
	for c := range s.all {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

func newSession(r *Route, p *plan, c *net.TCPConn, flow Flow) *session {
	return &session{route: r, counters: p.counters, flow: flow, client: c, activity: activity{start: time.Now()}}
}

// start serves the session in goroutines of its own, the last of which calls end.
func (s *session) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.route.sessions.add(s)
	if s.route.closed.Load() { // perhaps after close has gone through the sessions
		s.terminate()
	}
	go s.serve(ctx)
}

// terminate ends the session because what it was for has gone.
func (s *session) terminate() {
	s.shut(inOrder, &s.counters.Terminated)
}

// How to close connections: so that peers see an error, or see the end.
const (
	abort   = true
	inOrder = false
)

// shut closes both connections, and counts it, unless that was done before. The
// goroutines that serve the session then end.
func (s *session) shut(abort bool, reasons ...*atomic.Int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	enter(reasons...)
	if s.cancel != nil {
		s.cancel()
	}
	if s.idle != nil {
		s.idle.Stop()
	}
	for _, c := range []*net.TCPConn{s.client, s.target} {
		if c == nil {
			continue
		}
		if abort {
			_ = c.SetLinger(0) // fails when the peer has gone
		}
		_ = c.Close() // nothing was written that a caller waits for
	}
}

// end releases what the session holds. It is called once, by the last goroutine.
func (s *session) end() {
	s.shut(inOrder)
	s.route.sessions.remove(s)
	s.route.leaves(s.counters)
}

var errEnded = errors.New("the connection has been closed")

// connected records the target, and lets go of what only setting up needs.
func (s *session) connected(c *net.TCPConn, at placement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errors.Join(errEnded, c.Close())
	}
	s.target, s.at = c, at
	s.cancel()
	s.cancel = nil
	return nil
}

// placement is where the session's bytes go, once that is decided.
func (s *session) placement() (placement, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, s.target != nil
}
