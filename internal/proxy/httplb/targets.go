package httplb

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// targetKey names a target's pool of connections. Listeners that share a target
// share its connections.
type targetKey struct {
	pool     string
	id       string
	addr     netip.AddrPort
	protocol lb.Protocol
	trust    string // digest of the keys that the target may have; empty: any
}

func keyOf(p *proxy.Pool, t *proxy.Target) targetKey {
	return targetKey{p.Key, t.ID, t.Addr, p.Protocol, trust(p)}
}

// trust keeps connections apart that were made while other keys were trusted.
func trust(p *proxy.Pool) string {
	if len(p.Authorities) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, a := range p.Authorities {
		sum.Write(a.RawSubjectPublicKeyInfo)
	}
	return string(sum.Sum(nil))
}

// target is the connections to a target.
type target struct {
	key   targetKey
	limit int          // of connections
	users atomic.Int32 // between Handler.target and the end of get

	mu      sync.Mutex
	open    map[*backend]struct{}
	idle    []*backend // the one used last comes last
	dialing int
	waiting []chan struct{} // first come, first served; each has room for one token
}

// backend is a connection to a target.
type backend struct {
	stream
	target *target
	raw    syscall.RawConn // nil when the connection has none
	fresh  bool            // has not served a request yet
	peeked bool            // by peek: nothing to read and not closed
	since  time.Time       // when it became idle; guarded by the target

	// Whom it serves, or served last; guarded by the target.
	route  *proxy.Route
	choice proxy.Choice
}

var errSpillover = errors.New("the surge queue is full")

// get returns a connection to the target that is used by nobody else: a pooled
// one that is still good, or a new one that dial makes. With all taken, it waits
// within queue.
func (t *target) get(ctx context.Context, reuse bool, queue *surge, dial func() (net.Conn, error)) (*backend, error) {
	defer t.users.Add(-1)
	for {
		b, wait := t.reserve(reuse)
		switch {
		case b != nil && b.good():
			return b, nil
		case b != nil:
			b.drop()
		case wait == nil:
			return t.connect(dial)
		default:
			if err := queue.wait(ctx, wait); err != nil {
				t.leave(wait)
				return nil, err
			}
		}
	}
}

// reserve takes a pooled connection, or the right to make a new one (nil, nil),
// or a place in the queue.
func (t *target) reserve(reuse bool) (*backend, chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.idle); reuse && n > 0 {
		b := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return b, nil
	}
	if len(t.open)+t.dialing < t.limit {
		t.dialing++
		return nil, nil
	}
	wait := make(chan struct{}, 1)
	t.waiting = append(t.waiting, wait)
	return nil, wait
}

// leave gives a place in the queue up. A token that came in between goes on.
func (t *target) leave(wait chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range t.waiting {
		if w == wait {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			return
		}
	}
	t.wake()
}

// wake lets the first in the queue try again.
func (t *target) wake() {
	if len(t.waiting) > 0 {
		t.waiting[0] <- struct{}{}
		t.waiting = t.waiting[1:]
	}
}

func (t *target) connect(dial func() (net.Conn, error)) (*backend, error) {
	c, err := dial()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dialing--
	if err != nil {
		t.wake()
		return nil, err
	}
	b := &backend{stream: stream{conn: c, buf: make([]byte, backendBuffer)}, target: t, raw: rawOf(c), fresh: true}
	t.open[b] = struct{}{}
	return b, nil
}

// serves records whom the connection serves from now on.
func (b *backend) serves(r *proxy.Route, c proxy.Choice) {
	b.target.mu.Lock()
	defer b.target.mu.Unlock()
	b.route, b.choice = r, c
}

// put returns a connection to the pool.
func (b *backend) put() {
	t := b.target
	t.mu.Lock()
	defer t.mu.Unlock()
	b.fresh, b.since = false, time.Now()
	t.idle = append(t.idle, b)
	t.wake()
}

// drop closes a connection.
func (b *backend) drop() {
	_ = b.conn.Close() // nothing is lost that anybody counts on
	t := b.target
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, b)
	t.wake()
}

// good says that the target neither closed the connection nor said anything
// unasked, which would be taken for the next answer.
func (b *backend) good() bool {
	if b.r != b.w {
		return false
	}
	if b.raw != nil {
		b.peeked = false
		if b.raw.Read(b.peek) != nil || !b.peeked {
			return false
		}
	}
	secure, ok := b.conn.(*tls.Conn)
	return !ok || b.drained(secure)
}

// drained says that nothing decrypted is left in a TLS connection.
func (b *backend) drained(c *tls.Conn) bool {
	b.readArmed = time.Time{}
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var one [1]byte
	n, err := c.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// peek looks at the socket once; it never waits.
func (b *backend) peek(fd uintptr) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	b.peeked = errors.Is(err, unix.EAGAIN)
	return true
}

// rawOf finds the socket under a connection.
func rawOf(c net.Conn) syscall.RawConn {
	if under, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = under.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// expire takes pooled connections out that were idle for too long or whose
// target is none any more, and returns them with those in use that have to end:
// whoever uses these notices when they are closed.
func (t *target) expire(now time.Time) (all []*backend) {
	t.mu.Lock()
	defer t.mu.Unlock()
	verdicts := map[*proxy.Route]verdict{}
	kept := t.idle[:0]
	for _, b := range t.idle {
		v := judge(verdicts, b)
		if now.Sub(b.since) < v.idle && v.registered {
			kept = append(kept, b)
			continue
		}
		all = append(all, b)
		delete(t.open, b)
		t.wake()
	}
	clear(t.idle[len(kept):])
	t.idle = kept
	for b := range t.open {
		if b.route != nil && judge(verdicts, b).ends {
			all = append(all, b)
		}
	}
	return all
}

// takeIdle takes all pooled connections out.
func (t *target) takeIdle() []*backend {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.idle
	for _, b := range idle {
		delete(t.open, b)
	}
	t.idle = nil
	return idle
}

// closeAll is called without locks: a TLS connection says goodbye, which can
// take a while.
func closeAll(all []*backend) {
	for _, b := range all {
		_ = b.conn.Close() // nothing is lost that anybody counts on
	}
}

// verdict is what a route says about its connections to a target.
type verdict struct {
	idle       time.Duration
	registered bool
	ends       bool
}

func judge(known map[*proxy.Route]verdict, b *backend) verdict {
	v, ok := known[b.route]
	if ok {
		return v
	}
	l := b.route.Listener()
	v = verdict{idle: l.IdleTimeout, ends: b.route.Ends(b.choice), registered: !retired(b.route) && registered(l, b.target.key)}
	known[b.route] = v
	return v
}

// registered says that requests of a listener may still go to a target.
func registered(l *proxy.Listener, k targetKey) bool {
	for i := range l.Forward {
		p := &l.Forward[i]
		if p.Key != k.pool || p.Protocol != k.protocol || trust(p) != k.trust {
			continue
		}
		for j := range p.Targets {
			if t := &p.Targets[j]; t.ID == k.id && t.Addr == k.addr {
				return t.DrainUntil.IsZero()
			}
		}
	}
	return false
}

func retired(r *proxy.Route) bool {
	select {
	case <-r.Retired():
		return true
	default:
		return false
	}
}

// unused says that the target has no connections and nobody wants one.
func (t *target) unused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.users.Load() == 0 && len(t.open) == 0
}
