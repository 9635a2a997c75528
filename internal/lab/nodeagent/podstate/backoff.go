package podstate

import "time"

// The kubelet's delays between restarts: none before the first, then doubling;
// a run of twice the longest delay starts over.
const (
	firstDelay = 10 * time.Second
	maxDelay   = 5 * time.Minute
	forgiven   = 2 * maxDelay
)

// backoff is the delay that the next failure will cost.
type backoff struct{ delay time.Duration }

// next returns the delay before the restart of a run that lasted so long.
func (b backoff) next(lasted time.Duration) (backoff, time.Duration) {
	if lasted > forgiven {
		b.delay = 0
	}
	return b.longer(), b.delay
}

// retry returns the delay after a failed attempt, which is never zero.
func (b backoff) retry() (backoff, time.Duration) {
	b = b.longer()
	return b, b.delay
}

func (b backoff) longer() backoff {
	return backoff{min(max(2*b.delay, firstDelay), maxDelay)}
}
