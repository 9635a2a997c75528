package loop

import "golang.org/x/sys/unix"

const pipeSize = 256 << 10 // bytes

// pipe carries bytes between two sockets within the kernel.
type pipe struct{ r, w int }

// pipes lends pipes to connections while bytes are on their way. An idle
// connection holds none, and neither slow readers nor many connections make more
// than a bounded number of them.
type pipes struct {
	free []pipe
	room int // how many more may be made
}

// get returns an empty pipe, or false when there is none: bytes are copied then.
func (p *pipes) get() (pipe, bool) {
	if n := len(p.free); n > 0 {
		last := p.free[n-1]
		p.free = p.free[:n-1]
		return last, true
	}
	if p.room == 0 {
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
	if empty {
		p.free = append(p.free, one)
		return
	}
	p.room++
	closeAll(one.r, one.w)
}

func (p *pipes) close() {
	for _, one := range p.free {
		closeAll(one.r, one.w)
	}
	p.free = nil
}
