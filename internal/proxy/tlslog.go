package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
)

// greeting is what the access log of a TLS listener tells of a handshake.
type greeting struct {
	serverName  string    // that the client asked for
	offered     []string  // the client's application protocols; nil when the listener has none
	certificate string    // ARN
	done        time.Time // when the handshake was over
}

// note keeps what a client says, for the access log.
func (p *plan) note(hello *tls.ClientHelloInfo) {
	if p.AccessLog == nil || p.Protocol != lb.TLS {
		return
	}
	g := &greeting{serverName: hello.ServerName}
	if len(p.TLS.ALPN) > 0 {
		g.offered = hello.SupportedProtos
	}
	// Also of a resumed session, to which none is sent: AWS's guide has one
	// whenever the hello was valid.
	if chosen, err := p.certs.choose(hello); err == nil {
		g.certificate = p.certs.arns[chosen]
	}
	hello.Conn.(*rawConn).greeting = g
}

func (g *greeting) over() {
	if g != nil {
		g.done = time.Now()
	}
}

// logHandshake writes the line of a connection whose handshake failed; Classic
// Load Balancers write none.
func (s *session) logHandshake(client *tls.Conn, err error) {
	if s.route.Listener().Protocol == lb.TLS {
		s.logFlow(flowEnd{client: client, err: err})
	}
}

// tlsEntry is the line of a Network Load Balancer.
func (s *session) tlsEntry(client *tls.Conn, end flowEnd) *accesslog.TLSEntry {
	g := client.NetConn().(*rawConn).greeting
	if g == nil { // it never said hello, or no log was kept then
		g = &greeting{}
	}
	e := &accesslog.TLSEntry{
		Start: s.activity.start, End: time.Now(), Listener: s.route.Listener().ARN,
		Client: s.flow.Client, Destination: s.flow.Local, Handshake: between(s.activity.start, g.done),
		Received: end.there.Bytes, Sent: end.back.Bytes, Alert: alertOf(end.err),
		CertificateARN: g.certificate, ServerName: g.serverName, Offered: g.offered,
	}
	if state := client.ConnectionState(); state.HandshakeComplete {
		e.Cipher, e.TLSVersion = accesslog.TLSNames(state)
		e.Protocol = state.NegotiatedProtocol
	}
	if target, ok := end.target.(*tls.Conn); ok {
		e.TargetProtocol = target.ConnectionState().NegotiatedProtocol
	}
	return e
}

// alertOf is the alert that ended a TLS connection, if the peer sent one.
// crypto/tls wraps it as a number of a type that it keeps to itself.
func alertOf(err error) uint8 {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return 0
	}
	if v := reflect.ValueOf(remote.Err); v.Kind() == reflect.Uint8 {
		return uint8(v.Uint())
	}
	return 0
}
