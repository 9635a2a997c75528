package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// Server serves what the last Config says.
type Server struct {
	opts    Options
	loops   *loop.Group
	buffers sync.Pool // of *buffer
	batches batches
	metrics *metrics
	open    atomic.Int64   // clients' connections
	work    sync.WaitGroup // accept loops and connections

	mu         sync.Mutex
	stopped    bool
	handedOver bool // a successor has the sockets
	routes     map[netip.AddrPort]*Route
	failed     map[netip.AddrPort]error // of the last Apply
}

// errStopped is Apply's answer once Run has ended.
var errStopped = errors.New("the proxy has stopped")

// New returns a server without listeners. Its metrics are registered, or the
// error says why not.
func New(opts Options) (*Server, error) {
	s := &Server{
		opts:   opts.withDefaults(),
		routes: map[netip.AddrPort]*Route{}, failed: map[netip.AddrPort]error{},
	}
	s.loops = loop.New(loop.Options{Log: s.opts.Log, Loops: s.opts.Loops, ConnectTimeout: s.opts.ConnectTimeout})
	s.buffers.New = func() any { return new(buffer) }
	s.metrics = newMetrics()
	if opts.Metrics != nil {
		if err := opts.Metrics.Register(s.metrics); err != nil {
			return nil, fmt.Errorf("register the proxy's metrics: %w", err)
		}
	}
	return s, nil
}

// Apply makes the listeners what cfg says: new ones accept connections when it
// returns, removed ones are closed with their connections, all others keep
// their sockets and serve new connections by the new configuration. The first
// Apply takes the sockets of Options.Inherited.
//
// The error joins those of all listeners that could not be made so. A listener
// that exists already keeps its last configuration then, one that could not
// bind is tried again by the next Apply, and the others are not affected.
func (s *Server) Apply(ctx context.Context, cfg Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errStopped
	}
	clear(s.failed)
	wanted := map[netip.AddrPort]bool{}
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		err := errDuplicate
		if !wanted[l.Address] {
			err = s.applyListener(ctx, *l)
		}
		if err != nil {
			s.failed[l.Address] = errors.Join(s.failed[l.Address], fmt.Errorf("listener %s of %s: %w", l.Address, l.Balancer, err))
		}
		wanted[l.Address] = true
	}
	for at, r := range s.routes {
		if !wanted[at] {
			r.close()
			delete(s.routes, at)
		}
	}
	s.metrics.keepOnly(s.routes)
	return errors.Join(joined(s.failed), s.opts.Inherited.settle())
}

var errDuplicate = errors.New("the address and port are another listener's already")

func (s *Server) applyListener(ctx context.Context, l Listener) error {
	if l.served() && s.opts.HTTP == nil {
		return fmt.Errorf("nothing serves protocol %s here", l.Protocol)
	}
	r := s.routes[l.Address]
	p, err := newPlan(l, r, s.metrics)
	if err != nil {
		return err
	}
	if r != nil {
		return r.set(p)
	}
	socket, err := s.listen(ctx, l.Address)
	if err != nil {
		return err
	}
	if r, err = newRoute(s, socket, p); err != nil {
		return errors.Join(err, socket.Close())
	}
	s.routes[l.Address] = r
	return nil
}

func joined(failed map[netip.AddrPort]error) error {
	var errs []error
	for _, at := range sortedKeys(failed) {
		errs = append(errs, failed[at])
	}
	return errors.Join(errs...)
}

func sortedKeys[V any](m map[netip.AddrPort]V) []netip.AddrPort {
	keys := make([]netip.AddrPort, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, netip.AddrPort.Compare)
	return keys
}

// Run serves until ctx ends, then accepts no more, lets connections finish for
// Options.DrainTimeout, or Options.HandoverTimeout when a successor has the
// sockets, and closes the rest. It returns when all are gone; a Server runs once.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	patience := s.retire()
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	drained := time.NewTimer(patience)
	defer drained.Stop()
	select {
	case <-done:
	case <-drained.C:
		s.CloseConnections()
		<-done
	}
	s.loops.Stop()
	return ctx.Err()
}

// retire stops accepting, and says how long connections may go on.
func (s *Server) retire() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	if s.handedOver {
		return s.opts.HandoverTimeout
	}
	return s.opts.DrainTimeout
}

// stop accepts no more; the caller holds mu.
func (s *Server) stop() {
	s.stopped = true
	for _, r := range s.routes {
		r.retire()
	}
	s.opts.Inherited.close()
}

// CloseConnections ends all listeners and connections.
func (s *Server) CloseConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.routes {
		r.close()
	}
}

// ListenerState is how a listener is.
type ListenerState struct {
	Address     netip.AddrPort `json:"address"`
	Balancer    string         `json:"balancer"`
	Protocol    string         `json:"protocol"`
	Connections int            `json:"connections"`
	Error       string         `json:"error,omitempty"` // of the last Apply
}

// State lists all listeners, also those that could not bind, by address.
func (s *Server) State() []ListenerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []ListenerState
	for at, r := range s.routes {
		p := r.current.Load()
		all = append(all, ListenerState{Address: at, Balancer: p.Balancer, Protocol: string(p.Protocol), Connections: r.connections()})
	}
	for at, err := range s.failed {
		i := slices.IndexFunc(all, func(l ListenerState) bool { return l.Address == at })
		if i < 0 {
			all = append(all, ListenerState{Address: at})
			i = len(all) - 1
		}
		all[i].Error = err.Error()
	}
	slices.SortFunc(all, func(a, b ListenerState) int { return a.Address.Compare(b.Address) })
	return all
}
