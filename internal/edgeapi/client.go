package edgeapi

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
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

	// expiryWarning is how long before its end a certificate is worth a warning.
	expiryWarning = 30 * 24 * time.Hour
)

// ClientConfig says where the engine is and who the edge is.
type ClientConfig struct {
	Engine      string // host:port
	Zone        string
	IdentityDir string // as Identity.Write fills it; read again for each connection
	Log         *slog.Logger
}

// Client is a Link to an engine across the network. It reconnects for as long
// as it runs; connections it makes are TLS 1.3 with certificates both ways.
type Client struct {
	cfg       ClientConfig
	connected atomic.Bool
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
	if left := time.Until(cert.NotAfter); left < expiryWarning {
		cfg.Log.Warn("the edge's certificate ends soon: issue a new one into the same directory", "notAfter", cert.NotAfter)
	}
	return &Client{cfg: cfg}, nil
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
		if time.Since(started) > settled {
			backoff = firstBackoff
		}
		wait := jitter(backoff)
		c.cfg.Log.Warn("no session with the engine; forwarding goes on", "engine", c.cfg.Engine, "error", err, "retryIn", wait)
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
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
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
	go func() { failed <- c.report(ctx, cancel, stream, out) }()
	err = c.receive(stream, onSnapshot)
	cancel()
	return cmp.Or(<-failed, err)
}

func (c *Client) receive(stream grpc.ClientStream, onSnapshot func(lb.ZoneSnapshot)) error {
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
	}
}

// report sends everything that is known, then changes as they come. An error of
// its own ends the stream through end; io.EOF means that the stream has ended
// already, and the receiving side is told why.
func (c *Client) report(ctx context.Context, end func(), stream grpc.ClientStream, out *Outbox) error {
	report, pending := out.takeFull(), true
	for {
		if pending {
			err := stream.SendMsg(&edgeMessage{Health: &report})
			switch {
			case errors.Is(err, io.EOF), ctx.Err() != nil:
				return nil
			case err != nil:
				end()
				return fmt.Errorf("send a health report: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-out.ready:
			report, pending = out.takeChanged()
		}
	}
}

func (c *Client) dial() (*grpc.ClientConn, error) {
	id, err := ReadIdentity(c.cfg.IdentityDir)
	if err != nil {
		return nil, err
	}
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

// leaf parses the edge's certificate.
func (id Identity) leaf() (*x509.Certificate, error) {
	block, _ := pem.Decode(id.Cert)
	if block == nil {
		return nil, fmt.Errorf("parse the edge's %s: it holds no certificate", certFile)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse the edge's %s: %w", certFile, err)
	}
	return cert, nil
}
