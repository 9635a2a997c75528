// Package supervisor runs the components of a lab: each in its namespace, after
// those it needs, again when it ends, with its output in a bounded log.
//
// Invariants:
//   - A component's process never outlives the supervisor: the kernel kills it
//     when the thread that started it ends, whatever ends the supervisor.
//   - At most one process per component runs at any time.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// Phase is where a component is in its life.
type Phase string

// Phases of a component.
const (
	Waiting  Phase = "waiting"  // for the components that it needs
	Starting Phase = "starting" // its process runs and does not serve yet
	Ready    Phase = "ready"
	Done     Phase = "done"    // it ran once, to its end
	Backoff  Phase = "backoff" // it ended and starts again soon
)

// Status is a component as people see it.
type Status struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Phase     Phase     `json:"phase"`
	PID       int       `json:"pid,omitempty"`
	Since     time.Time `json:"since"`            // of the phase
	Restarts  int       `json:"restarts"`         // starts after the first
	Failures  int       `json:"failures"`         // ends in a row that nobody asked for
	Reason    string    `json:"reason,omitempty"` // why it is not ready, or how it ended last
}

// Serving reports whether others may rely on the component.
func (s Status) Serving() bool { return s.Phase == Ready || s.Phase == Done }

// FailedError says that a component does not come up.
type FailedError struct {
	Name   string
	Reason string
}

func (e *FailedError) Error() string { return e.Name + " does not come up: " + e.Reason }

// Supervisor runs components. Use New.
type Supervisor struct {
	dir      component.Dir
	launcher *netlab.Launcher
	log      *slog.Logger

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	units   map[string]*unit
	order   []string      // names in the order added
	changed chan struct{} // closed at the next change of any status
}

// New returns a supervisor without components. Stop ends it.
func New(dir component.Dir, log *slog.Logger) *Supervisor {
	ctx, cancel := context.WithCancel(context.Background())
	return &Supervisor{
		dir: dir, launcher: netlab.NewLauncher(), log: log, ctx: ctx, cancel: cancel,
		units: map[string]*unit{}, changed: make(chan struct{}),
	}
}

// Add starts supervising components. Names that are known already are skipped.
func (s *Supervisor) Add(components ...component.Component) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range components {
		if s.units[c.Name] != nil {
			continue
		}
		u := newUnit(s, c)
		s.units[c.Name] = u
		s.order = append(s.order, c.Name)
		s.wg.Go(u.run)
	}
	s.announce()
}

// Remove ends components, each with SIGTERM first, and forgets them. It returns
// when their processes are gone.
func (s *Supervisor) Remove(names ...string) {
	var removed []*unit
	s.mu.Lock()
	for _, name := range names {
		if u := s.units[name]; u != nil {
			removed = append(removed, u)
			delete(s.units, name)
			s.order = slices.DeleteFunc(s.order, func(o string) bool { return o == name })
		}
	}
	s.announce()
	s.mu.Unlock()
	for _, u := range removed {
		u.cancel()
	}
	for _, u := range removed {
		<-u.gone
	}
}

// Restart ends a component's process, with SIGTERM and after some seconds with
// SIGKILL, or with SIGKILL at once, and returns when the next one serves.
func (s *Supervisor) Restart(ctx context.Context, name string, kill bool) error {
	s.mu.Lock()
	u := s.units[name]
	s.mu.Unlock()
	if u == nil {
		return fmt.Errorf("restart %s: there is no such component; there are %s", name, strings.Join(s.names(), ", "))
	}
	signal := syscall.SIGTERM
	if kill {
		signal = syscall.SIGKILL
	}
	req := request{signal: signal, ended: make(chan struct{})}
	for _, step := range []func() error{
		func() error { return send(ctx, u, req) },
		func() error { return await(ctx, u, req.ended) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("restart %s: %w", name, err)
		}
	}
	return s.WaitServing(ctx, name)
}

var errGone = errors.New("it has been removed")

func send(ctx context.Context, u *unit, req request) error {
	select {
	case u.requests <- req:
		return nil
	case <-u.gone:
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

func await(ctx context.Context, u *unit, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-u.gone:
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Supervisor) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Stop kills all processes and returns when they are gone.
func (s *Supervisor) Stop() {
	s.cancel()
	s.wg.Wait()
	s.launcher.Close()
}

// Status lists all components in the order added.
func (s *Supervisor) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.order))
	for _, name := range s.order {
		all = append(all, s.units[name].status)
	}
	return all
}

// Changed returns a channel that is closed when any status changes after now.
// Take it before looking at Status.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// announce wakes who waits for changes. The caller holds mu.
func (s *Supervisor) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// maxFailures in a row are not an accident any more.
const maxFailures = 4

// WaitServing returns when all named components serve, or with a FailedError
// when one of them fails again and again, or when ctx ends.
func (s *Supervisor) WaitServing(ctx context.Context, names ...string) error {
	for {
		changed := s.Changed()
		pending, failed := s.pending(names)
		if failed != nil || len(pending) == 0 {
			return failed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s.overdue(pending, ctx.Err())
		}
	}
}

// waitPatiently returns when all named components serve, however often they
// fail before, and reports false when ctx ended first.
func (s *Supervisor) waitPatiently(ctx context.Context, names []string) bool {
	for {
		changed := s.Changed()
		if pending, failed := s.pending(names); failed == nil && len(pending) == 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// pending lists who does not serve yet, unless one of them cannot be waited for.
func (s *Supervisor) pending(names []string) (pending []string, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		u := s.units[name]
		switch {
		case u == nil:
			failed = fmt.Errorf("wait for %s: there is no such component", name)
		case u.status.Serving():
		case u.status.Failures >= maxFailures:
			failed = &FailedError{Name: name, Reason: u.status.Reason}
		default:
			pending = append(pending, name)
		}
	}
	return pending, failed
}

// overdue blames the component that the others wait for.
func (s *Supervisor) overdue(pending []string, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range pending {
		if u := s.units[name]; u != nil && u.status.Phase != Waiting {
			reason := fmt.Sprintf("%s since %s", u.status.Phase, u.status.Since.Format(time.TimeOnly))
			if u.status.Reason != "" {
				reason += ": " + u.status.Reason
			}
			return &FailedError{Name: name, Reason: reason}
		}
	}
	return fmt.Errorf("wait for %s: %w", strings.Join(pending, ", "), cause)
}
