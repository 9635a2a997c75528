package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// acceptor takes a Route's connections from its listening socket: loops where
// nothing but plain TCP is spoken, otherwise a goroutine.
type acceptor interface {
	// share calls f with the socket's descriptor.
	share(f func(fd int) error) error
	// close accepts no more.
	close()
}

// awaited is a socket that a goroutine waits at.
type awaited struct{ *net.TCPListener }

func (a awaited) share(f func(fd int) error) error {
	raw, err := a.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, f)
}

func (a awaited) close() { _ = a.Close() } // only Accept would notice an error

// looped is a socket that loops accept from. It is not in the runtime's poller,
// which would wake a thread for each connection.
type looped struct {
	*loop.Listener
	fd int
}

func (a looped) share(f func(fd int) error) error { return f(a.fd) }

func (a looped) close() {
	a.Listener.Close()
	_ = unix.Close(a.fd) // nothing was written
}

// duplicate is another descriptor of an acceptor's socket.
func duplicate(a acceptor) (fd int, err error) {
	err = a.share(func(of int) (err error) {
		fd, err = unix.FcntlInt(uintptr(of), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl", err)
	})
	return fd, err
}

// toLoops has loops accept from a socket instead of a goroutine.
func (r *Route) toLoops() error {
	fd, err := duplicate(r.acceptor)
	if err != nil {
		return fmt.Errorf("take a listening socket to the event loops: %w", err)
	}
	ln, err := r.server.loops.Listen(fd, r)
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	r.acceptor.close()
	r.acceptor = looped{ln, fd}
	return nil
}

// toGoroutine has a goroutine accept from a socket.
func (r *Route) toGoroutine(ln awaited) {
	r.acceptor = ln
	r.server.work.Add(1)
	go r.accept(ln)
}

// fromLoops prepares a socket of loops for a goroutine.
func (r *Route) fromLoops() (awaited, error) {
	fd, err := duplicate(r.acceptor)
	if err != nil {
		return awaited{}, fmt.Errorf("take a listening socket from the event loops: %w", err)
	}
	return listenerOf(fd)
}

// listenerOf takes a descriptor of a listening socket over.
func listenerOf(fd int) (a awaited, err error) {
	f := os.NewFile(uintptr(fd), "listener")
	ln, err := net.FileListener(f) // has a descriptor of its own
	if err = errors.Join(err, f.Close()); err != nil {
		return a, err
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return a, errors.Join(fmt.Errorf("a socket of %s: want one of TCP", ln.Addr().Network()), ln.Close())
	}
	return awaited{tcp}, nil
}

// accept serves the connections of a socket until that is closed.
func (r *Route) accept(ln awaited) {
	defer r.server.work.Done()
	for {
		c, err := ln.AcceptTCP()
		if err == nil {
			r.admit(c)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		r.server.opts.Log.Warn("connection not accepted", "listener", r.current.Load().Address, "error", err)
		select {
		case <-r.retired:
			return
		case <-time.After(loop.AcceptPause):
		}
	}
}

// admit starts to serve a connection, or resets it.
func (r *Route) admit(c *net.TCPConn) {
	p := r.current.Load()
	flow := Flow{Client: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr())}
	if !r.admits(p, flow.Client) {
		reset(c)
		return
	}
	newSession(r, p, c, flow).start()
}

// admits says whether a client gets in, and counts it. One that does leaves in
// the end.
func (r *Route) admits(p *plan, client netip.AddrPort) bool {
	switch {
	case !p.admits(client.Addr()):
		p.counters.SecurityGroupBlockedFlowCount.Add(1)
		return false
	case r.server.open.Add(1) > int64(r.server.opts.MaxConnections):
		r.server.open.Add(-1)
		p.counters.RejectedFlowCount.Add(1)
		return false
	}
	r.server.work.Add(1)
	p.counters.NewFlowCount.Add(1)
	p.counters.ActiveFlowCount.Add(1)
	return true
}

// leaves is the end of a connection that admits let in.
func (r *Route) leaves(counters *Counters) {
	counters.ActiveFlowCount.Add(-1)
	r.server.open.Add(-1)
	r.server.work.Done()
}

// Flow is the two ends of a client's connection.
type Flow struct {
	Client netip.AddrPort
	Local  netip.AddrPort // the address that the client connected to
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// reset closes a connection so that the peer sees that it was not served.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // fails when the peer has gone
	_ = c.Close()
}
