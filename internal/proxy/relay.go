package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// relay moves bytes between client and target, of which TLS is spoken with at
// least one unless the listener has just changed, in a goroutine for each
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

// finish ends one direction. The last one needs no half-close, unless TLS has a
// word for it: what follows is the end of both.
func (r *running) finish(p *pump) {
	last := r.left.Add(-1) == 0
	if !errors.Is(p.err, io.EOF) || (!last || p.sealed) && p.to.CloseWrite() != nil {
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

// pump moves bytes in one direction. Between them it holds no buffer: it takes one
// when there is something to read.
type pump struct {
	r    *running
	to   closeWriter
	from syscall.RawConn

	secure *tls.Conn // what is read is TLS
	under  *rawConn  // beneath secure
	sealed bool      // what is written is TLS

	bulk    bool    // the last read got much that will be sealed
	buf     *buffer // what is read into, or
	batch   *batch
	passage loop.Passage
	n       int
	err     error
}

// buffer has room for a record of TLS.
type buffer [16 << 10]byte

func newPump(r *running, from, to net.Conn) *pump {
	p := &pump{r: r, to: to.(closeWriter)}
	p.secure, _ = from.(*tls.Conn)
	if p.secure != nil {
		p.under = p.secure.NetConn().(*rawConn)
	}
	_, p.sealed = to.(*tls.Conn)
	p.from, _ = tcpOf(from).SyscallConn() // never fails: it was open
	return p
}

func (p *pump) run() {
	fill := p.fill
	for {
		if err := p.from.Read(fill); err != nil {
			p.err = err
		}
		if p.err == nil && p.n > 0 {
			p.r.activity.mark()
			p.r.counters.ProcessedBytes.Add(int64(p.n))
			p.flush()
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
	room := p.take()
	if p.secure != nil {
		p.readTLS(int(fd), room)
	} else {
		p.n, p.err = readNow(int(fd), room)
	}
	p.bulk = p.sealed && p.secure == nil && p.n >= len(buffer{})
	if p.n == 0 {
		p.release()
	}
	if p.n == 0 && p.err == nil {
		p.err = io.EOF
	}
	return !errors.Is(p.err, unix.EAGAIN)
}

// take takes something to read into. There is always a buffer, not always a batch.
func (p *pump) take() []byte {
	if p.bulk {
		if p.batch = p.r.route.server.batches.get(); p.batch != nil {
			return p.batch.plain[:]
		}
	}
	p.buf = p.r.route.server.buffers.Get().(*buffer)
	return p.buf[:]
}

// readTLS reads one record.
func (p *pump) readTLS(fd int, room []byte) {
	p.under.fd = fd
	p.n, p.err = p.secure.Read(room)
	p.under.fd = 0
	if errors.Is(p.err, wouldBlock{}) {
		p.err = unix.EAGAIN
	}
	if p.n > 0 {
		p.err = nil // the next Read returns it again
	}
}

// flush writes what fill has read, waiting for the reader.
func (p *pump) flush() {
	if p.passage.Bytes += int64(p.n); p.passage.First.IsZero() {
		p.passage.First = time.Now()
	}
	p.err = p.write()
	p.release()
	if p.passage.Moved.IsZero() {
		p.passage.Moved = time.Now()
	}
}

func (p *pump) write() error {
	if p.batch == nil {
		_, err := p.to.Write(p.buf[:p.n])
		return err
	}
	return p.to.(*tls.Conn).NetConn().(*rawConn).together(p.batch.sealed[:0], func() error {
		_, err := p.to.Write(p.batch.plain[:p.n])
		return err
	})
}

func (p *pump) release() {
	if p.batch != nil {
		p.r.route.server.batches.put(p.batch)
		p.batch = nil
		return
	}
	p.r.route.server.buffers.Put(p.buf)
	p.buf = nil
}
