package httplb

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// surge is the surge queue as one request sees it: the requests of its load
// balancer that wait for a connection to their target.
type surge struct {
	counters *proxy.Counters
	limit    int64
	patience time.Duration // the idle timeout: longer, and the client would go
}

var errImpatient = errors.New("no connection to the target became free in time")

// wait returns nil when turn has a token.
func (q *surge) wait(ctx context.Context, turn <-chan struct{}) error {
	defer leave(&q.counters.SurgeQueueLength)
	if q.counters.SurgeQueueLength.Add(1) > q.limit {
		q.counters.SpilloverCount.Add(1)
		return errSpillover
	}
	timer := time.NewTimer(q.patience)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errImpatient
	}
}

func leave(gauge *atomic.Int64) { gauge.Add(-1) }
