package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// settling says that a change of targets is on its way to being healthy. AWS
// has no watch for target health and tells it of one group a call, so it is
// asked for when the answer can be a new one: after the time between two health
// checks, then less and less often, and no longer once all is clear or patience
// is at its end.
type settling struct {
	active bool
	polls  int
	since  time.Time // of the change, then of the last look; zero: another process saw it
}

// Bounds of asking: 30 s apart unless health checks are further apart, about 10
// minutes in all. For pods that wait 0.5 s to 10 s, for nothing else delays them.
const (
	firstPoll = 500 * time.Millisecond
	gatePoll  = 10 * time.Second
	lastPoll  = 30 * time.Second
	maxPolls  = 25
)

const reasonPending = "TargetsPending"

// resume goes on where another process stopped.
func (s *settling) resume(svc *corev1.Service) {
	c := meta.FindStatusCondition(svc.Status.Conditions, condHealthy)
	s.active = c != nil && c.Reason == reasonPending
}

// changed starts the asking anew when a plan touches targets or their checks.
func (s *settling) changed(p plan.Plan, now time.Time) {
	for _, step := range p.Steps {
		switch step.Action {
		case plan.RegisterTargets, plan.CreateListener, plan.ModifyListener, plan.ModifyTargetGroup, plan.RegisterInstances, plan.ConfigureHealthCheck:
			*s = settling{active: true, since: now}
			return
		}
	}
}

// pause is the time until the next look, with health checks that far apart.
func (s *settling) pause(checks time.Duration) time.Duration {
	return min(checks<<min(s.polls, 10), max(lastPoll, checks))
}

// gatePause is the same while pods wait.
func (s *settling) gatePause() time.Duration { return min(firstPoll<<min(s.polls, 10), gatePoll) }

// left is how long a look has to wait yet.
func (s *settling) left(now time.Time, checks time.Duration) time.Duration {
	return s.since.Add(s.pause(checks)).Sub(now)
}

// between is the shortest time between two health checks of a target.
func between(want lb.Stack) time.Duration {
	shortest := lastPoll
	for _, g := range want.TargetGroups {
		shortest = min(shortest, g.HealthCheck.Interval)
	}
	if want.Classic != nil {
		shortest = min(shortest, want.Classic.HealthCheck.Interval)
	}
	return shortest
}

// settle looks at the targets' health while a change is on its way or a pod
// waits for it, and writes what it saw into the status. It says when to look
// again.
func (r *Reconciler) settle(ctx context.Context, st *service, status *draft, want lb.Stack) (time.Duration, error) {
	s, checks, gated := &st.settling, between(want), len(st.waiting) > 0
	if !s.active && !gated {
		return 0, nil
	}
	if left := s.left(r.now(), checks); left > 0 && !gated {
		if s.polls == 0 {
			status.set(condHealthy, metav1.ConditionUnknown, reasonPending, "Targets or their health checks have changed; their health is looked at when there has been time for a check.")
		}
		return left, nil
	}
	seen, waiting, err := r.look(ctx, status.of, st, want)
	if err != nil {
		return 0, err
	}
	s.since, s.polls = r.now(), s.polls+1
	s.active = seen.pending && s.polls < maxPolls
	seen.tell(status, s.active)
	switch {
	case waiting > 0:
		return s.gatePause(), nil
	case s.active:
		return s.pause(checks), nil
	}
	return 0, nil
}

// tell writes what was seen into the status.
func (h *health) tell(status *draft, again bool) {
	value, reason := metav1.ConditionTrue, "TargetsHealthy"
	switch {
	case again:
		value, reason = metav1.ConditionFalse, reasonPending
	case h.empty:
		value, reason = metav1.ConditionFalse, "NoTargets"
	case h.none:
		value, reason = metav1.ConditionFalse, "NoHealthyTargets"
	}
	status.set(condHealthy, value, reason, strings.Join(h.lines, "; "))
}

// health is a summary of all target groups of a Service.
type health struct {
	pending bool // a group may still become healthy, or more so
	none    bool // a group has no healthy target
	empty   bool // a group has no targets
	lines   []string
	counts  map[lb.HealthState]int
}

func (h *health) add(key string, targets []cloud.TargetHealth) {
	healthy, initial := 0, false
	why := map[string]int{}
	for _, t := range targets {
		h.counts[t.State]++
		switch t.State {
		case lb.Healthy:
			healthy++
		case lb.Draining:
		default:
			initial = initial || t.State == lb.Initial
			why[fmt.Sprintf("%s %s", t.State, t.Reason)]++
		}
	}
	total := healthy
	var reasons []string
	for reason, n := range why {
		total += n
		reasons = append(reasons, fmt.Sprintf("%d %s", n, reason))
	}
	line := fmt.Sprintf("%s: %d of %d healthy", key, healthy, total)
	if len(reasons) > 0 {
		line += " (" + strings.Join(sortedStrings(reasons), ", ") + ")"
	}
	h.lines = append(h.lines, line)
	h.pending = h.pending || initial || (healthy == 0 && total > 0)
	h.none = h.none || healthy == 0
	h.empty = h.empty || total == 0
}
