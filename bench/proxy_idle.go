package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	idlePort        = 9
	idleConnections = 8000
	idleAim         = 12 << 10 // bytes of the proxy's memory for each
)

// idleConnections holds connections on which nothing more is said, and measures
// the proxy's memory for them.
func (s *segment) idleConnections(ctx context.Context, h hop) (rows []Row, err error) {
	pid := s.servers[1].PID() // the first is the target
	var ln net.Listener
	if err := netlab.In(s.machine(webServer(0)), func() (err error) {
		ln, err = net.Listen("tcp", onHost(chainTarget, idlePort))
		return err
	}); err != nil {
		return nil, err
	}
	var held []net.Conn
	defer func() {
		err = errors.Join(err, ln.Close())
		for _, c := range held {
			err = errors.Join(err, c.Close())
		}
	}()
	before, err := resident(pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	for range idleConnections {
		front, back, err := s.throughProxy(ctx, h, ln)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", len(held)/2+1, err)
		}
		held = append(held, front, back)
	}
	after, err := resident(pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	each := (after - before) * 1e6 / idleConnections
	return []Row{
		{Name: "proxy.tcp.idle.connections", Unit: "connections", Value: float64(len(held) / 2)},
		Row{Name: "proxy.tcp.idle.memory", Unit: "bytes/connection", Value: each}.atMost(idleAim),
	}, nil
}

// throughProxy makes a connection, on which one byte is said each way, and
// returns both of its ends.
func (s *segment) throughProxy(ctx context.Context, h hop, ln net.Listener) (front, back net.Conn, err error) {
	front, err = netlab.Dial(ctx, s.client(h, 0), "tcp", fmt.Sprintf("%s:%d", h.address, idlePort))
	if err != nil {
		return nil, nil, err
	}
	if back, err = ln.Accept(); err != nil {
		return nil, nil, errors.Join(err, front.Close())
	}
	for _, c := range []struct{ from, to net.Conn }{{front, back}, {back, front}} {
		if _, err := c.from.Write([]byte{0}); err != nil {
			return nil, nil, err
		}
		if _, err := c.to.Read(make([]byte, 1)); err != nil {
			return nil, nil, err
		}
	}
	return front, back, nil
}
