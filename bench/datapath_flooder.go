package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// flooder sends SYNs from random addresses and ports, as frames, past the
// kernel's TCP.
type flooder struct {
	fd    int
	frame []byte // all but what is random
}

const (
	etherSize  = 14
	ipv4Size   = 20
	tcpSize    = 20
	synSize    = etherSize + ipv4Size + tcpSize
	floodPause = time.Millisecond // between bursts
	floodBurst = 200              // frames: less than a virtual cable holds
)

// newFlooder opens a packet socket on eth0 of a namespace. Frames go to the MAC.
func newFlooder(namespace string, to net.HardwareAddr) (*flooder, error) {
	f := &flooder{frame: synFrame(to)}
	from, err := macOf(namespace)
	if err != nil {
		return nil, err
	}
	copy(f.frame[6:], from)
	err = netlab.In(namespace, func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		f.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: it receives nothing
		if err != nil {
			return err
		}
		err = errors.Join(unix.Bind(f.fd, &unix.SockaddrLinklayer{Ifindex: i.Index}), unix.SetsockoptInt(f.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1))
		if err != nil {
			return errors.Join(err, unix.Close(f.fd))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return f, nil
}

func (f *flooder) close() error { return unix.Close(f.fd) }

// synFrame is a SYN to the benchmarks' address, its checksums computed over
// zeros where random values come.
func synFrame(to net.HardwareAddr) []byte {
	f := make([]byte, synSize)
	copy(f, to)
	binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IP)
	ip, tcp := f[etherSize:etherSize+ipv4Size], f[etherSize+ipv4Size:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(ip[2:], ipv4Size+tcpSize)
	copy(ip[16:], netip.MustParseAddr(vip4).AsSlice())
	tcp[12], tcp[13] = tcpSize/4<<4, 0x02
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	return f
}

// fired is what a flood was.
type fired struct {
	syns int
	cpu  time.Duration // of the flood's thread
	err  error
}

// fire floods a port with so many SYNs a second until stop is called.
func (f *flooder) fire(port, perSecond int) (stop func() fired) {
	binary.BigEndian.PutUint16(f.frame[etherSize+ipv4Size+2:], uint16(port))
	enough, done := make(chan struct{}), make(chan fired, 1)
	go func() { done <- f.thread(perSecond, enough) }()
	return func() fired {
		close(enough)
		return <-done
	}
}

// thread is the flood's own. A flood comes from outside, however busy the machine
// is, so it goes before others, as a network card's interrupts do; what the kernel
// does with a frame on virtual cables, it does in this thread's time.
func (f *flooder) thread(perSecond int, enough <-chan struct{}) (r fired) {
	runtime.LockOSThread() // never unlocked: the thread ends with its priority
	if r.err = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); r.err != nil {
		return r
	}
	r.syns, r.err = f.bursts(perSecond, enough)
	var used unix.Rusage
	r.err = errors.Join(r.err, unix.Getrusage(unix.RUSAGE_THREAD, &used))
	r.cpu = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	return r
}

// bursts keeps the rate over time: what a burst is late, the next ones make up, as
// far as a tenth of a second.
func (f *flooder) bursts(perSecond int, enough <-chan struct{}) (syns int, err error) {
	pause := unix.NsecToTimespec(int64(floodPause))
	begin, sent := time.Now(), 0
	for {
		select {
		case <-enough:
			return syns, nil
		default:
		}
		if err := unix.Nanosleep(&pause, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return syns, err
		}
		due := int(time.Since(begin).Seconds() * float64(perSecond))
		sent = max(sent, due-perSecond/10)
		for due = min(due, sent+floodBurst); sent < due; sent++ {
			f.randomize()
			if _, err := unix.Write(f.fd, f.frame); err != nil && !errors.Is(err, unix.ENOBUFS) { // a full queue loses, as a wire does
				return syns, err
			}
			syns++
		}
	}
}

// randomize makes the frame another client's, from 10.0.0.0/8.
func (f *flooder) randomize() {
	ip, tcp := f.frame[etherSize:etherSize+ipv4Size], f.frame[etherSize+ipv4Size:]
	r := rand.Uint64()
	binary.BigEndian.PutUint32(ip[12:], 10<<24|uint32(r)>>8)
	binary.BigEndian.PutUint16(tcp, uint16(1024+r>>32&0x7fff))
	binary.BigEndian.PutUint32(tcp[4:], uint32(r>>24))
	ip[10], ip[11], tcp[16], tcp[17] = 0, 0, 0, 0
	binary.BigEndian.PutUint16(ip[10:], fold(sum16(ip)))
	binary.BigEndian.PutUint16(tcp[16:], fold(sum16(tcp)+sum16(ip[12:])+unix.IPPROTO_TCP+tcpSize))
}

// sum16 and fold are the checksum of RFC 1071, of an even number of bytes.
func sum16(b []byte) (sum uint32) {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
