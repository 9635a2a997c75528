// Package announce tells a segment at which MAC addresses are found: gratuitous
// ARP (RFC 5227 section 3) and unsolicited neighbour advertisements (RFC 4861
// section 7.2.6), a few when an address is taken over and one now and then ever
// after, because switches and neighbours forget.
//
// Answering who asks, duplicate address detection included, is the data path's
// part; this package only speaks up unasked.
package announce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Refresh is how often an address is announced for as long as it is held.
const Refresh = 45 * time.Second

// takeover is when the announcements of a new address go out: repeated, because
// nothing acknowledges them (RFC 5227 ANNOUNCE_NUM and ANNOUNCE_INTERVAL, one more).
var takeover = [...]time.Duration{0, 2 * time.Second, 4 * time.Second}

// Announcer sends announcements over one interface.
type Announcer struct {
	link int
	mac  [6]byte
	log  *slog.Logger
	fd   int

	mu    sync.Mutex // guards held
	held  map[netip.Addr]schedule
	wake  chan struct{}
	close sync.Once
}

// schedule is how far the announcements of an address are.
type schedule struct {
	since time.Time
	sent  int
	next  time.Time
}

// New opens a socket in the network namespace of the calling thread, to send
// from the interface with that index and MAC.
func New(link int, mac [6]byte, log *slog.Logger) (*Announcer, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	return &Announcer{
		link: link, mac: mac, log: log, fd: fd,
		held: map[netip.Addr]schedule{}, wake: make(chan struct{}, 1),
	}, nil
}

// Close closes the socket. Run must have ended.
func (a *Announcer) Close() error {
	var err error
	a.close.Do(func() { err = unix.Close(a.fd) })
	return err
}

// Set says which addresses are held. Those that are new are announced at once,
// those that are gone no more.
func (a *Announcer) Set(addrs []netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	held := make(map[netip.Addr]schedule, len(addrs))
	now := time.Now()
	for _, addr := range addrs {
		s, known := a.held[addr]
		if !known {
			s = schedule{since: now, next: now}
		}
		held[addr] = s
	}
	a.held = held
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run sends what is due until ctx ends.
func (a *Announcer) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
		due, next := a.due(time.Now())
		for _, addr := range due {
			if err := a.send(addr); err != nil && !errors.Is(err, unix.ENETDOWN) {
				a.log.Warn("announcing an address", "address", addr, "error", err)
			}
		}
		timer.Reset(next)
	}
}

// due returns the addresses to announce now, moves their schedules on, and says
// when the next one is due.
func (a *Announcer) due(now time.Time) (addrs []netip.Addr, next time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next = Refresh
	for addr, s := range a.held {
		if !now.Before(s.next) {
			addrs = append(addrs, addr)
			s = s.after(now)
			a.held[addr] = s
		}
		next = min(next, s.next.Sub(now))
	}
	return addrs, max(next, 0)
}

func (s schedule) after(now time.Time) schedule {
	s.sent++
	s.next = now.Add(Refresh)
	if s.sent < len(takeover) {
		s.next = s.since.Add(takeover[s.sent])
	}
	return s
}

func (a *Announcer) send(addr netip.Addr) error {
	to := unix.SockaddrLinklayer{Ifindex: a.link, Halen: 6}
	var errs []error
	for _, frame := range Frames(addr, a.mac) {
		copy(to.Addr[:], frame[:6])
		errs = append(errs, unix.Sendto(a.fd, frame, 0, &to))
	}
	return errors.Join(errs...)
}

// Frames returns the announcements of an address: for IPv4 an ARP request and a
// reply, because some neighbours heed only one of them, for IPv6 one
// advertisement that overrides what neighbours know.
func Frames(addr netip.Addr, mac [6]byte) [][]byte {
	if addr.Is4() {
		return [][]byte{arp(addr, mac, 1), arp(addr, mac, 2)}
	}
	return [][]byte{advertisement(addr, mac)}
}

func arp(addr netip.Addr, mac [6]byte, operation byte) []byte {
	f := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	f = append(f, mac[:]...)
	f = append(f, 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, operation)
	f = append(f, mac[:]...)
	f = append(f, addr.AsSlice()...)
	if operation == 1 {
		f = append(f, 0, 0, 0, 0, 0, 0)
	} else {
		f = append(f, mac[:]...)
	}
	return append(f, addr.AsSlice()...)
}

func advertisement(addr netip.Addr, mac [6]byte) []byte {
	all := netip.IPv6LinkLocalAllNodes()
	message := []byte{136, 0, 0, 0, 0x20, 0, 0, 0} // override, neither solicited nor a router
	message = append(message, addr.AsSlice()...)
	message = append(message, 2, 1) // target link-layer address
	message = append(message, mac[:]...)
	binary.BigEndian.PutUint16(message[2:], checksum(addr, all, message))

	f := []byte{0x33, 0x33, 0, 0, 0, 1}
	f = append(f, mac[:]...)
	f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(message)), 58, 255)
	f = append(f, addr.AsSlice()...)
	f = append(f, all.AsSlice()...)
	return append(f, message...)
}

// checksum is the one of ICMPv6 (RFC 4443 section 2.3) over an even length.
func checksum(src, dst netip.Addr, message []byte) uint16 {
	sum := uint32(len(message)) + 58
	for _, part := range [][]byte{src.AsSlice(), dst.AsSlice(), message} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
