package health

import (
	"fmt"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Descriptions that DescribeTargetHealth shows beside the reason codes.
const (
	initialDescription  = "Initial health checks in progress"
	timeoutDescription  = "Request timed out"
	failedDescription   = "Health checks failed"
	mismatchDescription = "Health checks failed with these codes: [%d]"
)

// Outcome is what came of one health check.
type Outcome int

// Outcomes. Elapsed stands for no check at all: only time has passed.
const (
	Elapsed Outcome = iota
	Passed
	TimedOut   // no answer in time: Target.Timeout
	Failed     // refused, reset, unreachable, no HTTP: Target.FailedHealthChecks
	Mismatched // an HTTP code outside the matcher: Target.ResponseCodeMismatch
	NotAsked   // the edge itself could not send the check; says nothing of the target
)

// Result is the outcome of one check; Code is the HTTP code when Mismatched.
type Result struct {
	Outcome Outcome
	Code    int
	Err     error // for logs; nil when Passed
}

// State is a target's health and what counts towards its next change.
type State struct {
	Health   lb.TargetHealth
	Passes   int       // consecutive; at most one of Passes and Failures is not zero
	Failures int       // consecutive
	DrainEnd time.Time // when unhealthy.draining becomes unhealthy
}

// Rules say how many results make a change.
type Rules struct {
	HealthyThreshold   int           // passes that bring an unhealthy target back
	UnhealthyThreshold int           // failures that take a target out
	UnhealthyDraining  time.Duration // how long a target that fails is unhealthy.draining first; 0: not at all
}

// Event is a check's result, or with the outcome Elapsed the passing of time,
// under the rules of that moment.
type Event struct {
	Result Result
	Rules  Rules
}

// Effects are what the owner of the state has to do.
type Effects struct {
	Changed bool      // the health differs: tell the data path and the engine
	WakeAt  time.Time // if not zero, come again with an Elapsed event then
}

// Registered is the state of a target that no check has asked yet.
func Registered() State {
	return State{Health: lb.TargetHealth{State: lb.Initial, Reason: lb.InitialHealthChecking, Description: initialDescription}}
}

// Next is the health state machine of Network Load Balancers. A target in
// initial is admitted by its first passing check, irrespective of the threshold
// (NLB user guide, "Health checks for your target groups"); every other change
// takes as many consecutive results as the group's thresholds say.
func Next(s State, e Event, now time.Time) (State, Effects) {
	before := s.Health
	switch e.Result.Outcome {
	case Passed:
		s = passed(s, e.Rules)
	case TimedOut, Failed, Mismatched:
		s = failed(s, e, now)
	case Elapsed, NotAsked:
	}
	if s.Health.State == lb.UnhealthyDraining && !now.Before(s.DrainEnd) {
		s.Health.State = lb.Unhealthy
		s.DrainEnd = time.Time{}
	}
	return s, Effects{Changed: s.Health != before, WakeAt: s.DrainEnd}
}

func passed(s State, rules Rules) State {
	s.Passes, s.Failures = s.Passes+1, 0
	if s.Health.State == lb.Initial || s.Passes >= rules.HealthyThreshold {
		s.Health = lb.TargetHealth{State: lb.Healthy}
		s.DrainEnd = time.Time{}
	}
	return s
}

func failed(s State, e Event, now time.Time) State {
	s.Passes, s.Failures = 0, s.Failures+1
	reason, description := explain(e.Result)
	switch s.Health.State {
	case lb.Unhealthy, lb.UnhealthyDraining:
		s.Health.Reason, s.Health.Description = reason, description
	default:
		if s.Failures < e.Rules.UnhealthyThreshold {
			return s
		}
		state := lb.Unhealthy
		if s.Health.State == lb.Healthy && e.Rules.UnhealthyDraining > 0 {
			state, s.DrainEnd = lb.UnhealthyDraining, now.Add(e.Rules.UnhealthyDraining)
		}
		s.Health = lb.TargetHealth{State: state, Reason: reason, Description: description}
	}
	return s
}

func explain(r Result) (lb.Reason, string) {
	switch r.Outcome {
	case TimedOut:
		return lb.Timeout, timeoutDescription
	case Mismatched:
		return lb.ResponseCodeMismatch, fmt.Sprintf(mismatchDescription, r.Code)
	default:
		return lb.FailedHealthChecks, failedDescription
	}
}
