package loop

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A read that fills the buffer is followed by splices until one moves less
	// than smallSplice: below that a copy costs less than two system calls more.
	bufferSize  = 16 << 10
	smallSplice = 4 << 10

	// A first write up to promptWrite fits into one segment, which the kernel
	// sends at once.
	promptWrite = 512
)

// held is where a stream's bytes are that were read and not yet written: here,
// or in the pipe, as the state says.
type held struct {
	bytes []byte
	pipe  pipe
}

// read reads into the loop's buffer. The machine writes next.
func (c *conn) read(from side) outcome {
	n, err := retry(func() (int, error) { return unix.Read(c.ends[from].fd, c.loop.buffer[:]) })
	if err != nil {
		return blockedOrFailed(err)
	}
	c.held[from].bytes = c.loop.buffer[:n]
	c.received(from, n)
	return outcome{n: n, full: n == bufferSize}
}

func (c *conn) fill(from side, p pipe) outcome {
	n, err := spliceNow(c.ends[from].fd, p.w, pipeSize)
	if n == 0 || err != nil {
		c.loop.pipes.put(p, true)
		return blockedOrFailed(err)
	}
	c.held[from].pipe = p
	c.received(from, n)
	return outcome{n: n, full: n >= smallSplice}
}

// received counts what has come.
func (c *conn) received(from side, n int) {
	if n == 0 {
		return
	}
	c.last = c.loop.now
	c.session.Received(n)
	p := &c.passages[from]
	p.Bytes += int64(n)
	if c.timed && p.First.IsZero() {
		p.First = time.Now()
	}
}

// write writes what is held. What does not fit leaves the loop's buffer.
func (c *conn) write(from side) outcome {
	h := &c.held[from]
	last := c.state.streams[from].ended
	n, err := retry(func() (int, error) { return c.ends[from.other()].write(h.bytes, last) })
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return outcome{failed: true}
	}
	left := h.bytes[n:]
	switch {
	case len(left) == 0:
		h.bytes = nil
		c.passed(from)
	case &h.bytes[0] == &c.loop.buffer[0]:
		h.bytes = append([]byte(nil), left...)
	default:
		h.bytes = left
	}
	return outcome{n: n, blocked: len(left) > 0}
}

func (c *conn) drain(from side) outcome {
	p, held := c.held[from].pipe, c.state.streams[from].held
	to := &c.ends[from.other()]
	to.hurry()
	n, err := spliceNow(p.r, to.fd, held)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return outcome{failed: true}
	}
	if n == held {
		c.loop.pipes.put(p, true)
		c.passed(from)
	}
	c.last = c.loop.now
	return outcome{n: n, blocked: err != nil}
}

func (c *conn) passed(from side) {
	if p := &c.passages[from]; c.timed && p.Moved.IsZero() && !p.First.IsZero() {
		p.Moved = time.Now()
	}
}

// write writes to a socket, which does not wait for acknowledgments of what was
// written before (TCP_NODELAY): a first short write needs nothing for that. What
// is last goes together with the end, which follows at once (MSG_MORE).
func (e *end) write(b []byte, last bool) (int, error) {
	if last {
		return unix.SendmsgN(e.fd, b, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
	}
	if e.wrote || len(b) > promptWrite {
		e.hurry()
	}
	e.wrote = true
	return unix.Write(e.fd, b)
}

func (e *end) hurry() {
	if !e.prompt {
		e.prompt = true
		_ = unix.SetsockoptInt(e.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // fails when the peer has gone
	}
}

func spliceNow(from, to, most int) (int, error) {
	return retry(func() (int, error) {
		n, err := unix.Splice(from, nil, to, nil, most, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		return int(n), err
	})
}

// retry repeats a system call that a signal interrupts. Its n is never negative.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

func blockedOrFailed(err error) outcome {
	if errors.Is(err, unix.EAGAIN) {
		return outcome{blocked: true}
	}
	return outcome{failed: err != nil}
}
