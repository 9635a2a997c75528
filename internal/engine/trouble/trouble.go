// Package trouble makes the engine behave as AWS does on a bad day, so that
// people and programs meet it here first: calls that are throttled, fail before
// or after their effect or get no answer; reads that lag behind writes; load
// balancers and targets that take their time.
//
// It stands around the API: Around is called instead of every action, Lag gives
// reads an older revision, Delays are asked for when something is created. The
// use cases know nothing of it. Settings can be replaced at any time, whole.
//
// Invariants: without settings every call goes straight through; what a rule
// decides depends on its own calls alone, in their order, and on chance only
// where a probability was asked for; counters start anew with new settings.
package trouble

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// AdminService is the signing name of the engine's own API, which stays free of
// trouble: it is what ends it.
const AdminService = "fairlead"

// Trouble is the settings in force. It is safe for use from many goroutines.
type Trouble struct {
	now     func() time.Time
	current atomic.Pointer[plan]
	changed chan struct{} // has a token after Set; Lag takes it
}

// plan is settings with what has been counted under them.
type plan struct {
	Settings
	calm    bool // no call is touched
	rules   []*rule
	buckets *buckets
}

// New returns Trouble with the given settings, which have to be valid.
func New(s Settings, now func() time.Time) (*Trouble, error) {
	t := &Trouble{now: now, changed: make(chan struct{}, 1)}
	return t, t.Set(s)
}

// Settings are those in force.
func (t *Trouble) Settings() Settings { return t.current.Load().Settings }

// Set replaces the settings; the error has all problems of those that are not
// taken.
func (t *Trouble) Set(s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	p := &plan{Settings: s, calm: !s.Throttle && len(s.Faults) == 0}
	if s.Throttle {
		p.buckets = newBuckets(append(s.Rates, awsRates...))
	}
	for _, f := range s.Faults {
		p.rules = append(p.rules, &rule{Fault: f})
	}
	t.current.Store(p)
	select {
	case t.changed <- struct{}{}:
	default:
	}
	return nil
}

// Around is for wire.Config.
func (t *Trouble) Around(ctx context.Context, next func(context.Context) error) error {
	p := t.current.Load()
	call := wire.CallFrom(ctx)
	if p.calm || call.Service == AdminService {
		return next(ctx)
	}
	if p.buckets != nil && !p.buckets.take(call, t.now()) {
		return throttled()
	}
	fault, kind := p.fault(call)
	switch kind {
	case Throttled:
		return throttled()
	case ErrorBefore:
		return fault.err()
	case ErrorAfter:
		if err := next(ctx); err != nil {
			return err
		}
		return fault.err()
	case TimeoutBefore:
		return hold(ctx, fault)
	case TimeoutAfter:
		_ = next(ctx) // nobody hears of it
		return hold(ctx, fault)
	}
	return next(ctx)
}

// fault asks the rules in order; the first one that decides on trouble counts.
func (p *plan) fault(call wire.Call) (Fault, Kind) {
	for _, r := range p.rules {
		if kind := r.next(call, rand.Float64()); kind != Pass {
			return r.Fault, kind
		}
	}
	return Fault{}, Pass
}

func throttled() error { return wire.Errorf("Throttling", "Rate exceeded") }

// hold leaves the client without an answer until it gives up or the fault's
// time is over.
func hold(ctx context.Context, f Fault) error {
	timer := time.NewTimer(f.hold())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return wire.ErrNoAnswer
}
