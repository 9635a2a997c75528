package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
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

// passage is what one direction of a connection carried, for the access log.
type passage struct {
	bytes        int64
	first, moved time.Time // when the first piece came, and when it had been passed on
}

func (p *passage) came(n int) {
	if p.bytes += int64(n); p.first.IsZero() {
		p.first = time.Now()
	}
}

func (p *passage) passed() {
	if p.moved.IsZero() {
		p.moved = time.Now()
	}
}

// flowEnd is what is known of a connection that has ended.
type flowEnd struct {
	client, target net.Conn // target is nil when it had none
	address        netip.AddrPort
	there, back    passage
	err            error // what ended the client's side
}

// logFlow writes the access log line of a connection that has ended.
func (s *session) logFlow(end flowEnd) {
	l, spool := s.route.Listener(), s.route.server.opts.AccessLog
	d, ok := l.LogDestination()
	if spool == nil || !ok {
		return
	}
	if l.Protocol != lb.TLS {
		spool.Log(d, s.entry(end))
		return
	}
	if secure, ok := end.client.(*tls.Conn); ok { // otherwise it came before the listener spoke TLS
		spool.Log(d, s.tlsEntry(secure, end))
	}
}

// entry is the line of a Classic Load Balancer.
func (s *session) entry(end flowEnd) *accesslog.Entry {
	e := &accesslog.Entry{
		Time: s.activity.start, Client: s.flow.Client, Target: end.address, Received: end.there.bytes, Sent: end.back.bytes,
		RequestTime:  between(s.activity.start, end.there.moved),
		TargetTime:   between(end.there.moved, end.back.first),
		ResponseTime: between(end.back.first, end.back.moved),
	}
	if secure, ok := end.client.(*tls.Conn); ok {
		e.Cipher, e.TLSVersion = accesslog.TLSNames(secure.ConnectionState())
	}
	return e
}

// between is -1 when it did not come to one of the two, and 0 when a server
// speaks first.
func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return -1
	}
	return max(to.Sub(from), 0)
}
