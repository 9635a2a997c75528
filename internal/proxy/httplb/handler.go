package httplb

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
)

// Options are what a Handler is made of. The zero value of a field that has a
// default stands for the default.
type Options struct {
	Metrics   prometheus.Registerer // nil: nothing is registered
	AccessLog *accesslog.Spool      // nil: no listener keeps one

	// TargetConnections is how many connections a target may have from one edge;
	// requests beyond wait in the surge queue. Default 4,096.
	TargetConnections int
	// SurgeQueue is how many requests of a load balancer may wait for a
	// connection to their target; more get 503 and are counted as spillover.
	// Default 1,024.
	SurgeQueue int
	// HeadTimeout is how long a client may take to send a request's head, if the
	// idle timeout is not shorter. Default 60 s.
	HeadTimeout time.Duration
}

const (
	defaultTargetConnections = 4096
	defaultSurgeQueue        = 1024 // CloudWatch metrics for Classic Load Balancers, SurgeQueueLength
	defaultHeadTimeout       = time.Minute

	clientBuffer  = 4 << 10  // bytes, grown for a larger head
	backendBuffer = 16 << 10 // bytes
	bodyBuffer    = 16 << 10 // bytes, of a client that sends a long body
	sweepInterval = time.Second
)

// Handler serves HTTP connections for a proxy.Server.
type Handler struct {
	opts    Options
	metrics *metrics

	mu      sync.Mutex
	closed  bool
	routes  map[*proxy.Route]*listening
	targets map[targetKey]*target
	sweeper *time.Timer // nil while there are no targets
}

// New returns a handler without connections.
func New(o Options) (*Handler, error) {
	for v, otherwise := range map[*int]int{&o.TargetConnections: defaultTargetConnections, &o.SurgeQueue: defaultSurgeQueue} {
		if *v == 0 {
			*v = otherwise
		}
	}
	if o.HeadTimeout == 0 {
		o.HeadTimeout = defaultHeadTimeout
	}
	h := &Handler{opts: o, metrics: newMetrics(), routes: map[*proxy.Route]*listening{}, targets: map[targetKey]*target{}}
	if o.Metrics != nil {
		if err := h.metrics.register(o.Metrics); err != nil {
			return nil, fmt.Errorf("register the metrics of HTTP listeners: %w", err)
		}
	}
	return h, nil
}

// Serve implements proxy.Handler.
func (h *Handler) Serve(ctx context.Context, c net.Conn, route *proxy.Route) {
	l := h.listening(route)
	s := &session{handler: h, listening: l, client: stream{conn: c, buf: make([]byte, clientBuffer)}, scheme: "http"}
	s.flow = proxy.Flow{Client: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr())}
	s.from = s.flow.Client.Addr().String()
	if secure, ok := c.(*tls.Conn); ok {
		s.scheme = "https"
		s.cipher, s.tlsVersion = accesslog.TLSNames(secure.ConnectionState())
	}
	l.add(s)
	defer l.remove(s)
	defer context.AfterFunc(ctx, s.abort)()
	for ctx.Err() == nil && s.next(ctx) {
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Close closes all pooled connections. It is for when no session runs any more.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	if h.sweeper != nil {
		h.sweeper.Stop()
	}
	var idle []*backend
	for _, t := range h.targets {
		idle = append(idle, t.takeIdle()...)
	}
	h.mu.Unlock()
	closeAll(idle)
}

// target finds the connections to the target of a choice, for one get.
func (h *Handler) target(c proxy.Choice) *target {
	key := keyOf(c.Pool, c.Target)
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.targets[key]
	if t == nil {
		t = &target{key: key, limit: h.opts.TargetConnections, open: map[*backend]struct{}{}}
		h.targets[key] = t
		if h.sweeper == nil && !h.closed {
			h.sweeper = time.AfterFunc(sweepInterval, h.sweep)
		}
	}
	t.users.Add(1)
	return t
}

// sweep closes connections that have been idle for too long or have to end, and
// comes back while there are targets.
func (h *Handler) sweep() {
	closeAll(h.expired(time.Now()))
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.targets) > 0 && !h.closed {
		h.sweeper.Reset(sweepInterval)
	} else {
		h.sweeper = nil
	}
}

// expired takes what is to be closed out of the pools, and forgets the targets
// that nobody uses any more.
func (h *Handler) expired(now time.Time) (all []*backend) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, t := range h.targets {
		all = append(all, t.expire(now)...)
		if t.unused() {
			delete(h.targets, key)
		}
	}
	return all
}

// listening is a route with the connections that it has.
type listening struct {
	route   *proxy.Route
	handler *Handler
	current atomic.Pointer[view]

	mu       sync.Mutex
	sessions map[*session]struct{}
}

func (h *Handler) listening(r *proxy.Route) *listening {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.routes[r]
	if l == nil {
		l = &listening{route: r, handler: h, sessions: map[*session]struct{}{}}
		h.routes[r] = l
		go h.retire(l)
	}
	return l
}

// retire waits for a route's end and then ends the connections that wait for a
// request; the others end with the request under way.
func (h *Handler) retire(l *listening) {
	<-l.route.Retired()
	h.mu.Lock()
	delete(h.routes, l.route)
	if v := l.current.Load(); v != nil {
		h.metrics.forget(v.Balancer, h.routes)
	}
	h.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.sessions {
		s.dismiss()
	}
}

func (l *listening) add(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[s] = struct{}{}
}

func (l *listening) remove(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, s)
}

// view is the present configuration.
func (l *listening) view() *view {
	now := l.route.Listener()
	before := l.current.Load()
	if before != nil && before.Listener == now {
		return before
	}
	v := newView(now)
	v.counters = l.handler.metrics.of(v.Balancer)
	l.current.Store(v)
	if before != nil && before.Balancer != v.Balancer {
		l.handler.mu.Lock()
		defer l.handler.mu.Unlock()
		l.handler.metrics.forget(before.Balancer, l.handler.routes)
	}
	return v
}
