package loop

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventsAtOnce = 256

	// watchSocket is all that matters of a connected socket, once for all.
	watchSocket = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET&0xffffffff
	// watchListener wakes one loop, as long as there is a connection to accept.
	watchListener = unix.EPOLLIN | unix.EPOLLEXCLUSIVE
)

// watcher is told of a descriptor's events.
type watcher interface{ notice(events uint32) }

// watched is a descriptor's watcher. Numbers of descriptors come again: an event
// of the one before has another generation.
type watched struct {
	generation int32
	by         watcher
}

// poller is an epoll instance and who wants to know of what.
type poller struct {
	epoll, bell int
	events      [eventsAtOnce]unix.EpollEvent
	watched     []watched // by descriptor
	generation  int32
	woken       bool // wake was called
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		closeAll(epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p := &poller{epoll: epoll, bell: bell}
	if err := p.add(bell, unix.EPOLLIN, (*doorbell)(p)); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() { closeAll(p.bell, p.epoll) }

// add watches a descriptor until it is closed or removed.
func (p *poller) add(fd int, events uint32, by watcher) error {
	p.generation++
	if fd >= len(p.watched) {
		p.watched = append(p.watched, make([]watched, fd+1-len(p.watched))...)
	}
	p.watched[fd] = watched{p.generation, by}
	err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.generation})
	if err != nil {
		p.forget(fd)
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// forget drops events of a descriptor that is being closed.
func (p *poller) forget(fd int) {
	if fd < len(p.watched) {
		p.watched[fd] = watched{}
	}
}

// remove stops to watch a descriptor that goes on to exist.
func (p *poller) remove(fd int) {
	p.forget(fd)
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) // it is there
}

// wait returns events, when there are some or the time is over. They are valid
// until the next call.
func (p *poller) wait(patience time.Duration) ([]unix.EpollEvent, error) {
	ms := -1
	if patience >= 0 {
		ms = int((patience + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(p.epoll, p.events[:], ms)
	if errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	return p.events[:max(n, 0)], err
}

func (p *poller) dispatch(e unix.EpollEvent) {
	if w := p.watched[e.Fd]; w.by != nil && w.generation == e.Pad {
		w.by.notice(e.Events)
	}
}

// wake ends wait from another goroutine.
func (p *poller) wake() {
	_, _ = unix.Write(p.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails when it rings already
}

// doorbell is the poller as it hears of wake.
type doorbell poller

func (d *doorbell) notice(uint32) {
	var count [8]byte
	_, _ = unix.Read(d.bell, count[:])
	d.woken = true
}
