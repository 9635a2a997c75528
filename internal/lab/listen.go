package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	maxConnections = 1024 // at each listener; more wait in the kernel's queue
	dialTimeout    = 5 * time.Second
)

// listen opens the lab's ports on host loopback and the socket for commands.
func (h *host) listen() error {
	s := h.current()
	for _, f := range []struct {
		port uint16
		to   netip.AddrPort
	}{{s.APIPort, component.APIServerAddress()}, {s.EnginePort, component.EngineAddress()}} {
		l, err := net.Listen("tcp", loopback(f.port).String())
		if err != nil {
			return err
		}
		h.listeners = append(h.listeners, l)
		h.wg.Go(func() { forward(l, s.Prefix+layout.ControlNamespace, f.to) })
	}
	return h.serveControl()
}

// forward carries connections into a namespace until the listener is closed.
func forward(l net.Listener, namespace string, to netip.AddrPort) {
	slots := make(chan struct{}, maxConnections)
	var open sync.Map // net.Conn → nothing, to be closed at the end
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		slots <- struct{}{}
		conn, err := l.Accept()
		if err != nil {
			open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
			return
		}
		open.Store(conn, nil)
		wg.Go(func() {
			defer func() { open.Delete(conn); <-slots }()
			carry(conn, namespace, to)
		})
	}
}

// carry connects both ways and passes on each end of stream.
func carry(from net.Conn, namespace string, to netip.AddrPort) {
	defer from.Close()
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	target, err := netlab.Dial(ctx, namespace, "tcp", to.String())
	if err != nil {
		return // the client sees its connection closed, as when nobody listens
	}
	defer target.Close()
	var wg sync.WaitGroup
	wg.Go(func() { pipe(target, from) })
	wg.Go(func() { pipe(from, target) })
	wg.Wait()
}

func pipe(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails when the other side has closed already
	}
}

// dialControl is for clients of the control namespace in this process.
func (h *host) dialControl(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := netlab.Dial(ctx, h.current().Prefix+layout.ControlNamespace, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial in the control namespace: %w", err)
	}
	return conn, nil
}
