package engine

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// drainer removes targets whose deregistration delay is over. Deadlines are
// part of the state, so that a restart neither forgets nor prolongs them.
type drainer struct {
	db  *store.Store
	log *slog.Logger
}

// run removes targets as their time comes, until ctx ends or writes are refused.
func (d drainer) run(ctx context.Context) {
	for ctx.Err() == nil {
		r := d.db.Current()
		next, due := dueAt(r, time.Now())
		if !due {
			await(ctx, r, next)
			continue
		}
		if err := d.db.Update(func(tx *store.Tx) error { removeDrained(tx, time.Now()); return nil }); err != nil {
			d.log.Error("drained targets stay registered until a restart", "error", err)
			return
		}
	}
}

// await returns at the next deadline, or as soon as a newer revision may have
// brought an earlier one.
func await(ctx context.Context, r *store.Revision, next time.Time) {
	var deadline <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(time.Until(next))
		defer timer.Stop()
		deadline = timer.C
	}
	select {
	case <-ctx.Done():
	case <-deadline:
	case <-r.Superseded():
	}
}

// dueAt tells whether any target is drained, and else when the next will be;
// the zero time when none drains.
func dueAt(r store.Reader, now time.Time) (next time.Time, due bool) {
	for until := range deadlines(r) {
		if !until.After(now) {
			return now, true
		}
		if next.IsZero() || until.Before(next) {
			next = until
		}
	}
	return next, false
}

// deadlines yields when each target and each Classic instance that drains goes.
func deadlines(r store.Reader) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for t := range state.DrainingTargets.All(r, state.AllDraining) {
			if !yield(t.DrainUntil) {
				return
			}
		}
		for i := range state.DrainingClassicInstances.All(r, state.AllDraining) {
			if !yield(i.DrainUntil) {
				return
			}
		}
	}
}

func removeDrained(tx *store.Tx, now time.Time) {
	for t := range state.DrainingTargets.All(tx, state.AllDraining) {
		if !t.DrainUntil.After(now) {
			state.Targets.Delete(tx, state.TargetKey(t.TargetGroupARN, t.ID, t.Port))
		}
	}
	for i := range state.DrainingClassicInstances.All(tx, state.AllDraining) {
		if !i.DrainUntil.After(now) {
			state.ClassicInstances.Delete(tx, state.ClassicInstanceKey(i.LoadBalancerARN, i.InstanceID))
		}
	}
}
