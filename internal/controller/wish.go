package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// wish is what a pass works towards.
type wish struct {
	want     lb.Stack
	stack    string // fingerprint of want before the names in it are looked up
	problems []intent.Problem
	pinned   intent.Pinned
	// instead is what the Service asks for in place of want: a load balancer of
	// another type, or one with security groups in place of one without or the
	// reverse. It waits for consent. Until then all else that the Service
	// says, and nodes that come and go, go to the load balancer that there is.
	instead *lb.Stack
}

// wish is what the Service wants, as far as the user agrees to it.
func (r *Reconciler) wish(ctx context.Context, svc *corev1.Service, st *service) (wish, error) {
	if err := r.recover(ctx, svc, st); err != nil {
		return wish{}, err
	}
	in, err := r.input(ctx, svc, st)
	if err != nil {
		return wish{}, err
	}
	in.Type = typeOf(intent.ClaimOf(svc, r.opts.TakeUnclassed))
	var w wish
	w.want, w.problems = intent.Desired(in)
	if standing, other := st.rec.stands(in, w.want); other && !intent.AllowReplacement(svc) {
		asked := w.want
		w.instead, in = &asked, standing
		var problems []intent.Problem
		if w.want, problems = intent.Desired(in); len(intent.Errors(w.problems)) == 0 {
			w.problems = problems
		}
	}
	w.pinned, w.stack = intent.Pin(in, w.want), stackFingerprint(w.want)
	return w, nil
}

func typeOf(c intent.Claim) lb.LoadBalancerType {
	if c == intent.Classic {
		return lb.Classic
	}
	return lb.Network
}

// plan leads from have to what is wanted; what is asked for instead is blocked.
func (w wish) plan(have plan.Observed, policy plan.Policy) plan.Plan {
	p := plan.Diff(w.want, have, policy)
	if w.instead != nil {
		p.Blocked = append(p.Blocked, plan.Diff(*w.instead, have, policy).Blocked...)
	}
	return p
}

// stands is what the load balancer that there is for certain goes by, and
// whether it is one of another kind than the Service asks for.
func (r record) stands(in intent.Input, asked lb.Stack) (intent.Input, bool) {
	wanted := in.Type
	if in.Type = r.standing(wanted); in.Type != lb.Network {
		return in, in.Type != wanted
	}
	var with, without bool
	for _, e := range r.Balancers {
		seen := e.DNS != "" // one that was found by its tags has not been looked at
		with, without = with || seen && !e.Bare, without || seen && e.Bare
	}
	if with != without {
		in.NoSecurityGroups = &without
	}
	return in, in.Type != wanted || with != without && without != asked.LoadBalancer.NoSecurityGroups
}

// standing is the type of the load balancer that there is for certain; the
// wanted one when there are both or none.
func (r record) standing(wanted lb.LoadBalancerType) lb.LoadBalancerType {
	known := func(entries []recorded) bool { return len(pending(entries)) < len(entries) }
	switch network, classic := known(r.Balancers), known(r.Classic); {
	case network && !classic:
		return lb.Network
	case classic && !network:
		return lb.Classic
	}
	return wanted
}
