package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	udpWindow    = 8 // datagrams of a flow that are on their way
	udpPatience  = 500 * time.Millisecond
	udpTolerated = 0.05 // of the datagrams may be lost, or late
)

// echoes are the targets' UDP servers.
type echoes struct {
	stopped atomic.Bool
	running sync.WaitGroup
	sockets []int
}

// serveEchoes has each target send datagrams back to where they came from.
func (s *segment) serveEchoes() (*echoes, error) {
	e := &echoes{}
	for i := range s.targets {
		fd, err := udpSocket(s.machine(webServer(i)), func(fd int) error { return unix.Bind(fd, socketAddress(targetAddress(i))) })
		if err != nil {
			return nil, errors.Join(fmt.Errorf("echo datagrams: %w", err), e.close())
		}
		e.sockets = append(e.sockets, fd)
		e.running.Go(func() { e.echo(fd) })
	}
	return e, nil
}

func (e *echoes) echo(fd int) {
	b := newDatagramBatch(64)
	for !e.stopped.Load() {
		if n, err := b.receive(fd); err == nil {
			_, _ = b.send(fd, n) // what cannot be sent is lost, as on any network
		}
	}
}

func (e *echoes) close() error {
	e.stopped.Store(true)
	e.running.Wait()
	var errs []error
	for _, fd := range e.sockets {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}

// udpSocket is a blocking socket of a namespace. Whoever waits on it looks up
// after udpPatience at the latest.
func udpSocket(namespace string, prepare func(fd int) error) (fd int, err error) {
	err = netlab.In(namespace, func() error {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return 0, err
	}
	patience := unix.NsecToTimeval(int64(udpPatience))
	err = errors.Join(prepare(fd), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func socketAddress(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// exchange sends datagrams through a hop and counts those that come back: each
// flow has a window of them on their way, so that nothing sends faster than the
// slowest part of the way takes.
func (s *segment) exchange(_ context.Context, h hop, l load) (result, error) {
	var flows []*udpFlow
	defer func() {
		for _, f := range flows {
			unix.Close(f.fd)
		}
	}()
	for i := range l.connections {
		client := i % s.clients
		server, err := netip.ParseAddrPort(s.address(h, client))
		if err != nil {
			return result{}, err
		}
		fd, err := udpSocket(s.client(h, client), func(fd int) error { return unix.Connect(fd, socketAddress(server)) })
		if err != nil {
			return result{}, fmt.Errorf("send datagrams: %w", err)
		}
		flows = append(flows, &udpFlow{fd: fd, batch: newDatagramBatch(udpWindow)})
	}
	begin := time.Now()
	var group errgroup.Group
	for _, f := range flows {
		group.Go(func() error { return f.run(begin.Add(time.Duration(l.seconds) * time.Second)) })
	}
	if err := group.Wait(); err != nil {
		return result{}, err
	}
	return summarizeFlows(flows, time.Since(begin))
}

func summarizeFlows(flows []*udpFlow, took time.Duration) (result, error) {
	sent, answered := 0, 0
	for _, f := range flows {
		sent += f.sent
		answered += f.answered
	}
	if lost := sent - answered; float64(lost) > udpTolerated*float64(sent) {
		return result{}, fmt.Errorf("%d of %d datagrams were lost or late", lost, sent)
	}
	return result{rate: float64(answered) / took.Seconds()}, nil
}

// udpFlow is a client's socket.
type udpFlow struct {
	fd             int
	batch          *datagramBatch
	window         uint64 // number of it, in each datagram
	sent, answered int
}

func (f *udpFlow) run(end time.Time) error {
	for time.Now().Before(end) {
		f.window++
		for i := range f.batch.data {
			f.batch.fill(i, f.window)
		}
		n, err := f.batch.send(f.fd, len(f.batch.data))
		if err != nil {
			return fmt.Errorf("send datagrams: %w", err)
		}
		f.sent += n
		if err := f.collect(n); err != nil {
			return fmt.Errorf("receive datagrams: %w", err)
		}
	}
	return nil
}

// collect waits for the answers to a window, and not for long.
func (f *udpFlow) collect(missing int) error {
	for missing > 0 {
		n, err := f.batch.receive(f.fd)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range n {
			if binary.NativeEndian.Uint64(f.batch.data[i][:]) == f.window {
				missing--
				f.answered++
			}
		}
	}
	return nil
}
