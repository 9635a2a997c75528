package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// relay moves bytes between client and target, in a goroutine for each
// direction, until both directions have ended or one has failed.
func (s *session) relay(client, target net.Conn, choice Choice) {
	if err := s.connected(tcpOf(target), placementOf(choice)); err != nil {
		choice.Done()
		s.end()
		return
	}
	if s.route.Ends(choice) { // the plan has changed since the choice
		s.terminate()
	}
	s.watchIdle(choice.Pool.Balance == FlowHash)
	r := &running{session: s, choice: choice}
	r.left.Store(2)
	there, back := newPump(r, client, target), newPump(r, target, client)
	r.ended = func() {
		s.logFlow(flowEnd{client, target, choice.Target.Addr, there.passage, back.passage, there.err})
	}
	go there.run() // on a small stack: this one has grown
	go back.run()
}

// running is a session whose bytes are relayed.
type running struct {
	*session
	choice Choice
	left   atomic.Int32 // directions that have not ended
	over   atomic.Int32 // goroutines that have
	ended  func()       // is called when both have ended
}

// finish ends one direction. The last one needs no half-close: what follows is
// the end of both.
func (r *running) finish(p *pump) {
	last := r.left.Add(-1) == 0
	if !errors.Is(p.err, io.EOF) || (!last || !p.plain) && p.to.CloseWrite() != nil {
		r.shut(abort)
	}
	if r.over.Add(1) == 2 {
		r.choice.Done()
		r.ended()
		r.end()
	}
}

func tcpOf(c net.Conn) *net.TCPConn {
	if secure, ok := c.(*tls.Conn); ok {
		return secure.NetConn().(*rawConn).TCPConn
	}
	return c.(*net.TCPConn)
}

// closeWriter is what TCP and TLS connections have in common for half-closing.
type closeWriter interface {
	net.Conn
	CloseWrite() error
}

// pump moves bytes in one direction. Between them it holds neither a pipe nor a
// buffer: it takes one when there is something to read.
type pump struct {
	r    *running
	to   closeWriter
	from syscall.RawConn
	out  syscall.RawConn

	secure *tls.Conn // what is read is TLS
	under  *rawConn  // beneath secure
	plain  bool      // neither side is TLS
	bulk   bool      // the last read got much

	pipe   pipe
	inPipe int
	buf    *buffer
	passage
	n   int
	err error
}

// A plain read that fills a buffer is followed by splices until one moves less
// than smallSplice: below that a copy costs less than two system calls more.
type buffer [16 << 10]byte

const smallSplice = 4 << 10

func newPump(r *running, from, to net.Conn) *pump {
	p := &pump{r: r, to: to.(closeWriter)}
	p.secure, _ = from.(*tls.Conn)
	if p.secure != nil {
		p.under = p.secure.NetConn().(*rawConn)
	}
	_, sealed := to.(*tls.Conn)
	p.plain = p.secure == nil && !sealed
	p.from, p.out = rawOf(from), rawOf(to)
	return p
}

// rawOf never fails: the connection is a TCP connection that was open.
func rawOf(c net.Conn) syscall.RawConn {
	raw, _ := tcpOf(c).SyscallConn()
	return raw
}

func (p *pump) run() {
	fill, drain := p.fill, p.drain
	for {
		if err := p.from.Read(fill); err != nil {
			p.err = err
		}
		if p.err == nil && p.n > 0 {
			p.r.activity.mark()
			p.r.counters.ProcessedBytes.Add(int64(p.n))
			p.came(p.n)
			p.flush(drain)
			p.passed()
		}
		if p.err != nil {
			p.r.finish(p)
			return
		}
	}
}

// fill reads what there is, or returns false to be called again when there is
// something.
func (p *pump) fill(fd uintptr) bool {
	p.n, p.err = 0, nil
	if p.plain && p.bulk {
		if one, ok := p.r.route.server.pipes.get(); ok {
			return p.fillPipe(int(fd), one)
		}
	}
	p.buf = p.r.route.server.buffers.Get().(*buffer)
	if p.secure != nil {
		p.readTLS(int(fd))
	} else {
		p.n, p.err = readNow(int(fd), p.buf[:])
	}
	p.bulk = p.n == len(p.buf)
	if p.n == 0 {
		p.release()
	}
	if p.n == 0 && p.err == nil {
		p.err = io.EOF
	}
	return !errors.Is(p.err, unix.EAGAIN)
}

// readTLS reads one record.
func (p *pump) readTLS(fd int) {
	p.under.fd = fd
	p.n, p.err = p.secure.Read(p.buf[:])
	p.under.fd = 0
	if errors.Is(p.err, wouldBlock{}) {
		p.err = unix.EAGAIN
	}
	if p.n > 0 {
		p.err = nil // the next Read returns it again
	}
}

func (p *pump) fillPipe(fd int, one pipe) bool {
	n, err := spliceNow(fd, one.w, pipeSize)
	if n > 0 {
		p.pipe, p.inPipe, p.n, p.bulk = one, n, n, n >= smallSplice
		return true
	}
	p.r.route.server.pipes.put(one, true)
	p.err = err
	if err == nil {
		p.err = io.EOF
	}
	return !errors.Is(err, unix.EAGAIN)
}

func spliceNow(from, to, most int) (n int, err error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, most, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if err != unix.EINTR {
			return int(max(moved, 0)), err
		}
	}
}

// flush writes what fill has read, waiting for the reader.
func (p *pump) flush(drain func(uintptr) bool) {
	if p.inPipe == 0 {
		_, p.err = p.to.Write(p.buf[:p.n])
		p.release()
		return
	}
	if err := p.out.Write(drain); err != nil {
		p.err = err
	}
	p.r.route.server.pipes.put(p.pipe, p.inPipe == 0)
	p.inPipe = 0
}

func (p *pump) release() {
	p.r.route.server.buffers.Put(p.buf)
	p.buf = nil
}

// drain empties the pipe, or returns false to be called again when there is room.
func (p *pump) drain(fd uintptr) bool {
	for p.inPipe > 0 {
		n, err := spliceNow(p.pipe.r, int(fd), p.inPipe)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if err != nil {
			p.err = err
			return true
		}
		p.inPipe -= n
		p.r.activity.mark()
	}
	return true
}
