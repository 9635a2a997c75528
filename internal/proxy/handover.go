package proxy

import (
	"context"
	"net"
	"net/netip"
)

// inherited is a listening socket of the process before.
type inherited struct{ socket net.Listener }

func (i *inherited) close() { _ = i.socket.Close() }

// listen returns the socket of the process before for an address, or a new one.
func (s *Server) listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	if in := s.inherited[at]; in != nil {
		delete(s.inherited, at)
		return in.socket, nil
	}
	return s.opts.Listen(ctx, at)
}
