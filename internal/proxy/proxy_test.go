package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a running server and what it forwards to.
type world struct {
	*testing.T
	server   *proxy.Server
	stop     func() // ends Run and waits for it
	stopSoon func() // ends Run's context
}

func start(t *testing.T, opts proxy.Options) world {
	t.Helper()
	s, err := proxy.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return world{t, s, stop, cancel}
}

func (w world) apply(listeners ...proxy.Listener) {
	w.Helper()
	if err := w.server.Apply(context.Background(), proxy.Config{Listeners: listeners}); err != nil {
		w.Fatal(err)
	}
}

// serve is a target that handles each connection with f.
func serve(t *testing.T, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

func target(id string, at netip.AddrPort) proxy.Target {
	return proxy.Target{ID: id, Addr: at, Eligible: true, Healthy: true}
}

func tcpListener(t *testing.T, targets ...proxy.Target) proxy.Listener {
	t.Helper()
	return proxy.Listener{
		Balancer: "arn:lb", Address: netlabtest.Address(t), Protocol: lb.TCP, IdleTimeout: time.Minute,
		Forward: []proxy.Pool{{Key: "pool", Protocol: lb.TCP, Targets: targets}},
	}
}

func dial(t *testing.T, at netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// say writes and reads as much back.
func say(t *testing.T, c net.Conn, what string) string {
	t.Helper()
	if _, err := io.WriteString(c, what); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(what))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBytesGoBothWays(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tcpListener(t, target("a", serve(t, echo)))
	w.apply(l)
	c := dial(t, l.Address)
	for _, text := range []string{"hello", "again"} {
		if got := say(t, c, text); got != text {
			t.Errorf("got %q back, want %q", got, text)
		}
	}
}
