// Package probe decides what the results of a container's probes mean, and
// carries them out.
//
// [State] is pure: it is told results and the time, and says the verdict and
// when to probe next.
package probe

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Rules are a probe's settings with the API's defaults in place.
type Rules struct {
	InitialDelay     time.Duration
	Period           time.Duration
	Timeout          time.Duration
	SuccessThreshold int32
	FailureThreshold int32
}

// RulesOf reads the settings of a probe. The API server fills in the defaults;
// zero values get them again here, so that a probe is never a busy loop.
func RulesOf(p *corev1.Probe) Rules {
	return Rules{
		InitialDelay:     seconds(p.InitialDelaySeconds, 0),
		Period:           seconds(p.PeriodSeconds, 10),
		Timeout:          seconds(p.TimeoutSeconds, 1),
		SuccessThreshold: max(p.SuccessThreshold, 1),
		FailureThreshold: positive(p.FailureThreshold, 3),
	}
}

func seconds(n, otherwise int32) time.Duration {
	return time.Duration(positive(n, otherwise)) * time.Second
}

func positive(n, otherwise int32) int32 {
	if n > 0 {
		return n
	}
	return otherwise
}

// Verdict is what the results so far amount to.
type Verdict int

// Verdicts. Pending lasts until the first threshold is reached.
const (
	Pending Verdict = iota
	Passing
	Failing
)

// State is where a probe stands.
type State struct {
	Verdict Verdict
	Next    time.Time // when to probe next
	ok      bool      // the last result
	run     int32     // how many results in a row were like it
}

// settle is how long a program gets before its first probe. A probe at once
// would nearly always fail, and the next comes only a period later. The kubelet
// waits as well, for a random part of the period.
const settle = 500 * time.Millisecond

// Start returns the state of a probe whose container started at a time.
func Start(r Rules, started time.Time) State {
	return State{Next: started.Add(max(r.InitialDelay, settle))}
}

// Observe takes in one result that came at a time.
func (s State) Observe(r Rules, ok bool, now time.Time) State {
	if ok != s.ok {
		s.run = 0
	}
	s.ok, s.run = ok, min(s.run+1, max(r.SuccessThreshold, r.FailureThreshold))
	s.Next = now.Add(r.Period)
	switch {
	case ok && s.run >= r.SuccessThreshold:
		s.Verdict = Passing
	case !ok && s.run >= r.FailureThreshold:
		s.Verdict = Failing
	}
	return s
}
