package edgeapi

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Local is a Link within one process: an engine that runs an edge itself.
type Local struct {
	source    Source
	zone      string
	connected atomic.Bool
}

// NewLocal returns the link between source and the edge of zone beside it.
func NewLocal(source Source, zone string) *Local { return &Local{source: source, zone: zone} }

// Connected implements Link.
func (l *Local) Connected() bool { return l.connected.Load() }

// Run implements Link. Unlike a Client it fails when the source refuses the
// zone or ends the session.
func (l *Local) Run(ctx context.Context, out *Outbox, onSnapshot func(lb.ZoneSnapshot)) error {
	snapshots, cancel, err := l.source.Watch(l.zone)
	if err != nil {
		return err
	}
	l.connected.Store(true)
	defer l.connected.Store(false)
	defer l.source.Disconnected(l.zone)
	defer cancel()
	l.source.Report(out.takeFull())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case snapshot, ok := <-snapshots:
			if !ok {
				return errors.New("the engine ended the session")
			}
			onSnapshot(snapshot)
		case <-out.ready:
			if report, pending := out.takeChanged(); pending {
				l.source.Report(report)
			}
		}
	}
}
