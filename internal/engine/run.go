package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fairlead-lb/fairlead/internal/dns"
	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/ops"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// shutdownGrace is how long calls under way may take when the engine is told to
// stop.
const shutdownGrace = 5 * time.Second

// Listeners are the addresses that an engine serves on.
type Listeners struct {
	API     string
	Edges   string
	DNS     string      // empty: none
	Metrics string      // empty: none
	TLS     *tls.Config // nil: plain HTTP
}

// Run serves until ctx ends, then finishes the calls under way and returns nil.
// It does not close the engine.
func (e *Engine) Run(ctx context.Context, l Listeners, gatherer prometheus.Gatherer) error {
	sockets, err := e.open(l, gatherer)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, serve := range sockets {
		group.Go(func() error { return serve(ctx) })
	}
	group.Go(func() error { return e.background(ctx) })
	return group.Wait()
}

// background follows the files and the state until ctx ends.
func (e *Engine) background(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.network.follow(ctx) })
	group.Go(func() error { return e.directory.Watch(ctx) })
	group.Go(func() error { e.publisher.follow(ctx, e.db, e.network); return nil })
	group.Go(func() error { e.renewCertificates(ctx); return nil })
	group.Go(func() error { e.lag.Follow(ctx); return nil })
	group.Go(func() error { registrar{e.db, e.Logger}.run(ctx); return nil })
	group.Go(func() error { drainer{e.db, e.Logger}.run(ctx); return nil })
	return group.Wait()
}

// endpoint is a TCP address and what serves it.
type endpoint struct {
	what, address string // no address: not served
	serve         func(context.Context, net.Listener) error
}

// open opens every socket before any is served, so that an address in use is
// reported at once and nothing is half up.
func (e *Engine) open(l Listeners, gatherer prometheus.Gatherer) (serve []func(context.Context) error, err error) {
	var opened []io.Closer
	defer func() {
		if err != nil {
			for _, c := range opened {
				_ = c.Close()
			}
		}
	}()
	edges, err := e.edgeServer()
	if err != nil {
		return nil, err
	}
	metrics := ops.Endpoints{Metrics: gatherer, Ready: e.Ready, State: func() any { return e.belief() }}.Handler()
	for _, p := range []endpoint{
		{"the API", l.API, func(ctx context.Context, ln net.Listener) error { return e.serveAPI(ctx, ln, l.TLS) }},
		{"edges", l.Edges, edges.Serve},
		{"metrics", l.Metrics, func(ctx context.Context, ln net.Listener) error { return ops.Serve(ctx, ln, metrics) }},
	} {
		if p.address == "" {
			continue
		}
		ln, err := net.Listen("tcp", p.address)
		if err != nil {
			return nil, fmt.Errorf("listen for %s: %w", p.what, err)
		}
		opened = append(opened, ln)
		e.Logger.Info("listening", "for", p.what, "address", ln.Addr().String())
		serve = append(serve, func(ctx context.Context) error { return p.serve(ctx, ln) })
	}
	if l.DNS != "" {
		serveDNS, err := e.openDNS(l.DNS)
		if err != nil {
			return nil, err
		}
		serve = append(serve, serveDNS)
	}
	return serve, nil
}

func (e *Engine) edgeServer() (*edgeapi.Server, error) {
	authority, err := edgeapi.OpenAuthority(e.StateDir)
	if err != nil {
		return nil, err
	}
	return edgeapi.NewServer(e.Source(), authority, e.Logger)
}

func (e *Engine) openDNS(address string) (func(context.Context) error, error) {
	server, err := dns.NewServer(dns.Config{Zones: []string{"elb." + e.Region + ".amazonaws.com", e.Region + ".elb.amazonaws.com"}, Resolver: e, Log: e.Logger})
	if err != nil {
		return nil, err
	}
	udp, tcp, err := dns.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	e.Logger.Info("listening", "for", "DNS", "address", udp.LocalAddr().String())
	return func(ctx context.Context) error { return server.Serve(ctx, udp, tcp) }, nil
}

func (e *Engine) serveAPI(ctx context.Context, ln net.Listener, config *tls.Config) error {
	server := wire.NewServer(e.handler, e.Logger)
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	finished := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { finished <- shutDown(server) })
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serve the API: %w", err)
	}
	return <-finished
}

// shutDown lets the calls under way finish, within bounds.
func shutDown(server *http.Server) error {
	grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}
