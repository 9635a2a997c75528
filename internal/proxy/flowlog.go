package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
)

// LogDestination is where a listener's access log goes; ok says that it keeps one.
func (l *Listener) LogDestination() (d accesslog.Destination, ok bool) {
	if l.AccessLog == nil {
		return d, false
	}
	return accesslog.Destination{
		Bucket: l.AccessLog.Bucket, Prefix: l.AccessLog.Prefix, Interval: l.AccessLog.Interval,
		Balancer: l.Balancer, Name: l.Name, Address: l.Address.Addr(),
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

// logFlow writes the access log line of a connection that has ended. target is
// the zero AddrPort when it had none.
func (s *session) logFlow(client net.Conn, target netip.AddrPort, there, back passage) {
	spool := s.route.server.opts.AccessLog
	d, ok := s.route.Listener().LogDestination()
	if spool == nil || !ok {
		return
	}
	e := accesslog.Entry{
		Time: s.activity.start, Client: s.flow.Client, Target: target, Received: there.bytes, Sent: back.bytes,
		RequestTime:  between(s.activity.start, there.moved),
		TargetTime:   between(there.moved, back.first),
		ResponseTime: between(back.first, back.moved),
	}
	if secure, ok := client.(*tls.Conn); ok {
		e.Cipher, e.TLSVersion = accesslog.TLSNames(secure.ConnectionState())
	}
	spool.Log(d, &e)
}

// between is -1 when it did not come to one of the two, and 0 when a server
// speaks first.
func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return -1
	}
	return max(to.Sub(from), 0)
}
