package nginx

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyTimeout is how long a new connection may be silent before it counts as
// one without a PROXY header. Clients of HTTP speak first.
const proxyTimeout = time.Second

// withProxy reads PROXY headers, version 1 or 2, of connections that begin with
// one. A real server must be told to expect them and from whom; this one shows
// what arrives.
func withProxy(l net.Listener) net.Listener {
	return &proxyproto.Listener{
		Listener: l, ReadHeaderTimeout: proxyTimeout,
		ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.USE, nil },
	}
}

type connKey struct{}

// withConn lets handlers reach the connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// peerOf is the other end of the request's connection, and the client that a
// PROXY header names, if one came.
func peerOf(r *http.Request) (peer, client netip.AddrPort) {
	c, ok := r.Context().Value(connKey{}).(*proxyproto.Conn)
	if !ok || c.ProxyHeader() == nil {
		return addrPort(r.RemoteAddr), netip.AddrPort{}
	}
	return addrPort(c.Raw().RemoteAddr().String()), addrPort(c.RemoteAddr().String())
}
