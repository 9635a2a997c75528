package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dialing is a connection to be made to a target.
type Dialing struct {
	Target netip.AddrPort
	// Source is the address to connect from. Its zero Addr and port 0 let the
	// kernel choose.
	Source netip.AddrPort
	// Transparent says that Source is not this machine's (IP_TRANSPARENT).
	Transparent bool
}

// Prepare sets a socket up for the source, before it is bound. A client may use
// one port for several of the load balancer's addresses at a time, hence
// SO_REUSEADDR: the kernel then refuses only what collides with the target, too.
func (d Dialing) Prepare(fd int) error {
	if d.Transparent {
		return errors.Join(transparent(fd, d.Source.Addr()), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	}
	if d.Source.Port() == 0 {
		// The port is chosen at connect, by the target: not only 28,000 in all.
		return errors.Join(Freebind(fd, d.Source.Addr()), unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1))
	}
	return Freebind(fd, d.Source.Addr())
}

func transparent(fd int, a netip.Addr) error {
	if a.Is4() {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
}

// Freebind lets a socket have an address that is not this machine's yet.
func Freebind(fd int, a netip.Addr) error {
	if a.Is4() {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
}

// dial begins to connect. An event of the socket tells how that ends.
func (d Dialing) dial() (fd int, err error) {
	family := unix.AF_INET6
	if d.Target.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := d.connect(fd); err != nil {
		closeAll(fd)
		return -1, err
	}
	return fd, nil
}

func (d Dialing) connect(fd int) error {
	if d.Source.Addr().IsValid() {
		if err := d.Prepare(fd); err != nil {
			return fmt.Errorf("prepare the source %s: %w", d.Source, err)
		}
		if err := unix.Bind(fd, sockaddr(d.Source)); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	err := unix.Connect(fd, sockaddr(d.Target))
	if err == nil || errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EINTR) { // interrupted, it goes on by itself
		return nil
	}
	return os.NewSyscallError("connect", err)
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
}

// addrPort is the zero AddrPort for what is no address of IP.
func addrPort(s syscall.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), uint16(s.Port))
	}
	return netip.AddrPort{}
}
