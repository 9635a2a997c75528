package edgeapi

import (
	"context"
	"errors"
	"sync"
)

// errReplaced ends a session whose edge has opened a newer one.
var errReplaced = errors.New("a newer session of the zone's edge replaced this one")

// sessions lets a zone have one session at a time. A newcomer wins: after a
// network failure the old stream may take seconds to be noticed dead.
type sessions struct {
	mu      *sync.Mutex
	current map[string]*session
}

type session struct {
	end  context.CancelCauseFunc
	gone chan struct{} // closed when it has left
}

func newSessions() sessions {
	return sessions{mu: &sync.Mutex{}, current: map[string]*session{}}
}

// enter ends the zone's session, waits until it has left and takes its place.
// The context ends with ctx or when a newer session comes. leave must be called.
func (s sessions) enter(ctx context.Context, zone string) (_ context.Context, leave func()) {
	ctx, end := context.WithCancelCause(ctx)
	mine := &session{end: end, gone: make(chan struct{})}
	s.mu.Lock()
	previous := s.current[zone]
	s.current[zone] = mine
	s.mu.Unlock()
	if previous != nil {
		previous.end(errReplaced)
		<-previous.gone
	}
	return ctx, func() {
		end(nil)
		s.mu.Lock()
		if s.current[zone] == mine {
			delete(s.current, zone)
		}
		s.mu.Unlock()
		close(mine.gone)
	}
}
