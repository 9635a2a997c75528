package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// Listen binds an address that need not be this machine's yet (IP_FREEBIND).
// The kernel sends no keepalives, which would keep idle clients alive.
func Listen(ctx context.Context, at netip.AddrPort) (*net.TCPListener, error) {
	lc := net.ListenConfig{
		KeepAlive: -1,
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error { return loop.Freebind(fd, at.Addr()) })
		},
	}
	lc.SetMultipathTCP(false) // its sockets cannot be spliced
	ln, err := lc.Listen(ctx, network(at.Addr()), at.String())
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln.(*net.TCPListener), nil
}

// dial connects to a target from the source that is asked for, and waits.
func dial(ctx context.Context, d loop.Dialing) (*net.TCPConn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if d.Source.Addr().IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(d.Source)
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			return control(c, d.Prepare)
		}
	}
	c, err := dialer.DialContext(ctx, network(d.Target.Addr()), d.Target.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
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
