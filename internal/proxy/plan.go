package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// plan is a Listener made ready to serve.
type plan struct {
	Listener
	spread     *spread
	loads      loads
	tls        *tls.Config // nil without TLS, as certs is
	certs      *certificates
	backends   map[string]*backend
	counters   *Counters
	superseded chan struct{} // closed when the next plan is in force
}

// newPlan makes a listener ready; before is the route that it will serve on, if
// there is one already. The error joins all that is wrong.
func newPlan(l Listener, before *Route, m *metrics) (*plan, error) {
	p := &plan{Listener: l, backends: map[string]*backend{}, superseded: make(chan struct{})}
	errs := l.problems()
	if l.encrypted() && l.TLS != nil {
		var err error
		if p.certs, err = newCertificates(l.TLS.Certificates, l.TLS.CertificateARNs); err != nil {
			errs = append(errs, err)
		} else {
			p.tls = serverConfig(*l.TLS, p.certs)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var old loads
	if before != nil {
		old = before.current.Load().loads
	}
	p.spread, p.loads = newSpread(p.Forward, old)
	for i := range p.Forward {
		if pool := &p.Forward[i]; pool.encrypted() {
			p.backends[pool.Key] = newBackend(pool, l.TLS)
		}
	}
	p.counters = m.of(&l)
	return p, nil
}

// Classic Load Balancers' idle timeout is 1 s to 4000 s, Network Load Balancers'
// 60 s to 6000 s (API references, ConnectionSettings and listener attributes).
const minIdleTimeout, maxIdleTimeout = time.Second, 6000 * time.Second

// problems are all reasons not to serve a listener.
func (l *Listener) problems() []error {
	var errs []error
	if !slices.Contains([]lb.Protocol{lb.TCP, lb.TLS, lb.SSL, lb.HTTP, lb.HTTPS}, l.Protocol) {
		errs = append(errs, fmt.Errorf("protocol %q: it must be TCP, TLS, SSL, HTTP or HTTPS", l.Protocol))
	}
	if !l.Address.IsValid() || l.Address.Port() == 0 {
		errs = append(errs, fmt.Errorf("address %s: it must have an address and a port", l.Address))
	}
	if l.IdleTimeout < minIdleTimeout || l.IdleTimeout > maxIdleTimeout {
		errs = append(errs, fmt.Errorf("idle timeout %v: it must be between %v and %v", l.IdleTimeout, minIdleTimeout, maxIdleTimeout))
	}
	if l.encrypted() && l.TLS == nil {
		errs = append(errs, fmt.Errorf("protocol %s needs a certificate", l.Protocol))
	}
	for i := range l.Forward {
		errs = append(errs, l.Forward[i].problems(l)...)
	}
	return errs
}

func (p *Pool) problems(l *Listener) []error {
	var errs []error
	allowed := []lb.Protocol{lb.TCP, lb.TLS, lb.SSL}
	if l.served() {
		allowed = []lb.Protocol{lb.HTTP, lb.HTTPS}
	}
	if !slices.Contains(allowed, p.Protocol) {
		errs = append(errs, fmt.Errorf("pool %s: protocol %q: behind a listener of protocol %s it must be one of %v", p.Key, p.Protocol, l.Protocol, allowed))
	}
	if p.Weight < 0 || p.Weight > 999 {
		errs = append(errs, fmt.Errorf("pool %s: weight %d: it must be between 0 and 999", p.Key, p.Weight))
	}
	if p.ProxyProtocol < NoProxyHeader || p.ProxyProtocol > ProxyV2 {
		errs = append(errs, fmt.Errorf("pool %s: PROXY protocol version %d: it must be 0 for none, 1 or 2", p.Key, p.ProxyProtocol))
	}
	return errs
}

// encrypted says whether clients speak TLS.
func (l *Listener) encrypted() bool {
	return l.Protocol == lb.TLS || l.Protocol == lb.SSL || l.Protocol == lb.HTTPS
}

// plain says whether TCP is all that clients and targets speak.
func (p *plan) plain() bool { return p.Protocol == lb.TCP && len(p.backends) == 0 }

// served says whether Options.HTTP serves the listener.
func (l *Listener) served() bool { return l.Protocol == lb.HTTP || l.Protocol == lb.HTTPS }

func (p *Pool) encrypted() bool {
	return p.Protocol == lb.TLS || p.Protocol == lb.SSL || p.Protocol == lb.HTTPS
}

// admits says whether a client may connect.
func (l *Listener) admits(client netip.Addr) bool {
	if l.Closed {
		return false
	}
	return l.Clients == nil || slices.ContainsFunc(l.Clients, func(p netip.Prefix) bool { return p.Contains(client) })
}
