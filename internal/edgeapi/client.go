package edgeapi

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 10 * time.Second

	// settled is how long a session must last for the next loss to be a new
	// trouble rather than the same one.
	settled = 30 * time.Second
)

// ClientConfig says where the engine is and who the edge is.
type ClientConfig struct {
	Engine      string // host:port
	Zone        string
	IdentityDir string // as Identity.Write fills it; read again for each connection, and written when it is renewed
	Log         *slog.Logger
}

// Client is a Link to an engine across the network. It reconnects for as long
// as it runs; connections it makes are TLS 1.3 with certificates both ways.
type Client struct {
	cfg          ClientConfig
	connected    atomic.Bool
	renewalPause time.Duration // how old a session has to be for a renewal
}

// NewClient returns a client that connects when it runs. It fails when the
// identity is missing or for another zone, because no retry would mend that.
func NewClient(cfg ClientConfig) (*Client, error) {
	id, err := ReadIdentity(cfg.IdentityDir)
	if err != nil {
		return nil, err
	}
	cert, err := id.leaf()
	if err != nil {
		return nil, err
	}
	zone, err := zoneOf(cert)
	if err != nil {
		return nil, fmt.Errorf("the identity in %s: %w", cfg.IdentityDir, err)
	}
	if zone != cfg.Zone {
		return nil, fmt.Errorf("the identity in %s is for zone %s, not for zone %s", cfg.IdentityDir, zone, cfg.Zone)
	}
	return &Client{cfg: cfg, renewalPause: renewalRetry}, nil
}

// Connected implements Link.
func (c *Client) Connected() bool { return c.connected.Load() }

// Run implements Link.
func (c *Client) Run(ctx context.Context, out *Outbox, onSnapshot func(lb.ZoneSnapshot)) error {
	backoff := firstBackoff
	for {
		started := time.Now()
		err := c.session(ctx, out, onSnapshot)
		c.connected.Store(false)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errRenewed) {
			c.cfg.Log.Info("the edge's identity was renewed", "identity", c.cfg.IdentityDir)
			continue
		}
		if time.Since(started) > settled {
			backoff = firstBackoff
		}
		wait := jitter(backoff)
		c.cfg.Log.Warn("no session with the engine; forwarding goes on", "engine", c.cfg.Engine, "error", err, "retryIn", wait.Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// jitter spreads the edges' returns after an engine's restart over time.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// session connects and serves until something ends it. Each connection reads the
// identity anew, so that a renewed certificate needs no restart.
func (c *Client) session(ctx context.Context, out *Outbox, onSnapshot func(lb.ZoneSnapshot)) error {
	id, cert, err := c.identity()
	if err != nil {
		return err
	}
	conn, err := c.dial(id)
	if err != nil {
		return err
	}
	defer conn.Close()
	renewal := newRenewal(c.cfg.IdentityDir, cert, c.renewalPause)
	defer renewal.due.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{StreamName: connectName, ServerStreams: true, ClientStreams: true},
		"/"+serviceName+"/"+connectName)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&edgeMessage{Hello: &hello{Zone: c.cfg.Zone}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		err := c.report(ctx, stream, out, renewal)
		if err != nil {
			cancel() // without its reports the session has no use
		}
		failed <- err
	}()
	err = c.receive(stream, onSnapshot, renewal)
	cancel()
	return cmp.Or(<-failed, err)
}

// identity reads the edge's identity and warns when its end is near: it should
// have been renewed by then.
func (c *Client) identity() (Identity, *x509.Certificate, error) {
	id, err := ReadIdentity(c.cfg.IdentityDir)
	if err != nil {
		return id, nil, err
	}
	cert, err := id.leaf()
	if err == nil && time.Now().After(warnAt(cert)) {
		c.cfg.Log.Warn("the edge's certificate ends soon and was not renewed: issue a new one into its directory",
			"notAfter", cert.NotAfter, "identity", c.cfg.IdentityDir)
	}
	return id, cert, err
}

func (c *Client) receive(stream grpc.ClientStream, onSnapshot func(lb.ZoneSnapshot), renewal *renewal) error {
	for {
		var m engineMessage
		if err := stream.RecvMsg(&m); err != nil {
			return err
		}
		if !c.connected.Swap(true) {
			c.cfg.Log.Info("session with the engine", "engine", c.cfg.Engine)
		}
		if m.Snapshot != nil {
			onSnapshot(*m.Snapshot)
		}
		if m.Identity != nil {
			err := renewal.accept(*m.Identity)
			if err == nil {
				return errRenewed
			}
			c.cfg.Log.Warn("the renewed identity is not kept", "identity", c.cfg.IdentityDir, "error", err)
		}
	}
}

// report sends everything that is known, then changes as they come, and asks for
// a new identity when that is due. It returns nil when the stream has ended: the
// receiving side is told why.
func (c *Client) report(ctx context.Context, stream grpc.ClientStream, out *Outbox, renewal *renewal) error {
	health := out.takeFull()
	m := &edgeMessage{Health: &health}
	for {
		err := stream.SendMsg(m)
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil //nolint:nilerr // the receiving side is told why
		case err != nil:
			return fmt.Errorf("send to the engine: %w", err)
		}
		if m, err = next(ctx, out, renewal); m == nil {
			return err
		}
	}
}

// next waits for what there is to send; nil when ctx ends.
func next(ctx context.Context, out *Outbox, renewal *renewal) (*edgeMessage, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-out.ready:
			if health, pending := out.takeChanged(); pending {
				return &edgeMessage{Health: &health}, nil
			}
		case <-renewal.due.C:
			request, err := renewal.request()
			if err != nil {
				return nil, err
			}
			return &edgeMessage{Renew: request}, nil
		}
	}
}

func (c *Client) dial(id Identity) (*grpc.ClientConn, error) {
	tlsConfig, err := id.clientTLS()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient("passthrough:///"+c.cfg.Engine,
		grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig)),
		grpc.WithNoProxy(), // the engine is on the network that the edge serves
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(jsonCodec{}),
			grpc.MaxCallRecvMsgSize(maxSnapshotBytes),
			grpc.MaxCallSendMsgSize(maxReportBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
	)
}
