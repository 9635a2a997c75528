package httplb

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// stream is a connection with a buffer of what was read and not yet used. One
// goroutine reads and one writes at a time.
type stream struct {
	conn net.Conn
	buf  []byte
	r, w int

	// Deadlines cost a lock and a heap in the runtime, so they are not moved with
	// each read: one that fires too early is set anew then.
	readArmed, writeArmed time.Time
	interrupted           atomic.Bool
}

var (
	errTimeout     = errors.New("nothing came in time")
	errInterrupted = errors.New("the connection is not read any more")
	errFull        = errors.New("the buffer is full")
)

// data is what was read and not yet used.
func (s *stream) data() []byte { return s.buf[s.r:s.w] }

func (s *stream) discard(n int) {
	if s.r += n; s.r == s.w {
		s.r, s.w = 0, 0
	}
}

// fill reads more, at least a byte, until limit.
func (s *stream) fill(limit time.Time) error {
	if s.r > 0 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	if s.w == len(s.buf) {
		return errFull
	}
	for {
		if err := s.arm(limit); err != nil {
			return err
		}
		n, err := s.conn.Read(s.buf[s.w:])
		if n > 0 {
			s.w += n
			return nil
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case s.interrupted.Load():
			return errInterrupted
		case !time.Now().Before(limit):
			return errTimeout
		}
		s.readArmed = time.Time{}
	}
}

// arm sees to it that a read ends by limit.
func (s *stream) arm(limit time.Time) error {
	if s.readArmed.IsZero() || s.readArmed.After(limit) {
		s.readArmed = limit
		if err := s.conn.SetReadDeadline(limit); err != nil {
			return err
		}
	}
	if s.interrupted.Load() { // its deadline may have been overwritten just now
		return errInterrupted
	}
	return nil
}

// interrupt ends the read under way and all to come.
func (s *stream) interrupt() {
	s.interrupted.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // fails when the connection is closed: as good
}

// resume takes an interrupt back.
func (s *stream) resume() {
	if s.interrupted.Swap(false) {
		s.readArmed = time.Time{}
	}
}

// grow makes room for a head, up to limit bytes.
func (s *stream) grow(limit int) error {
	if s.r > 0 || s.w < len(s.buf) {
		return nil
	}
	if len(s.buf) >= limit {
		return errFull
	}
	bigger := make([]byte, min(2*len(s.buf), limit))
	copy(bigger, s.buf[:s.w])
	s.buf = bigger
	return nil
}

// detach leaves the buffer to those who still look at what was read, and goes on
// with a new one.
func (s *stream) detach() {
	fresh := make([]byte, max(bodyBuffer, len(s.buf)))
	s.w = copy(fresh, s.data())
	s.r, s.buf = 0, fresh
}

// write sends all of b. A peer that takes nothing for at least idle ends it.
func (s *stream) write(b []byte, idle time.Duration) error {
	for {
		now := time.Now()
		if s.writeArmed.Sub(now) < idle {
			s.writeArmed = now.Add(idle + idle/2)
			if err := s.conn.SetWriteDeadline(s.writeArmed); err != nil {
				return err
			}
		}
		n, err := s.conn.Write(b)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0:
			return errTimeout
		}
		b = b[n:]
	}
}

// linger closes the sending side and waits a moment for the peer to see what was
// sent: a socket that is closed with unread bytes is reset, and the answer lost
// (RFC 9112 section 9.6).
func (s *stream) linger() {
	half, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if s.conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, s.conn, lingerBytes) // whatever it is, it was not asked for
}

const (
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 10
)
