package proxy_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// deaf is an address that does not answer connections until the function is
// called: its queue of connections to be accepted is full.
func deaf(t *testing.T) (at netip.AddrPort, hear func() net.Listener) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	ln, err := net.FileListener(f)
	t.Cleanup(func() { _ = f.Close() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	at = ln.Addr().(*net.TCPAddr).AddrPort()
	dial(t, at) // the queue has room for one
	return at, func() net.Listener {
		if err := unix.Listen(fd, 64); err != nil { // room for all
			t.Fatal(err)
		}
		return ln
	}
}

func TestTheSurgeQueueIsBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg, SurgeQueue: 2, ConnectTimeout: time.Hour})
	at, hear := deaf(t)
	l := tcpListener(t, target("slow", at))
	w.apply(l)
	clients := []*net.TCPConn{dial(t, l.Address), dial(t, l.Address)}
	eventually(t, "two connections wait", func() bool { return count(t, reg, "surge_queue_length") == 2 })
	wantReset(t, l.Address)
	ln := hear()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // with what filled the queue; the kernel says SYN again after a second
		for range 1 + len(clients) {
			if c, err := ln.Accept(); err == nil {
				_, _ = io.WriteString(c, "served")
				defer c.Close()
			}
		}
	})
	for _, c := range clients {
		if got, err := io.ReadAll(c); string(got) != "served" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if spilled, length := count(t, reg, "spillover_count_total"), count(t, reg, "surge_queue_length"); spilled != 1 || length != 0 {
		t.Errorf("counted %v spilled and %v waiting connections, want 1 and 0", spilled, length)
	}
}

func TestATargetThatDoesNotAnswerIsLeftForAnother(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg, ConnectTimeout: 200 * time.Millisecond})
	at, _ := deaf(t)
	l := tcpListener(t, target("deaf", at), target("alive", serve(t, echo)))
	l.Forward[0].Balance = proxy.RoundRobin
	w.apply(l)
	for range 2 {
		say(t, dial(t, l.Address), "served")
	}
	if got := count(t, reg, "backend_connection_errors_total"); got != 1 {
		t.Errorf("counted %v errors, want 1: every second connection tries the deaf target first", got)
	}
}
