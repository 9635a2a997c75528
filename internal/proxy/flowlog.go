package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// LogDestination is where a listener's access log goes; ok says that it keeps one.
func (l *Listener) LogDestination() (d accesslog.Destination, ok bool) {
	if l.AccessLog == nil {
		return d, false
	}
	return accesslog.Destination{
		Bucket: l.AccessLog.Bucket, Prefix: l.AccessLog.Prefix, Interval: l.AccessLog.Interval,
		Balancer: l.Balancer, Address: l.Address.Addr(),
	}, true
}

// flowEnd is what is known of a connection that has ended.
type flowEnd struct {
	client, target net.Conn // nil in a loop; target is nil when it had none, too
	address        netip.AddrPort
	there, back    loop.Passage
	err            error // what ended the client's side
}

// notServed tells of a connection that no target has got.
func (r *Route) notServed(client netip.AddrPort, err error) {
	r.server.opts.Log.Debug("connection not served", "client", client, "listener", r.current.Load().Address, "error", err)
}

// log is where lines about connections go, if anywhere.
func (r *Route) log() (spool *accesslog.Spool, d accesslog.Destination, ok bool) {
	d, ok = r.Listener().LogDestination()
	spool = r.server.opts.AccessLog
	return spool, d, ok && spool != nil
}

// logFlow writes the access log line of a connection that has ended.
func (s *session) logFlow(end flowEnd) {
	if s.route.Listener().Protocol != lb.TLS {
		s.route.logFlow(s.activity.start, s.flow.Client, end)
		return
	}
	spool, d, ok := s.route.log()
	if secure, speaks := end.client.(*tls.Conn); ok && speaks { // otherwise it came before the listener spoke TLS
		spool.Log(d, s.tlsEntry(secure, end))
	}
}

// logFlow writes the line of a Classic Load Balancer.
func (r *Route) logFlow(start time.Time, client netip.AddrPort, end flowEnd) {
	spool, d, ok := r.log()
	if !ok || r.Listener().Protocol == lb.TLS {
		return
	}
	e := &accesslog.Entry{
		Time: start, Client: client, Target: end.address, Received: end.there.Bytes, Sent: end.back.Bytes,
		RequestTime:  between(start, end.there.Moved),
		TargetTime:   between(end.there.Moved, end.back.First),
		ResponseTime: between(end.back.First, end.back.Moved),
	}
	if secure, ok := end.client.(*tls.Conn); ok {
		e.Cipher, e.TLSVersion = accesslog.TLSNames(secure.ConnectionState())
	}
	spool.Log(d, e)
}

// between is -1 when it did not come to one of the two, and 0 when a server
// speaks first.
func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return -1
	}
	return max(to.Sub(from), 0)
}
