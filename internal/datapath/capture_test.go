package datapath

import (
	"encoding/binary"
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// maxCaptured bounds what a capture keeps.
const maxCaptured = 20000

// checkReceived captures what a host receives until the test ends and holds every
// checksum against what it should be. Frames whose checksum is still to be computed
// by a device (PACKET_AUXDATA, packet(7)) have none.
func (s *site) checkReceived(t *testing.T, ns string) {
	t.Helper()
	fd := -1
	err := netlab.In(s.prefix+ns, func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(portToMap(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}))
	if err != nil {
		t.Fatal(err)
	}
	stop, frames := make(chan struct{}), make(chan [][]byte)
	go func() { frames <- capture(fd, stop) }()
	t.Cleanup(func() {
		close(stop)
		received := <-frames
		unix.Close(fd)
		tcpOrUDP := 0
		for _, f := range received {
			checkSums(t, f)
			if proto := map[bool]byte{true: f[23], false: f[20]}[f[12] == 0x08]; proto == ipProtoTCP || proto == ipProtoUDP {
				tcpOrUDP++
			}
		}
		if tcpOrUDP == 0 {
			t.Errorf("%s has received no packet with a checksum to look at", ns)
		}
	})
}

// capture returns the IP packets that came to this host, until it is told to stop
// and no more have come for a while.
func capture(fd int, stop <-chan struct{}) (frames [][]byte) {
	buffer, control := make([]byte, 1<<17), make([]byte, 256)
	for {
		n, size, _, from, err := unix.Recvmsg(fd, buffer, control, 0)
		if err != nil {
			select {
			case <-stop:
				return frames
			default:
				continue
			}
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok || link.Pkttype != unix.PACKET_HOST || n < 34 || unfinished(control[:size]) || len(frames) == maxCaptured {
			continue
		}
		if kind := binary.BigEndian.Uint16(buffer[12:]); kind == unix.ETH_P_IP || kind == unix.ETH_P_IPV6 {
			frames = append(frames, append([]byte(nil), buffer[:n]...))
		}
	}
}

func unfinished(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			return binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY != 0
		}
	}
	return false
}
