package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process hands its listening sockets over through a Unix socket of sequential
// packets: one packet for each listener, which is its address and carries the
// socket, then handoverEnd. The successor answers handoverTaken, at the latest
// when it accepts connections. Meanwhile connections wait in the sockets or both
// accept them, so that none is refused; when the successor dies before it answers,
// nothing has changed. The predecessor closes the connection when it has let go of
// all that it held alone.
const (
	handoverEnd     = "end"
	handoverTaken   = "taken"
	handoverTimeout = 30 * time.Second // for either side's next word
	handoverPacket  = "unixpacket"
)

// Inheritance is the listening sockets of the process before.
type Inheritance struct {
	conn    *net.UnixConn // nil when there was no such process
	sockets map[netip.AddrPort]awaited
}

// TakeSockets asks the process that offers its sockets at path for them. Without
// such a process the Inheritance is empty.
func TakeSockets(ctx context.Context, path string) (*Inheritance, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, handoverPacket, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return &Inheritance{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the sockets of the process before at %s: %w", path, err)
	}
	in := &Inheritance{conn: c.(*net.UnixConn), sockets: map[netip.AddrPort]awaited{}}
	stop := context.AfterFunc(ctx, func() { _ = in.conn.SetDeadline(time.Now()) })
	defer stop()
	if err := errors.Join(in.conn.SetDeadline(time.Now().Add(handoverTimeout)), in.receive()); err != nil {
		in.close()
		return nil, fmt.Errorf("take the sockets of the process before at %s: %w", path, err)
	}
	return in, nil
}

func (in *Inheritance) receive() error {
	data, control := make([]byte, 128), make([]byte, unix.CmsgSpace(4))
	for {
		n, controlLen, _, _, err := in.conn.ReadMsgUnix(data, control)
		if err != nil {
			return err
		}
		if string(data[:n]) == handoverEnd {
			return nil
		}
		at, err := netip.ParseAddrPort(string(data[:n]))
		if err != nil {
			return fmt.Errorf("the address of a socket: %w", err)
		}
		if in.sockets[at], err = receivedSocket(control[:controlLen]); err != nil {
			delete(in.sockets, at)
			return fmt.Errorf("the socket of %s: %w", at, err)
		}
	}
}

func receivedSocket(control []byte) (ln awaited, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return ln, err
	}
	if len(messages) != 1 {
		return ln, fmt.Errorf("%d control messages came with it, want 1", len(messages))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return ln, err
	}
	if len(fds) != 1 {
		return ln, fmt.Errorf("%d descriptors came with it, want 1", len(fds))
	}
	return listenerOf(fds[0])
}

// take returns the socket of an address, once.
func (in *Inheritance) take(at netip.AddrPort) (ln awaited, ok bool) {
	if in != nil {
		ln, ok = in.sockets[at]
		delete(in.sockets, at)
	}
	return ln, ok
}

// Release makes the process before stop accepting and let go of what only one of
// the two can hold, such as a locked directory, and returns when it has.
// Connections wait in the sockets from then on until they are served here. A
// successor that needs nothing of the kind leaves this to its first Apply.
func (in *Inheritance) Release() error {
	if in.conn == nil {
		return nil
	}
	defer func() { _ = in.conn.Close(); in.conn = nil }()
	if err := in.conn.SetDeadline(time.Now().Add(handoverTimeout)); err != nil {
		return err
	}
	if _, err := in.conn.Write([]byte(handoverTaken)); err != nil {
		return fmt.Errorf("tell the process before that its sockets are taken: %w", err)
	}
	if _, err := in.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("wait until the process before has let go: %w", err)
	}
	return nil
}

// settle ends the handover. Sockets that nobody took are closed.
func (in *Inheritance) settle() error {
	if in == nil {
		return nil
	}
	err := in.Release()
	in.close()
	return err
}

func (in *Inheritance) close() {
	if in == nil {
		return
	}
	for _, ln := range in.sockets {
		ln.close() // nobody has accepted from it
	}
	if in.conn != nil {
		_ = in.conn.Close()
	}
	in.conn, in.sockets = nil, nil
}

// OfferSockets waits at path, which only this user can reach, for a successor
// and hands it the listening sockets. It returns nil once the successor has them:
// the listeners here have then stopped accepting and letGo, which may be nil, has
// returned. Run's context should have ended by then, so that the remaining
// connections finish. Otherwise it returns when ctx ends.
func (s *Server) OfferSockets(ctx context.Context, path string, letGo func()) error {
	ln, err := listenHandover(path)
	if err != nil {
		return fmt.Errorf("offer the sockets to a successor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer func() {
		if stop() {
			_ = ln.Close() // the successor has a socket of its own at path by now
		}
	}()
	if letGo == nil {
		letGo = func() {}
	}
	for {
		c, err := ln.AcceptUnix()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("wait for a successor: %w", err)
		}
		err = s.handOver(c)
		if err == nil {
			letGo()
			return c.Close()
		}
		err = errors.Join(err, c.Close())
		s.opts.Log.Warn("the sockets were not handed over: serving on", slog.Any("error", err))
	}
}

// listenHandover replaces what is at path at once, so that a successor can take
// a predecessor's place.
func listenHandover(path string) (*net.UnixListener, error) {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix(handoverPacket, &net.UnixAddr{Net: handoverPacket, Name: fresh})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // path may be the successor's then
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

func (s *Server) handOver(c *net.UnixConn) error {
	if err := c.SetDeadline(time.Now().Add(handoverTimeout)); err != nil {
		return err
	}
	// Nothing may change until the successor has answered: a listener made
	// meanwhile would not be handed over.
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, r := range s.routes {
		if err := sendSocket(c, at, r.acceptor); err != nil {
			return fmt.Errorf("hand over the socket of %s: %w", at, err)
		}
	}
	if _, err := c.Write([]byte(handoverEnd)); err != nil {
		return err
	}
	answer := make([]byte, len(handoverTaken)+1)
	n, err := c.Read(answer)
	if err != nil || string(answer[:n]) != handoverTaken {
		return fmt.Errorf("the successor did not serve them: %w", errors.Join(err, errors.New("no answer")))
	}
	s.handedOver = true
	s.stop()
	return nil
}

func sendSocket(c *net.UnixConn, at netip.AddrPort, a acceptor) error {
	return a.share(func(fd int) error {
		_, _, err := c.WriteMsgUnix([]byte(at.String()), unix.UnixRights(fd), nil)
		return err
	})
}

// listen returns the socket of the process before for an address, or a new one.
func (s *Server) listen(ctx context.Context, at netip.AddrPort) (awaited, error) {
	if ln, ok := s.opts.Inherited.take(at); ok {
		return ln, nil
	}
	ln, err := s.opts.Listen(ctx, at)
	return awaited{ln}, err
}
