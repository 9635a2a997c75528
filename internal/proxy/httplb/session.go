package httplb

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
	"github.com/fairlead-lb/fairlead/internal/proxy/http1"
)

// session is a client's connection.
type session struct {
	handler   *Handler
	listening *listening
	client    stream
	flow      proxy.Flow
	from      string // the client's address, as X-Forwarded-For has it
	scheme    string // http or https

	cipher, tlsVersion string // for the access log

	backend atomic.Pointer[backend] // of the request under way

	mu      sync.Mutex
	waiting bool // for a request

	request  http1.Request
	response http1.Response
	out      []byte // what is written next, kept for its room
}

// abort ends the request under way: the client's connection is closed already.
func (s *session) abort() {
	if b := s.backend.Load(); b != nil {
		_ = b.conn.Close() // the goroutine that uses it drops it
	}
}

// next serves a request and says whether another may follow.
func (s *session) next(ctx context.Context) bool {
	v := s.listening.view()
	if !s.await(v) {
		return false
	}
	x := exchange{session: s, view: v, received: time.Now()}
	x.entry = accesslog.Entry{
		Time: x.received, Client: s.flow.Client, RequestTime: -1, TargetTime: -1, ResponseTime: -1,
		Cipher: s.cipher, TLSVersion: s.tlsVersion,
	}
	head, refusal := s.readHead(v, x.received)
	if refusal == nil {
		err := s.request.Parse(head)
		if err != nil && !errors.As(err, &refusal) {
			refusal = &http1.Refusal{Status: 400, Reason: err.Error()}
		}
	}
	if refusal == nil && v.blocked(s.request.Tier) {
		refusal = &http1.Refusal{Status: 400, Reason: s.request.Reason}
	}
	if refusal != nil {
		x.refuse(refusal)
		return false
	}
	if s.request.Tier > http1.Compliant {
		v.counters.nonCompliant.Inc()
	}
	s.client.r += len(head) // not discard: the request points into the buffer
	return x.run(ctx)
}

// await waits for the first byte of a request. Nobody is told when none comes.
func (s *session) await(v *view) bool {
	s.waits(true)
	defer s.waits(false)
	for {
		if n := http1.Blank(s.client.data()); n > 0 {
			s.client.discard(n)
		}
		if len(s.client.data()) > 0 {
			return true
		}
		if retired(s.listening.route) || s.client.fill(time.Now().Add(v.IdleTimeout)) != nil {
			return false
		}
	}
}

// waits marks the session as waiting for a request, or not any more. A request
// that came just when the session was dismissed is served.
func (s *session) waits(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting = yes; !yes {
		s.client.resume()
	}
}

// dismiss ends the session if it waits for a request.
func (s *session) dismiss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting {
		s.client.interrupt()
	}
}

// readHead reads a request's head, which has to be there in good time however
// many bytes trickle in.
func (s *session) readHead(v *view, since time.Time) ([]byte, *http1.Refusal) {
	limit := since.Add(min(v.IdleTimeout, s.handler.opts.HeadTimeout))
	for seen := 0; ; {
		data := s.client.data()
		if end := http1.End(data, seen); end > 0 {
			return data[:end], nil
		}
		if refusal := http1.Hopeless(data); refusal != nil {
			return nil, refusal
		}
		seen = len(data)
		err := s.client.grow(http1.MaxHead)
		if err == nil {
			err = s.client.fill(limit)
		}
		switch {
		case errors.Is(err, errFull):
			return nil, &http1.Refusal{Status: 400, Reason: "the header is too long"}
		case err != nil:
			return nil, &http1.Refusal{Status: 408, Reason: "the header did not come whole"}
		}
	}
}
