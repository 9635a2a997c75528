package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Config is all that a proxy serves at one moment. It is compared with the one
// before: a listener that stays keeps its socket and its connections.
type Config struct {
	Listeners []Listener // one per address and port
}

// Listener takes connections on an address and hands them to targets.
type Listener struct {
	Balancer string // the load balancer's ARN, for metrics and logs
	ARN      string // the listener's, for access logs; empty of Classic
	Address  netip.AddrPort

	// Protocol is TCP, TLS (SSL is the same by its Classic name), HTTP or HTTPS.
	Protocol lb.Protocol
	TLS      *ServerTLS // of TLS, SSL and HTTPS

	// IdleTimeout closes a connection on which neither side said anything for
	// this long.
	IdleTimeout time.Duration

	// Clients are those who may connect; nil is everyone.
	Clients []netip.Prefix
	// Closed keeps everyone out: the security groups name nobody.
	Closed bool

	// Forward says who serves. New connections (requests, of HTTP) are spread by
	// weight; a single pool's weight has no meaning.
	Forward []Pool

	// AccessLog is nil when none is kept.
	AccessLog *AccessLog
	// DesyncMode is monitor, defensive or strictest; HTTP and HTTPS of Classic.
	DesyncMode string
}

// ServerTLS is how a listener answers a TLS handshake.
type ServerTLS struct {
	// Certificates by preference: the first is the default, the others are
	// chosen by SNI.
	Certificates []tls.Certificate
	// CertificateARNs are those of Certificates in the same order, for access logs.
	CertificateARNs []string

	Policy SecurityPolicy
	ALPN   []string // by preference; empty: no ALPN
}

// SecurityPolicy is an SSL policy in crypto/tls's words.
type SecurityPolicy struct {
	Name         string
	MinVersion   uint16   // of crypto/tls, such as tls.VersionTLS12
	MaxVersion   uint16   // of crypto/tls
	CipherSuites []uint16 // of TLS 1.2 and before
}

// Balance is how a pool chooses a target.
type Balance int

// The ways to choose a target.
const (
	FlowHash         Balance = iota // NLB: by the client's address and port
	RoundRobin                      // Classic TCP and SSL listeners
	LeastOutstanding                // Classic HTTP and HTTPS listeners: the fewest outstanding requests
)

// ProxyProtocol is the version of the PROXY header that targets get.
type ProxyProtocol int //nolint:revive // the protocol is called PROXY, whatever the package

// Versions of the PROXY protocol (haproxy.org/download/3.0/doc/proxy-protocol.txt).
const (
	NoProxyHeader ProxyProtocol = 0
	ProxyV1       ProxyProtocol = 1 // Classic
	ProxyV2       ProxyProtocol = 2 // NLB, with AWS's TLVs
)

// Pool is the targets of one target group, or of one instance port of a Classic
// Load Balancer.
type Pool struct {
	Key    string // the target group's ARN, or the Classic one's with its instance port
	Weight int    // 0 to 999

	Protocol lb.Protocol // towards targets: TCP, TLS (or SSL), HTTP, HTTPS
	Balance  Balance
	Targets  []Target

	ProxyProtocol ProxyProtocol
	// KeepClientAddress connects to targets from the client's own address and
	// port, with a transparent socket, when the families agree.
	KeepClientAddress bool
	// StickToSource sends all connections of a client's address to one target.
	StickToSource bool
	Cookie        *Cookie // HTTP and HTTPS of Classic

	// Source4 and Source6 are the load balancer's own addresses in the zone, from
	// which targets are reached otherwise; the zero Addr lets the kernel choose.
	Source4, Source6 netip.Addr

	// Authorities are the public keys that a target's certificate must have
	// (Classic's backend authentication); nil trusts any certificate, as AWS does.
	Authorities []*x509.Certificate

	// UnhealthyTermination closes the connections of a target that turns
	// unhealthy; DrainTermination those of one whose drain time is over.
	UnhealthyTermination bool
	DrainTermination     bool
}

// Target is where connections go.
type Target struct {
	ID   string // as registered
	Addr netip.AddrPort

	// Eligible says that new connections may go here. When no target of a pool
	// is eligible, nobody is served; failing open is decided before.
	Eligible bool
	// Healthy is for UnhealthyTermination.
	Healthy bool
	// DrainUntil is set while the target is being deregistered.
	DrainUntil time.Time
	// Hairpin are all addresses of the machine behind the target: a client
	// inside them cannot keep its own address.
	Hairpin []netip.Prefix
	// Clients are the addresses from which the target takes connections, by its
	// security groups; nil is everywhere.
	Clients []netip.Prefix
}

// Cookie is the session stickiness of a Classic HTTP listener.
type Cookie struct {
	// Application is the application's cookie that the session follows; empty:
	// the load balancer's own AWSELB cookie.
	Application string
	// Expiry of the load balancer's cookie; zero: the browser's session.
	Expiry time.Duration
}

// AccessLog is where and how often a listener's log is delivered. TLS listeners
// write lines of a Network Load Balancer, all others those of a Classic one.
type AccessLog struct {
	Bucket   string
	Prefix   string
	Interval time.Duration // 5 or 60 minutes
}
