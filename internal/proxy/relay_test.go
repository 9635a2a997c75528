package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Without pipes bytes are copied, and arrive all the same.
func TestBytesAreCopiedWhenThereAreNoPipes(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.pipes = newPipes(0)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	go func() {
		if c, err := back.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.opts.Listen = func(context.Context, netip.AddrPort) (net.Listener, error) { return front, nil }
	err = s.Apply(ctx, Config{Listeners: []Listener{{
		Address: addrPort(front.Addr()), Protocol: lb.TCP, IdleTimeout: time.Minute,
		Forward: []Pool{{Key: "p", Protocol: lb.TCP, Targets: []Target{{ID: "a", Addr: addrPort(back.Addr()), Eligible: true}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const size = 4 << 20
	go func() { _, _ = c.Write(make([]byte, size)); _ = c.(*net.TCPConn).CloseWrite() }()
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("got %d bytes back, %v; want %d", n, err, size)
	}
}

func TestPipesAreLentAgainUnlessBytesAreLeftInThem(t *testing.T) {
	p := newPipes(1)
	defer p.close()
	first, ok := p.get()
	if !ok {
		t.Fatal("no pipe")
	}
	if _, ok := p.get(); ok {
		t.Error("a second pipe of one")
	}
	p.put(first, true)
	if again, ok := p.get(); !ok || again != first {
		t.Errorf("got %v, %v; want the first one again", again, ok)
	}
	p.put(first, false)
	fresh, ok := p.get()
	if !ok {
		t.Fatal("the room of a pipe that was closed is lost")
	}
	p.put(fresh, true)
}
