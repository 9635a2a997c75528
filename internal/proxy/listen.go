package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen binds an address that need not be this machine's yet (IP_FREEBIND).
// The kernel sends no keepalives, which would keep idle clients alive.
func Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAlive: -1,
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error { return freebind(fd, at.Addr()) })
		},
	}
	lc.SetMultipathTCP(false) // its sockets cannot be spliced
	ln, err := lc.Listen(ctx, network(at.Addr()), at.String())
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln, nil
}

// Dial connects to a target from the source that is asked for.
func Dial(ctx context.Context, d Dialing) (*net.TCPConn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if d.Source.Addr().IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(d.Source)
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			return control(c, d.prepare)
		}
	}
	c, err := dialer.DialContext(ctx, network(d.Target.Addr()), d.Target.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// prepare sets up a socket for its source. A client may use one port for several
// of the load balancer's addresses at a time, hence SO_REUSEADDR: the kernel
// then refuses only what collides with the target, too.
func (d Dialing) prepare(fd int) error {
	if d.Transparent {
		return errors.Join(transparent(fd, d.Source.Addr()), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	}
	if d.Source.Port() == 0 {
		// The port is chosen at connect, by the target: not only 28,000 in all.
		return errors.Join(freebind(fd, d.Source.Addr()), unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1))
	}
	return freebind(fd, d.Source.Addr())
}

func transparent(fd int, a netip.Addr) error {
	if a.Is4() {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
}

func freebind(fd int, a netip.Addr) error {
	if a.Is4() {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
}

func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

func control(c syscall.RawConn, f func(fd int) error) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) { err = f(int(fd)) }), err)
}
