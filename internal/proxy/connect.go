package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

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
	way := approach{choice: c, client: f.Client, counters: r.Counters()}
	d, err := way.next(nil)
	for err == nil {
		conn, failed := dial(ctx, d)
		if failed == nil {
			return conn, nil
		}
		d, err = way.next(failed)
	}
	return nil, err
}

// connect finds a target that takes the connection.
func (s *session) connect(ctx context.Context, alpn []string) (net.Conn, Choice, error) {
	search := search{route: s.route, counters: s.counters, client: s.flow.Client}
	if err := search.begin(); err != nil {
		return nil, Choice{}, err
	}
	defer search.end()
	for {
		c, err := search.next(s.route.current.Load())
		if err != nil {
			return nil, Choice{}, err
		}
		conn, err := s.route.Dial(ctx, c, s.flow, alpn...)
		if err == nil {
			return conn, c, nil
		}
		search.failed(c, err)
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
		s.route.notServed(s.flow.Client, err)
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
