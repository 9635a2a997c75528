package proxy

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// looksPerTimeout is how often keepalives are looked for in an idle timeout.
const looksPerTimeout = 4

// watchIdle ends the session when nobody has said anything for the listener's
// idle timeout. One timer a session looks again when there was activity: bytes
// cost no timer.
//
// Keepalives of either side count as activity on a Network Load Balancer (NLB
// user guide, listeners) and do not on a Classic one.
func (s *session) watchIdle(keepalive bool) {
	s.activity.mark()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if keepalive {
		s.alive = &keepalives{}
	}
	s.idle = time.AfterFunc(s.nextLook(s.route.Listener().IdleTimeout, 0), s.checkIdle)
}

// nextLook is when to look again at a session that was quiet for a while.
func (s *session) nextLook(limit, quiet time.Duration) time.Duration {
	if s.alive != nil {
		return min(limit-quiet, limit/looksPerTimeout)
	}
	return limit - quiet
}

func (s *session) checkIdle() {
	limit := s.route.Listener().IdleTimeout
	if s.alive != nil && s.alive.heard(s) {
		s.activity.mark()
	}
	quiet := s.activity.quiet()
	if quiet >= limit {
		s.shut(inOrder, &s.counters.IdleTimeouts)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.idle.Reset(s.nextLook(limit, quiet))
	}
}

// keepalives notices segments without data: the kernel counts all segments, and
// the session knows when there was data.
type keepalives struct {
	looked         time.Duration // since the session's start
	client, target uint32        // segments until then
}

// heard says whether segments came since the last look, but no data.
func (k *keepalives) heard(s *session) bool {
	before := *k
	k.looked = time.Since(s.activity.start)
	k.client, k.target = segments(s.client), segments(s.target)
	silent := time.Duration(s.activity.last.Load()) < before.looked
	return silent && (k.client != before.client || k.target != before.target)
}

// segments is how many segments a connection has received; 0 once it is closed.
func segments(c *net.TCPConn) (n uint32) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = control(raw, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
		if err == nil {
			n = info.Segs_in
		}
		return err
	})
	return n
}
