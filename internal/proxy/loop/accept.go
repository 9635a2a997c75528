package loop

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listener is a listening socket from which all loops accept.
type Listener struct {
	group  *Group
	fd     int
	server Server
}

// Listen has the loops accept connections of a listening socket that does not
// block. It stays the caller's, who closes it after Close of the Listener.
func (g *Group) Listen(fd int, s Server) (*Listener, error) {
	ln := &Listener{group: g, fd: fd, server: s}
	// Connections have this from their listener, without a call of their own.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return nil, fmt.Errorf("set up a listening socket: %w", err)
	}
	if _, err := g.started(); err != nil {
		return nil, err
	}
	var errs []error
	g.each(func(l *loop) {
		a := &accepting{loop: l, listener: ln}
		a.timer.of = a
		l.accepting[ln] = a
		errs = append(errs, a.watch())
	})
	if err := errors.Join(errs...); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// Close accepts no more: no loop uses the socket when it returns. Connections go on.
func (ln *Listener) Close() {
	ln.group.each(func(l *loop) {
		if a := l.accepting[ln]; a != nil {
			l.wheel.stop(&a.timer)
			l.poller.remove(ln.fd)
			delete(l.accepting, ln)
		}
	})
}

// AcceptPause is how long to wait when the kernel has no more file descriptors
// or memory.
const AcceptPause = 50 * time.Millisecond

// accepting is a loop's part in a listener.
type accepting struct {
	loop     *loop
	listener *Listener
	timer    timer // of a pause
}

func (a *accepting) watch() error {
	return a.loop.poller.add(a.listener.fd, watchListener, a)
}

// notice accepts one connection: if there are more, that is another event, of
// this or of another loop.
func (a *accepting) notice(uint32) {
	fd, peer, err := syscall.Accept4(a.listener.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) // unix.Accept4 asks for the protocol each time
	switch {
	case err == nil:
		a.admit(Client{Addr: addrPort(peer), fd: fd})
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
	default:
		a.pause(err)
	}
}

func (a *accepting) admit(c Client) {
	s := a.listener.server.Accept(c)
	if s == nil {
		reset(c.fd)
		return
	}
	newConn(a, c, s).dial(nil)
}

// pause leaves connections to wait, or to the other loops.
func (a *accepting) pause(err error) {
	a.loop.opts.Log.Warn("connection not accepted", "error", err)
	a.loop.poller.remove(a.listener.fd)
	a.loop.wheel.set(&a.timer, a.loop.now+AcceptPause)
}

// timeUp accepts again after a pause.
func (a *accepting) timeUp() {
	if err := a.watch(); err != nil {
		a.pause(err)
	}
}

// reset closes a connection so that the peer sees that it was not served.
func reset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // fails when the peer has gone
	closeAll(fd)
}
