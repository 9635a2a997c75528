package netlab_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

// A program that sends everything back stands for an edge. Its frames must
// arrive, also when nothing else comes along that would wake the port up.
func TestPortThatFacesXDPReceivesWhatAProgramSendsBack(t *testing.T) {
	p := netlabtest.Prefix(t)
	sw, edge := p+"sw", p+"edge"
	err := netlab.Apply(netlab.Topology{
		Namespaces: []netlab.Namespace{{Name: sw, Bridges: []string{"br0"}}, {Name: edge}},
		Cables: []netlab.Cable{{
			A: netlab.Port{Namespace: sw, Name: "edge", Bridge: "br0", FacesXDP: true},
			B: netlab.Port{Namespace: edge, Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("198.18.16.4/16")}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const xdpTX = 3
	err = netlab.In(edge, func() error {
		prog, err := netlab.LoadXDP(xdpTX)
		if err != nil {
			return err
		}
		defer unix.Close(prog)
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFd(link, prog)
	})
	if err != nil {
		t.Fatal(err)
	}
	fd := packetSocket(t, sw, "edge")
	frame := make([]byte, 60)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 1, etherType >> 8, etherType & 0xff, 42})
	if _, err := unix.Write(fd, frame); err != nil {
		t.Fatal(err)
	}
	if !reflected(t, fd) {
		t.Error("the frame that the program sent back did not arrive")
	}
}

// etherType is for local experiments (IEEE 802, 0x88B5).
const etherType = 0x88b5

// packetSocket sends and receives frames on a port.
func packetSocket(t *testing.T, namespace, port string) (fd int) {
	t.Helper()
	err := netlab.In(namespace, func() error {
		link, err := netlink.LinkByName(port)
		if err != nil {
			return err
		}
		// All protocols, in network byte order: the bridge takes the frame before
		// those who ask for one protocol.
		const protocol = unix.ETH_P_ALL << 8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol); err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		timeout := unix.NsecToTimeval(time.Minute.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Attrs().Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// reflected waits for a frame that came in, rather than went out.
func reflected(t *testing.T, fd int) bool {
	t.Helper()
	for {
		buf := make([]byte, 128)
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) { // a receive with a timeout is not restarted after a signal
			continue
		}
		if err != nil {
			t.Log(err)
			return false
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && n > 14 && buf[12] == etherType>>8 && buf[14] == 42 {
			return true
		}
	}
}
