package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Route is a listener as it serves: its configuration changes with each Apply,
// its socket and its connections stay.
type Route struct {
	server   *Server
	socket   net.Listener
	current  atomic.Pointer[plan]
	tls      *tls.Config // one for all plans: it has the keys of session tickets
	sessions sessions
	surge    atomic.Int64 // connections that wait for a target
	closed   atomic.Bool  // connections end

	mu      sync.Mutex // held to change plans and to retire
	retired chan struct{}
	drain   *time.Timer // nil, or when the next target's drain time is over
}

// newRoute starts to accept connections.
func newRoute(s *Server, socket net.Listener, p *plan) *Route {
	r := &Route{server: s, socket: socket, retired: make(chan struct{})}
	r.sessions.all = map[*session]struct{}{}
	r.tls = &tls.Config{GetConfigForClient: r.configForClient}
	r.set(p)
	s.work.Add(1)
	go r.accept()
	return r
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
func (r *Route) set(p *plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.current.Swap(p); old != nil {
		close(old.superseded)
	}
	r.endPlaced()
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
	_ = r.socket.Close() // only Accept would notice an error
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
}

// acceptPause is how long to wait when the kernel has no more file descriptors
// or memory.
const acceptPause = 50 * time.Millisecond

func (r *Route) accept() {
	defer r.server.work.Done()
	for {
		c, err := r.socket.Accept()
		if err == nil {
			r.admit(c)
			continue
		}
		if r.isRetired() {
			return
		}
		r.server.opts.Log.Warn("connection not accepted", "listener", r.current.Load().Address, "error", err)
		select {
		case <-r.retired:
			return
		case <-time.After(acceptPause):
		}
	}
}

// admit starts to serve a connection, or resets it.
func (r *Route) admit(c net.Conn) {
	conn, ok := c.(*net.TCPConn)
	if !ok {
		_ = c.Close()
		return
	}
	p := r.current.Load()
	flow := Flow{Client: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr())}
	switch {
	case !p.admits(flow.Client.Addr()):
		p.counters.SecurityGroupBlockedFlowCount.Add(1)
		reset(conn)
	case r.server.open.Add(1) > int64(r.server.opts.MaxConnections):
		r.server.open.Add(-1)
		p.counters.RejectedFlowCount.Add(1)
		reset(conn)
	default:
		r.server.work.Add(1)
		newSession(r, p, conn, flow).start()
	}
}

// Flow is the two ends of a client's connection.
type Flow struct {
	Client netip.AddrPort
	Local  netip.AddrPort // the address that the client connected to
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// reset closes a connection so that the peer sees that it was not served.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // fails when the peer has gone
	_ = c.Close()
}
