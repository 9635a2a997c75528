package health

import (
	"container/heap"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/mailbox"
)

// maxRunning bounds the checks that run at once, and so goroutines and sockets.
// With all targets of a zone dead and 10 s timeouts it still asks 200 a second.
const maxRunning = 2048

// unsentPause is the least time between two log lines about the edge's own
// trouble, which hits all targets alike.
const unsentPause = 10 * time.Second

// Config is what a Checker needs.
type Config struct {
	Prober Prober
	Log    *slog.Logger

	// OnChange is told of health that changed, new targets and their first
	// health included, in batches. It must not block: checks wait for it.
	OnChange func([]lb.TargetHealthReport)

	// Restored are states from before a restart. A target in it goes on from
	// there instead of from initial, as long as it asks the same.
	Restored map[lb.TargetKey]lb.TargetHealth
}

// Checker keeps the health of a set of targets.
type Checker struct {
	cfg     Config
	targets mailbox.Newest[map[lb.TargetKey]Target]
	results chan answer
	seed    maphash.Seed

	checks  map[lb.TargetKey]*check
	queue   queue
	running int
	changes []lb.TargetHealthReport

	lastUnsent time.Time // when the log last told of checks that could not be sent
}

// check is one target's schedule. It is in the queue unless it is running.
type check struct {
	key     lb.TargetKey
	target  Target
	state   State
	due     time.Time     // the next probe
	beat    time.Time     // the next regular probe; due, unless an early one comes before it
	pause   time.Duration // before the last early probe
	early   bool          // the next or running probe is an early one
	asked   bool          // a regular probe has been answered
	running bool
	gone    bool               // deregistered while running
	cancel  context.CancelFunc // of the running probe
	index   int                // in the queue
}

// answer is a finished probe.
type answer struct {
	check  *check
	target Target // as it was asked
	result Result
}

// NewChecker returns a checker without targets.
func NewChecker(cfg Config) *Checker {
	return &Checker{
		cfg:     cfg,
		targets: mailbox.New[map[lb.TargetKey]Target](),
		results: make(chan answer, maxRunning),
		seed:    maphash.MakeSeed(),
		checks:  map[lb.TargetKey]*check{},
	}
}

// Set replaces the targets. It never blocks and may be called before and while
// Run runs. The map must not be changed afterwards.
func (c *Checker) Set(targets map[lb.TargetKey]Target) { c.targets.Put(targets) }

// Run checks until ctx ends and returns when no probe is left.
func (c *Checker) Run(ctx context.Context) {
	var probes sync.WaitGroup
	defer probes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.startDue(ctx, &probes)
		c.flush()
		c.arm(timer)
		select {
		case <-ctx.Done():
			return
		case targets := <-c.targets.C:
			c.register(targets, time.Now())
		case a := <-c.results:
			c.finish(a, time.Now())
			c.finishAll()
		case <-timer.C:
		}
	}
}

// finishAll takes the other results that are there, so that they make one batch.
func (c *Checker) finishAll() {
	for {
		select {
		case a := <-c.results:
			c.finish(a, time.Now())
		default:
			return
		}
	}
}

func (c *Checker) flush() {
	if len(c.changes) > 0 {
		c.cfg.OnChange(c.changes)
		c.changes = nil
	}
}

// arm sets the timer to the next thing to do. At the bound of running probes
// that is a result.
func (c *Checker) arm(timer *time.Timer) {
	if len(c.queue) == 0 || c.running >= maxRunning {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(c.queue[0].wake()))
}

// startDue starts the probes whose time has come and ends the draining whose
// time is over.
func (c *Checker) startDue(ctx context.Context, probes *sync.WaitGroup) {
	now := time.Now()
	for len(c.queue) > 0 && c.running < maxRunning && !c.queue[0].wake().After(now) {
		check := c.queue[0]
		c.apply(check, Result{Outcome: Elapsed}, now)
		if check.due.After(now) {
			heap.Fix(&c.queue, check.index)
			continue
		}
		heap.Pop(&c.queue)
		c.start(ctx, check, probes)
	}
}

func (c *Checker) start(ctx context.Context, check *check, probes *sync.WaitGroup) {
	target := check.target
	ctx, cancel := context.WithTimeout(ctx, target.Timeout)
	check.running, check.cancel = true, cancel
	c.running++
	probes.Go(func() {
		defer cancel()
		c.results <- answer{check, target, c.ask(ctx, target)}
	})
}

// errBlocked is why a check was not sent that security groups do not let pass.
var errBlocked = errors.New("the security groups of the load balancer or of the target do not allow the health check")

// ask asks a target. What would not arrive is not sent, and a time-out is known
// at once for what it is.
func (c *Checker) ask(ctx context.Context, target Target) Result {
	if target.Blocked {
		return Result{Outcome: TimedOut, Err: errBlocked}
	}
	return c.cfg.Prober.Probe(ctx, target)
}

// finish applies a result and schedules the next probe.
func (c *Checker) finish(a answer, now time.Time) {
	check := a.check
	check.running = false
	c.running--
	if check.gone {
		return
	}
	if check.target.asksLike(a.target) {
		if !check.early || a.result.Outcome == Passed {
			c.apply(check, a.result, now)
		}
		c.schedule(check, now)
	} else {
		check.askAt(now)
	}
	heap.Push(&c.queue, check)
}

// earlyPause is the time before the first early probe; each further pause is
// twice as long as the one before.
const earlyPause = 100 * time.Millisecond

// schedule sets the time of the next probe. Regular probes keep the target's
// beat. A target that is still in initial is asked in between as well, at first
// soon and then ever less often, because what is registered while it starts (a
// node port that kube-proxy has yet to open) would else wait out an interval.
// Such an early probe can admit the target and counts for nothing when it fails.
func (c *Checker) schedule(check *check, now time.Time) {
	if !check.early {
		check.beat, check.asked = c.nextBeat(check, now), true
	}
	check.askAt(check.beat)
	if check.state.Health.State != lb.Initial {
		return
	}
	check.pause = max(2*check.pause, earlyPause)
	if soon := now.Add(check.pause); soon.Before(check.beat) {
		check.due, check.early = soon, true
	}
}

// askAt makes the next probe a regular one at a certain time.
func (c *check) askAt(t time.Time) { c.due, c.beat, c.early = t, t, false }

// nextBeat is an interval after the last beat. The first interval is cut short
// by a part that depends on the target, so that targets registered together
// spread out.
func (c *Checker) nextBeat(check *check, now time.Time) time.Time {
	interval := check.target.Interval
	next := check.beat.Add(interval)
	if !check.asked {
		next = check.beat.Add(interval - interval/2*time.Duration(c.phase(check.key))/256)
	}
	if next.Before(now) {
		return now
	}
	return next
}

// phase is a number from 0 to 255 that differs between targets.
func (c *Checker) phase(key lb.TargetKey) uint8 {
	return uint8(maphash.Comparable(c.seed, key))
}

func (c *Checker) apply(check *check, result Result, now time.Time) {
	if result.Outcome == NotAsked && now.Sub(c.lastUnsent) > unsentPause {
		c.lastUnsent = now
		c.cfg.Log.Warn("health checks cannot be sent; targets keep their health", "targetGroup", check.key.TargetGroupARN,
			"target", check.key.ID, "port", check.key.Port, "error", result.Err)
	}
	state, effects := Next(check.state, Event{Result: result, Rules: check.target.Rules}, now)
	check.state = state
	if !effects.Changed {
		return
	}
	c.cfg.Log.Info("target health changed", "targetGroup", check.key.TargetGroupARN, "target", check.key.ID,
		"port", check.key.Port, "state", state.Health.State, "reason", state.Health.Reason, "error", result.Err)
	c.changed(check)
}

func (c *Checker) changed(check *check) {
	c.changes = append(c.changes, lb.TargetHealthReport{Target: check.key, Health: check.state.Health})
}

// wake is when the check needs attention next.
func (c *check) wake() time.Time {
	if end := c.state.DrainEnd; !end.IsZero() && end.Before(c.due) {
		return end
	}
	return c.due
}
