package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// maxAttempts is how many targets a connection is tried on. Nothing of the
// client's has been sent to those that failed.
const maxAttempts = 3

// Dial connects to a chosen target on behalf of a client: from the address that
// the pool asks for, with the PROXY header, and the TLS handshake done with the
// application protocols alpn. It returns a *net.TCPConn or a *tls.Conn.
func (r *Route) Dial(ctx context.Context, c Choice, f Flow, alpn ...string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.server.opts.ConnectTimeout)
	defer cancel()
	p := r.current.Load()
	conn, err := r.dialTCP(ctx, c, f)
	if err != nil {
		p.counters.BackendConnectionErrors.Add(1)
		return nil, fmt.Errorf("connect to target %s at %s: %w", c.Target.ID, c.Target.Addr, err)
	}
	if err := greet(conn, c.Pool.ProxyProtocol, f); err != nil {
		p.counters.BackendConnectionErrors.Add(1)
		return nil, errors.Join(fmt.Errorf("send the PROXY header to target %s at %s: %w", c.Target.ID, c.Target.Addr, err), conn.Close())
	}
	b := p.backends[c.Pool.Key]
	if b == nil {
		return conn, nil
	}
	secure, err := b.handshake(ctx, conn, alpn)
	if err != nil {
		p.counters.TargetTLSNegotiationErrors.Add(1)
		return nil, errors.Join(fmt.Errorf("negotiate TLS with target %s at %s: %w", c.Target.ID, c.Target.Addr, err), conn.Close())
	}
	return secure, nil
}

// greet sends the PROXY header. It fits into any new socket's buffer.
func greet(conn *net.TCPConn, version ProxyProtocol, f Flow) error {
	if version == NoProxyHeader {
		return nil
	}
	header, err := proxyHeader(version, f, "")
	if err != nil {
		return err
	}
	_, err = conn.Write(header)
	return err
}

func (r *Route) dialTCP(ctx context.Context, c Choice, f Flow) (*net.TCPConn, error) {
	counters := r.Counters()
	if c.Pool.KeepClientAddress {
		d, reason := transparentDialing(c.Target, f.Client)
		if reason == "" {
			conn, err := r.dialFrom(ctx, c.Target, d)
			if reason = refusedSource(err); reason == "" {
				return conn, err
			}
		}
		sourceReasons(counters)[reason].Add(1)
	}
	return r.dialFrom(ctx, c.Target, Dialing{Target: c.Target.Addr, Source: netip.AddrPortFrom(c.Pool.source(c.Target.Addr.Addr()), 0)})
}

var errTargetRules = errors.New("the target's security groups do not take connections from there")

// dialFrom asks the security groups first: what they drop is not sent.
func (r *Route) dialFrom(ctx context.Context, t *Target, d Dialing) (*net.TCPConn, error) {
	if !t.takes(d.Source.Addr()) {
		return nil, errTargetRules
	}
	return r.server.opts.Dial(ctx, d)
}

// takes says whether the target takes connections from an address; one that the
// kernel will choose is not judged.
func (t *Target) takes(source netip.Addr) bool {
	inside := func(p netip.Prefix) bool { return p.Contains(source) }
	return t.Clients == nil || !source.IsValid() || slices.ContainsFunc(t.Clients, inside)
}

// source is the load balancer's address of a target's family.
func (p *Pool) source(target netip.Addr) netip.Addr {
	if target.Is4() {
		return p.Source4
	}
	return p.Source6
}

// transparentDialing connects as the client, or says why that cannot be.
func transparentDialing(t *Target, client netip.AddrPort) (d Dialing, reason string) {
	if client.Addr().Is4() != t.Addr.Addr().Is4() {
		return d, "family"
	}
	inside := func(p netip.Prefix) bool { return p.Contains(client.Addr()) }
	if client.Addr() == t.Addr.Addr() || slices.ContainsFunc(t.Hairpin, inside) {
		return d, "hairpin"
	}
	return Dialing{Target: t.Addr, Source: client, Transparent: true}, ""
}

// refusedSource says why the kernel did not let the client's address be used,
// and is empty when that was not the problem.
func refusedSource(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "taken" // another connection to the target has the same address and port
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EINVAL):
		return "failed"
	}
	return ""
}

// connect finds a target that takes the connection, within the surge queue.
func (s *session) connect(ctx context.Context, alpn []string) (net.Conn, Choice, error) {
	defer leave(enter(&s.route.surge, &s.counters.SurgeQueueLength))
	if s.route.surge.Load() > int64(s.route.server.opts.SurgeQueue) {
		s.counters.SpilloverCount.Add(1)
		return nil, Choice{}, ErrSpillover
	}
	var tried []*Target
	var errs []error
	for len(tried) < maxAttempts && ctx.Err() == nil {
		c, ok := s.route.Pick(s.flow.Client, tried...)
		if !ok {
			break
		}
		conn, err := s.route.Dial(ctx, c, s.flow, alpn...)
		if err == nil {
			return conn, c, nil
		}
		c.Done()
		tried, errs = append(tried, c.Target), append(errs, err)
	}
	s.counters.RejectedFlowCount.Add(1)
	return nil, Choice{}, errors.Join(append([]error{ErrNoTarget}, errs...)...)
}

func enter(gauges ...*atomic.Int64) []*atomic.Int64 {
	for _, g := range gauges {
		g.Add(1)
	}
	return gauges
}

func leave(gauges []*atomic.Int64) {
	for _, g := range gauges {
		g.Add(-1)
	}
}

// serve does the client's handshake, finds a target and starts to relay.
func (s *session) serve(ctx context.Context) {
	client, err := s.greetClient()
	if err != nil {
		s.end() // without a reset: the client gets to read the alert that says why
		return
	}
	if l := s.route.Listener(); l.served() {
		s.route.server.opts.HTTP.Serve(ctx, client, s.route)
		s.end()
		return
	}
	target, choice, err := s.connect(ctx, negotiated(client))
	if err != nil {
		s.route.server.opts.Log.Debug("connection not served", "client", s.flow.Client, "listener", s.flow.Local, "error", err)
		s.logFlow(flowEnd{client: client})
		s.shut(abort)
		s.end()
		return
	}
	s.relay(client, target, choice)
}

// greetClient does the TLS handshake of a listener that has one.
func (s *session) greetClient() (net.Conn, error) {
	if !s.route.Listener().encrypted() {
		return s.client, nil
	}
	raw := newRawConn(s.client)
	c := tls.Server(raw, s.route.tls)
	if err := s.client.SetDeadline(time.Now().Add(s.route.server.opts.HandshakeTimeout)); err != nil {
		return nil, err
	}
	if err := c.Handshake(); err != nil {
		if raw.heard {
			s.counters.ClientTLSNegotiationErrors.Add(1)
		}
		s.logHandshake(c, err)
		return nil, err
	}
	raw.greeting.over()
	return c, s.client.SetDeadline(time.Time{})
}

// negotiated is the application protocol that a target has to speak, too.
func negotiated(c net.Conn) []string {
	if secure, ok := c.(*tls.Conn); ok {
		if p := secure.ConnectionState().NegotiatedProtocol; p != "" {
			return []string{p}
		}
	}
	return nil
}
