package loop

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How to close connections: so that peers see an error, or see the end.
const (
	abortive = true
	inOrder  = false
)

// stepsATurn is how much a connection does before others go on.
const stepsATurn = 32

// conn is a client's connection and the one to its target.
type conn struct {
	loop     *loop
	server   Server
	session  Session
	state    state
	ends     [2]end
	held     [2]held // by stream
	passages [2]Passage
	timed    bool // passages' times are wanted
	queued   bool // among the loop's ready

	timer     timer         // of connecting, then of idleness
	last      time.Duration // when bytes moved, since the loop's start
	keepalive *Keepalives   // nil when keepalives do not count as activity
}

// end is one of a conn's sockets.
type end struct {
	conn   *conn
	side   side
	fd     int // -1 when there is none
	prompt bool
	wrote  bool
}

func newConn(a *accepting, c Client, s Session) *conn {
	k := &conn{loop: a.loop, server: a.listener.server, session: s, state: newState()}
	k.ends[client] = end{conn: k, side: client, fd: c.fd, prompt: true} // from its listener
	k.ends[target] = end{conn: k, side: target, fd: -1}
	k.timer.of = k
	k.last = k.loop.now
	k.loop.keep(k)
	return k
}

// dial connects to a target that the session chooses; failed is why the one
// before is none.
func (c *conn) dial(failed error) {
	for {
		d, ok := c.session.Dial(failed)
		if !ok {
			c.end(Refused, abortive)
			return
		}
		if failed = c.dialTo(d); failed == nil {
			return
		}
	}
}

func (c *conn) dialTo(d Dialing) error {
	fd, err := d.dial()
	if err != nil {
		return err
	}
	e := &c.ends[target]
	e.fd, e.prompt, e.wrote = fd, false, false
	if err := c.loop.poller.add(fd, watchSocket, e); err != nil {
		c.hangUp()
		return err
	}
	c.loop.wheel.set(&c.timer, c.loop.now+c.loop.opts.ConnectTimeout)
	return nil
}

// hangUp closes the socket to a target that did not answer.
func (c *conn) hangUp() {
	e := &c.ends[target]
	c.loop.poller.forget(e.fd)
	closeAll(e.fd)
	e.fd = -1
}

// notice goes on after events of one of the sockets.
func (e *end) notice(events uint32) {
	e.conn.state = e.conn.state.told(e.side, events)
	e.conn.run()
}

// run does what can be done without waiting.
func (c *conn) run() {
	for range stepsATurn {
		s := c.state.next()
		if s.op == wait {
			return
		}
		var o outcome
		s, o = c.do(s)
		if c.state.phase == over { // the session has ended it
			return
		}
		c.state = c.state.after(s, o)
		if c.state.phase == over {
			c.close(o.failed)
			return
		}
	}
	c.loop.later(c)
}

// close ends a connection by itself.
func (c *conn) close(failed bool) {
	if failed {
		c.end(Failed, abortive)
		return
	}
	c.end(Finished, inOrder)
}

// do executes a step, and says which: without a pipe to fill, bytes are copied.
func (c *conn) do(s step) (step, outcome) {
	switch s.op {
	case greet:
		return s, c.greet()
	case redial:
		c.redial(c.ends[target].problem())
		return s, outcome{}
	case fill:
		if p, ok := c.loop.pipes.get(); ok {
			return s, c.fill(s.from, p)
		}
		s.op = read
		return s, c.read(s.from)
	case read:
		return s, c.read(s.from)
	case write:
		return s, c.write(s.from)
	case drain:
		return s, c.drain(s.from)
	case shut:
		return s, outcome{failed: unix.Shutdown(c.ends[s.from.other()].fd, unix.SHUT_WR) != nil}
	}
	return s, outcome{failed: s.op == fail}
}

// greet begins to relay. Only now is the client listened to: what it has said
// waits in its socket.
func (c *conn) greet() outcome {
	g, ok := c.session.Connected()
	if !ok {
		c.end(Terminated, inOrder)
		return outcome{}
	}
	if err := c.loop.poller.add(c.ends[client].fd, watchSocket, &c.ends[client]); err != nil {
		return outcome{failed: true}
	}
	c.held[client].bytes, c.timed = g.Header, g.Timed
	if g.Keepalives {
		c.keepalive = &Keepalives{}
	}
	c.last = c.loop.now
	c.loop.wheel.set(&c.timer, c.loop.now+NextLook(c.session.IdleTimeout(), 0, g.Keepalives))
	return outcome{n: len(g.Header)}
}

func (c *conn) redial(failed error) {
	c.hangUp()
	c.dial(failed)
}

// problem is why a socket failed.
func (e *end) problem() error {
	errno, err := unix.GetsockoptInt(e.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	if err == nil {
		return errClosed
	}
	return os.NewSyscallError("connect", err)
}

var (
	errClosed  = errors.New("the target closed the connection at once")
	errTimeout = errors.New("the target did not answer in time")
)

// timeUp ends an attempt to connect, or looks whether the connection is idle.
func (c *conn) timeUp() {
	if c.state.phase == dialing {
		c.state = c.state.after(step{op: redial}, outcome{})
		c.redial(errTimeout)
		return
	}
	limit := c.session.IdleTimeout()
	if c.keepalive.Heard(c.loop.now, c.last, c.ends[client].fd, c.ends[target].fd) {
		c.last = c.loop.now
	}
	quiet := c.loop.now - c.last
	if quiet >= limit {
		c.end(Idle, inOrder)
		return
	}
	c.loop.wheel.set(&c.timer, c.loop.now+NextLook(limit, quiet, c.keepalive != nil))
}

// end closes both sockets and forgets the connection. What peers can see has
// been counted before.
func (c *conn) end(why Why, abortive bool) {
	c.state.phase = over
	c.session.Ended(End{why, c.passages[client], c.passages[target]})
	c.loop.wheel.stop(&c.timer)
	c.loop.forget(c)
	for i := range c.ends {
		if e := &c.ends[i]; e.fd >= 0 {
			c.loop.poller.forget(e.fd)
			if abortive {
				reset(e.fd)
			} else {
				closeAll(e.fd)
			}
		}
		if c.state.streams[i].inPipe { // what will not be written
			c.loop.pipes.put(c.held[i].pipe, false)
		}
	}
}
