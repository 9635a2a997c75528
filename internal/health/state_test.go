package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

var (
	start     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	initial   = Registered().Health
	healthy   = lb.TargetHealth{State: lb.Healthy}
	timedOut  = lb.TargetHealth{State: lb.Unhealthy, Reason: lb.Timeout, Description: "Request timed out"}
	refused   = lb.TargetHealth{State: lb.Unhealthy, Reason: lb.FailedHealthChecks, Description: "Health checks failed"}
	wrongCode = lb.TargetHealth{State: lb.Unhealthy, Reason: lb.ResponseCodeMismatch, Description: "Health checks failed with these codes: [503]"}
)

func draining(h lb.TargetHealth) lb.TargetHealth {
	h.State = lb.UnhealthyDraining
	return h
}

func TestNext(t *testing.T) {
	pass, timeout, refuse := Result{Outcome: Passed}, Result{Outcome: TimedOut}, Result{Outcome: Failed}
	mismatch, unasked, elapsed := Result{Outcome: Mismatched, Code: 503}, Result{Outcome: NotAsked}, Result{}
	threeAndTwo := Rules{HealthyThreshold: 3, UnhealthyThreshold: 2}
	drainingRules := Rules{HealthyThreshold: 2, UnhealthyThreshold: 1, UnhealthyDraining: 25 * time.Second}
	type step struct {
		result Result
		want   lb.TargetHealth
	}
	cases := map[string]struct {
		rules Rules
		steps []step // ten seconds apart
	}{
		"the first pass admits a new target whatever the threshold": {threeAndTwo,
			[]step{{pass, healthy}}},
		"a new target that failed once is admitted by its next pass": {threeAndTwo,
			[]step{{refuse, initial}, {pass, healthy}}},
		"a new target fails after the unhealthy threshold": {threeAndTwo,
			[]step{{timeout, initial}, {timeout, timedOut}}},
		"a healthy target needs consecutive failures to fail": {threeAndTwo,
			[]step{{pass, healthy}, {refuse, healthy}, {pass, healthy}, {refuse, healthy}, {refuse, refused}}},
		"an unhealthy target needs consecutive passes to return": {threeAndTwo,
			[]step{{refuse, initial}, {refuse, refused}, {pass, refused}, {pass, refused}, {refuse, refused}, {pass, refused}, {pass, refused}, {pass, healthy}}},
		"the reason is that of the newest failure": {threeAndTwo,
			[]step{{refuse, initial}, {timeout, timedOut}, {mismatch, wrongCode}, {pass, wrongCode}, {refuse, refused}}},
		"a check that was not sent and time alone count for nothing": {threeAndTwo,
			[]step{{unasked, initial}, {elapsed, initial}, {refuse, initial}, {unasked, initial}, {refuse, refused}}},
		"a failing target drains first when the group says so": {drainingRules,
			[]step{{pass, healthy}, {timeout, draining(timedOut)}, {refuse, draining(refused)}, {elapsed, draining(refused)}, {elapsed, refused}}},
		"a draining target that recovers is healthy": {drainingRules,
			[]step{{pass, healthy}, {refuse, draining(refused)}, {pass, draining(refused)}, {pass, healthy}, {elapsed, healthy}, {elapsed, healthy}}},
		"a target that never served has nothing to drain": {drainingRules,
			[]step{{refuse, refused}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, now := Registered(), start
			for i, step := range c.steps {
				before := s.Health
				next, effects := Next(s, Event{Result: step.result, Rules: c.rules}, now)
				if diff := cmp.Diff(step.want, next.Health); diff != "" {
					t.Fatalf("step %d (-want +got):\n%s", i, diff)
				}
				if changed := next.Health != before; effects.Changed != changed {
					t.Errorf("step %d: Changed = %v, want %v", i, effects.Changed, changed)
				}
				if wants := next.Health.State == lb.UnhealthyDraining; wants == effects.WakeAt.IsZero() {
					t.Errorf("step %d: WakeAt = %v in state %s", i, effects.WakeAt, next.Health.State)
				}
				s, now = next, now.Add(10*time.Second)
			}
		})
	}
}

// Whatever happens, a target that has been admitted changes sides only after as
// many equal results in a row as its rules say.
func TestNextChangesSidesOnlyAtThresholds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := Rules{
			HealthyThreshold:   rapid.IntRange(2, 10).Draw(t, "healthy"),
			UnhealthyThreshold: rapid.IntRange(2, 10).Draw(t, "unhealthy"),
		}
		s, _ := Next(Registered(), Event{Result: Result{Outcome: Passed}, Rules: rules}, start)
		run, last := 1, Passed
		for i := range rapid.IntRange(0, 60).Draw(t, "results") {
			outcome := rapid.SampledFrom([]Outcome{Passed, Failed}).Draw(t, "outcome")
			if outcome == last {
				run++
			} else {
				run, last = 1, outcome
			}
			before := s.Health.State
			s, _ = Next(s, Event{Result: Result{Outcome: outcome}, Rules: rules}, start.Add(time.Duration(i)*time.Second))
			want := before
			if outcome == Passed && run >= rules.HealthyThreshold {
				want = lb.Healthy
			}
			if outcome == Failed && run >= rules.UnhealthyThreshold {
				want = lb.Unhealthy
			}
			if s.Health.State != want {
				t.Fatalf("after %d × outcome %d in state %s: %s, want %s", run, outcome, before, s.Health.State, want)
			}
		}
	})
}
