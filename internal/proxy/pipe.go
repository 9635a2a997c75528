package proxy

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	maxPipes = 256       // with bytes in them at a time
	pipeSize = 256 << 10 // bytes
)

// pipe carries bytes between two sockets within the kernel.
type pipe struct{ r, w int }

// pipes lends pipes to connections while bytes are on their way. An idle
// connection holds none, and neither slow readers nor many connections make
// more than a bounded number of them.
type pipes struct {
	mu     sync.Mutex
	free   []pipe
	room   int // how many more may be made
	closed bool
}

func newPipes(most int) *pipes { return &pipes{room: most} }

// get returns an empty pipe, or false when there is none: bytes are copied then.
func (p *pipes) get() (pipe, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		last := p.free[n-1]
		p.free = p.free[:n-1]
		return last, true
	}
	if p.room == 0 || p.closed {
		return pipe{}, false
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return pipe{}, false // out of file descriptors: copying needs none
	}
	// A smaller pipe works, too, when the kernel has no room for this one.
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	p.room--
	return pipe{fds[0], fds[1]}, true
}

// put takes a pipe back. One that still has bytes in it is not used again.
func (p *pipes) put(one pipe, empty bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if empty && !p.closed {
		p.free = append(p.free, one)
		return
	}
	p.room++
	one.close()
}

func (p *pipes) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, one := range p.free {
		one.close()
	}
	p.free = nil
}

func (p pipe) close() {
	_ = unix.Close(p.r) // nothing is left to be done when this fails
	_ = unix.Close(p.w)
}
