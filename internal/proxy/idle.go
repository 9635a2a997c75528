package proxy

import (
	"errors"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

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
		s.alive = &loop.Keepalives{}
	}
	s.idle = time.AfterFunc(loop.NextLook(s.route.Listener().IdleTimeout, 0, keepalive), s.checkIdle)
}

func (s *session) checkIdle() {
	limit := s.route.Listener().IdleTimeout
	if s.hearsKeepalives() {
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
		s.idle.Reset(loop.NextLook(limit, quiet, s.alive != nil))
	}
}

// hearsKeepalives says whether keepalives have come since the last look.
func (s *session) hearsKeepalives() (heard bool) {
	client, errClient := s.client.SyscallConn()
	target, errTarget := s.target.SyscallConn()
	if s.alive == nil || errors.Join(errClient, errTarget) != nil {
		return false
	}
	_ = control(client, func(fd int) error { // an error: it has been closed
		return control(target, func(other int) error {
			heard = s.alive.Heard(time.Since(s.activity.start), time.Duration(s.activity.last.Load()), fd, other)
			return nil
		})
	})
	return heard
}
