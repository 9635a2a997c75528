package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// Every connection asks once in a period, and waits no longer than patience: a
// restart of anything must not be felt longer.
const (
	period   = 5 * time.Second
	patience = 10 * time.Second
)

// crowd is the connections that are held.
type crowd struct {
	stop    context.CancelFunc
	working sync.WaitGroup

	mu   sync.Mutex
	held held
}

// held is what became of them.
type held struct {
	open      int
	requests  int
	latencies []time.Duration
	lost      []error
}

// gather opens all connections from a namespace; every one has been answered
// once when it returns.
func gather(ctx context.Context, namespace, address string, count int) (*crowd, error) {
	ctx, stop := context.WithCancel(ctx)
	c := &crowd{stop: stop}
	for i := range count {
		p, err := join(ctx, namespace, address)
		if err != nil {
			stop()
			return nil, fmt.Errorf("open connection %d of %d: %w", i+1, count, err)
		}
		offset := period * time.Duration(i) / time.Duration(count)
		c.held.open++
		c.working.Go(func() { c.hold(ctx, p, offset) })
	}
	return c, nil
}

// hold keeps asking until ctx ends or the connection is lost.
func (c *crowd) hold(ctx context.Context, p *peer, offset time.Duration) {
	defer p.conn.Close()
	wait := time.NewTimer(offset)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		start := time.Now()
		err := p.ask()
		c.note(time.Since(start), err)
		if err != nil {
			return
		}
		wait.Reset(period)
	}
}

func (c *crowd) note(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.held.open--
		c.held.lost = append(c.held.lost, err)
		progress("lost: %v", err)
		return
	}
	c.held.requests++
	c.held.latencies = append(c.held.latencies, took)
}

// end lets go of all connections and tells what became of them.
func (c *crowd) end() held {
	c.stop()
	c.working.Wait()
	slices.Sort(c.held.latencies)
	return c.held
}

// peer is one connection and the pod at its other end.
type peer struct {
	conn net.Conn
	in   *bufio.Reader
	pod  string
}

func join(ctx context.Context, namespace, address string) (*peer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := netlab.Dial(ctx, namespace, "tcp", address)
	if err != nil {
		return nil, err
	}
	p := &peer{conn: conn, in: bufio.NewReaderSize(conn, 1024)}
	if err := p.ask(); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

// ask sends one request; the same pod must answer as before.
func (p *peer) ask() error {
	if err := p.exchange(); err != nil {
		return fmt.Errorf("%s to pod %s: %w", p.conn.LocalAddr(), p.pod, err)
	}
	return nil
}

func (p *peer) exchange() error {
	if err := p.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(p.conn, "GET /?format=json HTTP/1.1\r\nHost: soak\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(p.in, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Pod string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if answer.Pod == "" || p.pod != "" && answer.Pod != p.pod {
		return errors.New("pod " + answer.Pod + " answered")
	}
	p.pod = answer.Pod
	return nil
}
