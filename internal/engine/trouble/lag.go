package trouble

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Lag is the state as reads see it that lag behind: Current is the revision
// that was newest Settings.ReadLag ago. Writes go to the present.
type Lag struct {
	*store.Store
	trouble *Trouble

	mu      sync.Mutex
	history []moment // oldest first; what Current may return, but for the newest revision
}

// moment is a revision and when it became the newest.
type moment struct {
	at       time.Time
	revision *store.Revision
}

// NewLag returns the lagging view of a store. Follow has to run for it to lag.
func NewLag(db *store.Store, t *Trouble) *Lag { return &Lag{Store: db, trouble: t} }

// Current is the revision that a read sees.
func (l *Lag) Current() *store.Revision {
	lag := time.Duration(l.trouble.Settings().ReadLag)
	if lag == 0 {
		return l.Store.Current()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := newestBy(l.history, l.trouble.now().Add(-lag)); i >= 0 {
		return l.history[i].revision
	}
	return l.Store.Current()
}

// newestBy is the index of the newest moment that is not after cutoff, of the
// oldest one when all are, and -1 when there is none.
func newestBy(history []moment, cutoff time.Time) int {
	for i, m := range slices.Backward(history) {
		if !m.at.After(cutoff) {
			return i
		}
	}
	return min(0, len(history)-1)
}

// resolution is how many revisions are kept within the lag: a bound on memory.
const resolution = 128

// Follow remembers revisions for as long as reads lag, until ctx ends.
func (l *Lag) Follow(ctx context.Context) {
	for {
		var superseded <-chan struct{}
		lag := time.Duration(l.trouble.Settings().ReadLag)
		if lag > 0 {
			r := l.Store.Current()
			l.remember(moment{l.trouble.now(), r}, lag)
			superseded = r.Superseded()
		} else {
			l.forget()
		}
		select {
		case <-ctx.Done():
			return
		case <-l.trouble.changed:
		case <-superseded:
		}
	}
}

// Remembers reports whether there is a past to read.
func (l *Lag) Remembers() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.history) > 0
}

func (l *Lag) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = nil
}

func (l *Lag) remember(m moment, lag time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = remembered(l.history, m, lag)
}

// remembered adds a moment and drops those that no read can see any more. A
// moment soon after the one before takes its place, but not its time.
func remembered(history []moment, m moment, lag time.Duration) []moment {
	if first := newestBy(history, m.at.Add(-lag)); first > 0 {
		history = slices.Delete(history, 0, first)
	}
	if n := len(history); n > 1 {
		if last := history[n-1]; last.revision == m.revision || m.at.Sub(history[n-2].at) < lag/resolution {
			history[n-1].revision = m.revision
			return history
		}
	} else if n == 1 && history[0].revision == m.revision {
		return history
	}
	return append(history, m)
}

// Reads returns api with its reads, the actions that only look, taken from
// stale: the same API over a Lag.
func Reads(api, stale wire.API) wire.API {
	byName := map[string]wire.Action{}
	for _, a := range stale.Actions {
		byName[a.Name()] = a
	}
	actions := slices.Clone(api.Actions)
	for i, a := range actions {
		if isRead(a.Name()) {
			actions[i] = byName[a.Name()]
		}
	}
	api.Actions = actions
	return api
}

func isRead(action string) bool {
	return slices.ContainsFunc([]string{"Describe", "List", "Get"}, func(verb string) bool { return strings.HasPrefix(action, verb) })
}
