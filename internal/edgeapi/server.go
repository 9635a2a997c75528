package edgeapi

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/mailbox"
)

const (
	serviceName = "fairlead.edge.v1.Engine"
	connectName = "Connect"

	maxConnections = 1024
)

// Server is the engine's end of its edges' streams.
type Server struct {
	source    Source
	authority *Authority
	log       *slog.Logger
	sessions  sessions
	grpc      *grpc.Server
}

// NewServer returns a server that speaks for source and trusts the edges that
// authority issued identities for.
func NewServer(source Source, authority *Authority, log *slog.Logger) (*Server, error) {
	tlsConfig, err := authority.serverTLS()
	if err != nil {
		return nil, err
	}
	s := &Server{source: source, authority: authority, log: log, sessions: newSessions()}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(tlsConfig)),
		grpc.ForceServerCodec(jsonCodec{}),
		grpc.MaxRecvMsgSize(maxReportBytes),
		grpc.MaxSendMsgSize(maxSnapshotBytes),
		grpc.MaxConcurrentStreams(2), // an edge uses one; its next may overlap
		grpc.ConnectionTimeout(helloTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
	)
	s.grpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName,
		Streams: []grpc.StreamDesc{{
			StreamName:    connectName,
			Handler:       func(_ any, stream grpc.ServerStream) error { return s.connect(stream) },
			ServerStreams: true,
			ClientStreams: true,
		}},
	}, nil)
	return s, nil
}

// Serve accepts edges on ln until ctx ends; then it closes ln and every stream
// and returns nil. A Server serves once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.authority.revoked.follow(ctx, s.log) })
	group.Go(func() error {
		stop := context.AfterFunc(ctx, s.grpc.Stop)
		defer stop()
		err := s.grpc.Serve(netutil.LimitListener(ln, maxConnections))
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("serve edges: %w", err)
	})
	return group.Wait()
}

// connect serves one stream: who is it, then one session.
func (s *Server) connect(stream grpc.ServerStream) error {
	cert, zone, err := peerIdentity(stream.Context())
	if err == nil {
		_, err = s.authority.revoked.check(cert, zone)
	}
	if err != nil {
		s.log.Warn("edge refused", "zone", zone, "error", err)
		return status.Error(codes.Unauthenticated, err.Error())
	}
	messages := receive(stream, zone)
	if err := expectHello(stream.Context(), messages, zone); err != nil {
		s.log.Warn("edge refused", "zone", zone, "error", err)
		return err
	}
	ctx, leave := s.sessions.enter(stream.Context(), zone)
	defer leave()
	ctx, stop := s.authority.revoked.while(ctx, cert, zone)
	defer stop()
	snapshots, cancel, err := s.source.Watch(zone)
	if err != nil {
		s.log.Warn("edge refused", "zone", zone, "error", err)
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	defer s.source.Disconnected(zone)
	defer cancel()
	s.log.Info("edge connected", "zone", zone)
	err = s.session(ctx, stream, messages, snapshots)
	s.log.Info("edge disconnected", "zone", zone, "error", err)
	return err
}

// session moves snapshots out and reports in until either end has enough.
func (s *Server) session(ctx context.Context, stream grpc.ServerStream, messages <-chan received, snapshots <-chan lb.ZoneSnapshot) error {
	out, failed := outgoing{mailbox.New[lb.ZoneSnapshot](), mailbox.New[renewedIdentity]()}, make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() { failed <- out.send(stream, done) }()
	for {
		select {
		case <-ctx.Done():
			return status.Error(codes.Aborted, context.Cause(ctx).Error())
		case err := <-failed:
			return err
		case snapshot, ok := <-snapshots:
			if !ok {
				return status.Error(codes.Unavailable, "the engine ended the session")
			}
			out.snapshots.Put(snapshot)
		case m := <-messages:
			if err := s.take(m, out); err != nil {
				return err
			}
		}
	}
}

// outgoing is what waits to be sent to one edge.
type outgoing struct {
	snapshots  mailbox.Newest[lb.ZoneSnapshot]
	identities mailbox.Newest[renewedIdentity]
}

// send writes to the stream; a slow edge misses all but the newest.
func (o outgoing) send(stream grpc.ServerStream, done <-chan struct{}) error {
	for {
		var m engineMessage
		select {
		case <-done:
			return nil
		case snapshot := <-o.snapshots.C:
			m.Snapshot = &snapshot
		case identity := <-o.identities.C:
			m.Identity = &identity
		}
		if err := stream.SendMsg(&m); err != nil {
			return err
		}
	}
}

// take hands a report to the source, and issues the identity that the edge asks
// for.
func (s *Server) take(m received, out outgoing) error {
	switch {
	case m.err != nil:
		return m.err
	case m.message.Renew != nil:
		id, err := s.authority.renew(m.zone, m.message.Renew.CSR)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		s.log.Info("edge's identity renewed", "zone", m.zone, "validity", EdgeValidity)
		out.identities.Put(renewedIdentity{CA: string(id.CA), Cert: string(id.Cert)})
		return nil
	case m.message.Health == nil:
		return nil // of a newer edge: what we do not know we do not need
	case m.message.Health.Zone != m.zone:
		return status.Errorf(codes.PermissionDenied, "the edge of zone %s reports for zone %q", m.zone, m.message.Health.Zone)
	}
	s.source.Report(*m.message.Health)
	return nil
}

// received is one message of an edge, or the error that ended its stream.
type received struct {
	zone    string
	message edgeMessage
	err     error
}

// receive reads a stream in the background. Its goroutine ends with the stream's
// handler, which ends the stream's context.
func receive(stream grpc.ServerStream, zone string) <-chan received {
	messages := make(chan received)
	go func() {
		for {
			m := received{zone: zone}
			m.err = stream.RecvMsg(&m.message)
			select {
			case messages <- m:
			case <-stream.Context().Done():
				return
			}
			if m.err != nil {
				return
			}
		}
	}()
	return messages
}

func expectHello(ctx context.Context, messages <-chan received, zone string) error {
	late := time.NewTimer(helloTimeout)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-late.C:
		return status.Error(codes.DeadlineExceeded, "the edge named no zone in time")
	case m := <-messages:
		switch {
		case m.err != nil:
			return m.err
		case m.message.Hello == nil:
			return status.Error(codes.InvalidArgument, "the first message names no zone")
		case m.message.Hello.Zone != zone:
			return status.Errorf(codes.PermissionDenied,
				"the certificate is for zone %s, the edge asks for zone %q", zone, m.message.Hello.Zone)
		}
		return nil
	}
}

// peerIdentity returns the certificate that the edge proved to hold, and its zone.
func peerIdentity(ctx context.Context) (*x509.Certificate, string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, "", errors.New("the connection has no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil, "", errors.New("the edge showed no certificate")
	}
	cert := info.State.VerifiedChains[0][0]
	zone, err := zoneOf(cert)
	return cert, zone, err
}
