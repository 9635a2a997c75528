package proxy

import (
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// maxAttempts is how many targets a connection is tried on. Nothing of the
// client's has been sent to those that failed.
const maxAttempts = 3

// search looks for a target that takes a connection, within the surge queue.
type search struct {
	route    *Route
	counters *Counters
	client   netip.AddrPort
	tried    []*Target
	errs     []error
}

// begin enters the surge queue, which end leaves, or says that it is full.
func (s *search) begin() error {
	enter(&s.route.surge, &s.counters.SurgeQueueLength)
	if s.route.surge.Load() <= int64(s.route.server.opts.SurgeQueue) {
		return nil
	}
	s.end()
	s.counters.SpilloverCount.Add(1)
	return ErrSpillover
}

func (s *search) end() { leave(&s.route.surge, &s.counters.SurgeQueueLength) }

// next chooses a target by a plan. The error says, when there is none left, why.
func (s *search) next(p *plan) (Choice, error) {
	if len(s.tried) < maxAttempts {
		if c, ok := p.spread.pick(s.client, s.tried); ok {
			return c, nil
		}
	}
	s.counters.RejectedFlowCount.Add(1)
	return Choice{}, errors.Join(append([]error{ErrNoTarget}, s.errs...)...)
}

// failed says that a choice is none.
func (s *search) failed(c Choice, err error) {
	c.Done()
	s.tried, s.errs = append(s.tried, c.Target), append(s.errs, err)
}

func enter(gauges ...*atomic.Int64) {
	for _, g := range gauges {
		g.Add(1)
	}
}

func leave(gauges ...*atomic.Int64) {
	for _, g := range gauges {
		g.Add(-1)
	}
}

// approach is how to reach a chosen target for a client: from the client's own
// address where the pool asks for that and it can be, from the load balancer's
// otherwise.
type approach struct {
	choice   Choice
	client   netip.AddrPort
	counters *Counters
	asClient bool // the last dialing was
}

// next is how to dial at first, when failed is nil, or after a dialing that
// failed. The error says why there is no other way.
func (a *approach) next(failed error) (loop.Dialing, error) {
	switch {
	case failed != nil:
		reason := refusedSource(failed)
		if !a.asClient || reason == "" {
			return loop.Dialing{}, failed
		}
		sourceReasons(a.counters)[reason].Add(1)
	case a.choice.Pool.KeepClientAddress:
		d, reason := transparentDialing(a.choice.Target, a.client)
		if reason == "" {
			a.asClient = true
			return a.allowed(d)
		}
		sourceReasons(a.counters)[reason].Add(1)
	}
	a.asClient = false
	at := a.choice.Target.Addr
	return a.allowed(loop.Dialing{Target: at, Source: netip.AddrPortFrom(a.choice.Pool.source(at.Addr()), 0)})
}

var errTargetRules = errors.New("the target's security groups do not take connections from there")

// allowed asks the security groups: what they drop is not sent.
func (a *approach) allowed(d loop.Dialing) (loop.Dialing, error) {
	if !a.choice.Target.takes(d.Source.Addr()) {
		return d, errTargetRules
	}
	return d, nil
}

// takes says whether the target takes connections from an address; one that the
// kernel will choose is not judged.
func (t *Target) takes(source netip.Addr) bool {
	inside := func(p netip.Prefix) bool { return p.Contains(source) }
	return t.Clients == nil || !source.IsValid() || slices.ContainsFunc(t.Clients, inside)
}

// source is the load balancer's address of a target's family.
func (p *Pool) source(target netip.Addr) netip.Addr {
	if target.Is4() {
		return p.Source4
	}
	return p.Source6
}

// transparentDialing connects as the client, or says why that cannot be.
func transparentDialing(t *Target, client netip.AddrPort) (d loop.Dialing, reason string) {
	if client.Addr().Is4() != t.Addr.Addr().Is4() {
		return d, "family"
	}
	inside := func(p netip.Prefix) bool { return p.Contains(client.Addr()) }
	if client.Addr() == t.Addr.Addr() || slices.ContainsFunc(t.Hairpin, inside) {
		return d, "hairpin"
	}
	return loop.Dialing{Target: t.Addr, Source: client, Transparent: true}, ""
}

// refusedSource says why the kernel did not let the client's address be used,
// and is empty when that was not the problem.
func refusedSource(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "taken" // another connection to the target has the same address and port
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EINVAL):
		return "failed"
	}
	return ""
}
