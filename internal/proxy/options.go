package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
)

// Options are what a Server is made of. The zero value of a field that has a
// default stands for the default.
type Options struct {
	Log     *slog.Logger          // default: none
	Metrics prometheus.Registerer // nil: nothing is registered

	// Listen binds a listener's address. Default: Listen of this package.
	Listen func(context.Context, netip.AddrPort) (*net.TCPListener, error)

	// Inherited are the sockets of the process before, which TakeSockets returned.
	Inherited *Inheritance

	// HTTP serves the connections of HTTP and HTTPS listeners; nil: there are none.
	HTTP Handler

	// AccessLog takes the lines of TCP, SSL and TLS listeners that keep access
	// logs; nil: nobody does.
	AccessLog *accesslog.Spool

	// Loops is how many event loops carry plain TCP. Default: one for each
	// processor that Go uses. A loop that waits keeps one of these to itself until
	// the scheduler takes it away, again and again, so let Go use one more.
	Loops int

	// MaxConnections of clients at a time, over all listeners; more are reset
	// and counted as rejected. Default 50,000.
	MaxConnections int
	// SurgeQueue is how many connections of a listener may wait for a target at
	// a time; more are reset and counted as spillover. Default 1,024, as Classic's.
	SurgeQueue int

	// HandshakeTimeout is for a client's TLS handshake, ConnectTimeout for
	// connecting to one target with its TLS handshake. Default 10 s each.
	HandshakeTimeout, ConnectTimeout time.Duration
	// DrainTimeout is how long Run lets connections finish after its context
	// has ended. Default: they are closed at once.
	DrainTimeout time.Duration
	// HandoverTimeout is the same when a successor has the sockets. Default 1 h.
	HandoverTimeout time.Duration
}

// Handler serves the connections of one kind of listener.
type Handler interface {
	// Serve serves a connection, whose TLS handshake is over, until it ends. The
	// caller closes it. When ctx ends the connection has to end at once; when
	// route.Retired ends it may finish the request under way.
	//
	// c is a *net.TCPConn or a *tls.Conn.
	Serve(ctx context.Context, c net.Conn, route *Route)
}

const (
	defaultMaxConnections = 50_000
	defaultSurgeQueue     = 1024 // user guide for Classic Load Balancers, SurgeQueueLength
	defaultSetupTimeout   = 10 * time.Second
	defaultHandover       = time.Hour
)

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Listen == nil {
		o.Listen = Listen
	}
	o.MaxConnections = orDefault(o.MaxConnections, defaultMaxConnections)
	o.SurgeQueue = orDefault(o.SurgeQueue, defaultSurgeQueue)
	o.HandshakeTimeout = orDefault(o.HandshakeTimeout, defaultSetupTimeout)
	o.HandoverTimeout = orDefault(o.HandoverTimeout, defaultHandover)
	o.ConnectTimeout = orDefault(o.ConnectTimeout, defaultSetupTimeout)
	return o
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Errors that say why a connection has no target.
var (
	ErrNoTarget  = errors.New("no target can take a connection")
	ErrSpillover = errors.New("the surge queue is full")
)
