package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// userAgent is the one that targets know from AWS and may have in their rules.
const userAgent = "ELB-HealthChecker/2.0"

// Bounds of an answer in bytes. Only its code counts; reading a little of the
// body lets the target close the connection in good order.
const (
	maxHeader = 64 << 10
	maxBody   = 64 << 10
)

// A Prober asks one target once, within ctx's deadline.
type Prober interface {
	Probe(ctx context.Context, target Target) Result
}

// NetProber asks over the network. Each check has a connection of its own,
// closed when the check is over.
type NetProber struct {
	// Source4 and Source6 are the edge's own addresses that checks come from;
	// where one is the zero Addr the kernel chooses.
	Source4, Source6 netip.Addr
}

// Probe implements Prober: TCP passes when the connection is accepted, SSL when
// the handshake succeeds, HTTP and HTTPS when the answer's code is in the
// matcher. Redirects are answers, not followed; certificates are not verified.
func (p NetProber) Probe(ctx context.Context, target Target) Result {
	switch target.Protocol {
	case lb.TCP:
		return p.probeTCP(ctx, target)
	case lb.SSL:
		return p.probeSSL(ctx, target)
	default:
		return p.probeHTTP(ctx, target)
	}
}

func (p NetProber) probeTCP(ctx context.Context, target Target) Result {
	conn, err := p.dial(ctx, target.Addr)
	if err != nil {
		return failure(ctx, err)
	}
	conn.Close()
	return Result{Outcome: Passed}
}

func (p NetProber) probeSSL(ctx context.Context, target Target) Result {
	conn, err := p.dial(ctx, target.Addr)
	if err != nil {
		return failure(ctx, err)
	}
	defer conn.Close()
	if err := tls.Client(conn, anyCertificate()).HandshakeContext(ctx); err != nil {
		return failure(ctx, err)
	}
	return Result{Outcome: Passed}
}

// anyCertificate accepts what targets show: as documented by AWS, a target's
// certificate is not validated.
func anyCertificate() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
}

func (p NetProber) probeHTTP(ctx context.Context, target Target) Result {
	matcher, err := ParseMatcher(target.Matcher)
	if err != nil {
		return Result{Outcome: NotAsked, Err: err}
	}
	request, err := request(ctx, target)
	if err != nil {
		return Result{Outcome: NotAsked, Err: err}
	}
	response, err := p.transport(target.Addr).RoundTrip(request)
	if err != nil {
		return failure(ctx, err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxBody) // the code has already decided
	if !matcher.Matches(response.StatusCode) {
		return Result{Outcome: Mismatched, Code: response.StatusCode, Err: fmt.Errorf("status %s", response.Status)}
	}
	return Result{Outcome: Passed}
}

func request(ctx context.Context, target Target) (*http.Request, error) {
	u, err := url.Parse(target.Path)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = strings.ToLower(string(target.Protocol)), target.Addr.String()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Host, r.Close = target.Host, true
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Accept-Encoding", "identity")
	return r, nil
}

// transport serves one check: no proxy, no reuse, no HTTP/2, no redirects.
func (p NetProber) transport(addr netip.AddrPort) *http.Transport {
	return &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, addr) },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig:        anyCertificate(),
	}
}

func (p NetProber) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	source := p.Source4
	if addr.Addr().Is6() {
		source = p.Source6
	}
	dialer := net.Dialer{ControlContext: shareSourcePorts, KeepAlive: -1, FallbackDelay: -1}
	if source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	return dialer.DialContext(ctx, "tcp", addr.String())
}

// shareSourcePorts lets the kernel choose the source port at connect, when it
// knows the target too. Chosen at bind, the ports of all checks of the last
// minute (TIME_WAIT) would have to differ, which is 28,000 at most.
func shareSourcePorts(_ context.Context, _, _ string, conn syscall.RawConn) error {
	var optErr error
	err := conn.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	return errors.Join(err, optErr)
}

// failure tells a target's silence and refusal from the edge's own trouble.
func failure(ctx context.Context, err error) Result {
	var netErr net.Error
	switch {
	case isOwnTrouble(err), errors.Is(ctx.Err(), context.Canceled):
		return Result{Outcome: NotAsked, Err: err}
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return Result{Outcome: TimedOut, Err: err}
	}
	return Result{Outcome: Failed, Err: err}
}

func isOwnTrouble(err error) bool {
	for _, errno := range []syscall.Errno{unix.EADDRNOTAVAIL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
