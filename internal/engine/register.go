package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// registrar lets registrations that were told to wait take effect. As with
// draining, deadlines are part of the state.
type registrar struct {
	db  *store.Store
	log *slog.Logger
}

// run activates targets as their time comes, until ctx ends or writes are
// refused.
func (g registrar) run(ctx context.Context) {
	for ctx.Err() == nil {
		r := g.db.Current()
		next, due := pendingAt(r, time.Now())
		if !due {
			await(ctx, r, next)
			continue
		}
		if err := g.db.Update(func(tx *store.Tx) error { activate(tx, time.Now()); return nil }); err != nil {
			g.log.Error("pending targets stay so until a restart", "error", err)
			return
		}
	}
}

// pendingAt tells whether a registration is due, and else when the next will
// be; the zero time when none is pending.
func pendingAt(r store.Reader, now time.Time) (next time.Time, due bool) {
	for t := range state.PendingTargets.All(r, state.AllPending) {
		if !t.PendingUntil.After(now) {
			return now, true
		}
		if next.IsZero() || t.PendingUntil.Before(next) {
			next = t.PendingUntil
		}
	}
	return next, false
}

func activate(tx *store.Tx, now time.Time) {
	for t := range state.PendingTargets.All(tx, state.AllPending) {
		if !t.PendingUntil.After(now) {
			t.PendingUntil = time.Time{}
			state.Targets.Put(tx, t)
		}
	}
}
