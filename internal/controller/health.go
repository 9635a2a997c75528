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
// has no watch for target health, so it is asked: sooner at first, then less
// and less often, and no longer once all is clear or patience is at its end.
type settling struct {
	active bool
	polls  int
}

// Bounds of asking: 0.5 s to 30 s apart, about 10 minutes in all.
const (
	firstPoll = 500 * time.Millisecond
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
func (s *settling) changed(p plan.Plan) {
	for _, step := range p.Steps {
		switch step.Action {
		case plan.RegisterTargets, plan.CreateListener, plan.ModifyListener, plan.ModifyTargetGroup, plan.RegisterInstances, plan.ConfigureHealthCheck:
			*s = settling{active: true}
			return
		}
	}
}

func (s *settling) next() time.Duration { return min(firstPoll<<min(s.polls, 10), lastPoll) }

// settle looks at the targets' health while a change is on its way or a pod
// waits for it, and writes what it saw into the status. It says when to look
// again.
func (r *Reconciler) settle(ctx context.Context, svc *corev1.Service, st *service, status *corev1.ServiceStatus, want lb.Stack) (time.Duration, error) {
	if !st.settling.active && len(st.waiting) == 0 {
		return 0, nil
	}
	seen, left, err := r.look(ctx, svc, st, want)
	if err != nil {
		return 0, err
	}
	if name := classicName(want); name != "" && find(st.rec.Classic, name) != nil {
		instances, err := r.api.DescribeInstanceHealth(ctx, name)
		if err != nil {
			return 0, err
		}
		seen.add("instances", instances)
	}
	st.settling.polls++
	again := seen.pending && st.settling.polls < maxPolls
	st.settling.active = again
	value, reason := metav1.ConditionTrue, "TargetsHealthy"
	switch {
	case again:
		value, reason = metav1.ConditionFalse, reasonPending
	case seen.empty:
		value, reason = metav1.ConditionFalse, "NoTargets"
	case seen.none:
		value, reason = metav1.ConditionFalse, "NoHealthyTargets"
	}
	set(svc, status, condHealthy, value, reason, strings.Join(seen.lines, "; "))
	switch {
	case left > 0:
		return min(st.settling.next(), gatePoll), nil
	case again:
		return st.settling.next(), nil
	}
	return 0, nil
}

// health is a summary of all target groups of a Service.
type health struct {
	pending bool // a group may still become healthy, or more so
	none    bool // a group has no healthy target
	empty   bool // a group has no targets
	lines   []string
}

func (h *health) add(key string, targets []cloud.TargetHealth) {
	healthy, initial := 0, false
	why := map[string]int{}
	for _, t := range targets {
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
