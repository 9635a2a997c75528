package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/test/peers/cpa"
)

const (
	nodes = 10
	many  = 50
)

// Bounds of waiting for a controller to be done: it is when what was asked for
// has come about and no call has been made for quiet. lull is how long it may
// take to make its first call.
const (
	quiet    = 4 * time.Second
	lull     = 8 * time.Second
	tooLong  = 10 * time.Minute
	lookedAt = 300 * time.Millisecond // what is measured are the calls, not the looks
)

// situation is something that happens to a cluster, and what a controller has
// done when it has reacted to it.
type situation struct {
	name string
	aim  float64 // AWS calls of ours at most
	do   func(context.Context, *contender) error
	done func(context.Context, *world) (bool, error)
}

// controllers puts our controller and cloud-provider-aws through the same
// situations, each in a world of its own, one after the other in each situation.
func controllers(ctx context.Context, p programs) (rows []Row, err error) {
	peer, err := buildPeer(ctx, p.peers, cpa.Name)
	if err != nil {
		return nil, err
	}
	pair := []*contender{
		{name: "fairlead", launch: ours(p.fairlead)},
		{name: "cloud-provider-aws " + cpa.Version, launch: theirs(peer)},
	}
	for _, c := range pair {
		if c.world, err = newWorld(ctx, nodes); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.world.close()) }()
		if err := c.start(ctx); err != nil {
			return nil, err
		}
		defer func() { c.process.Stop() }()
		if err := c.world.settle(ctx, always); err != nil { // what a process asks at its start
			return nil, err
		}
	}
	for _, s := range situations() {
		both, err := s.compare(ctx, pair)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		rows = append(rows, both...)
	}
	rows = append(rows, memory(pair))
	change, err := podChange(ctx, pair[0])
	return append(rows, change), err
}

func situations() []situation {
	return []situation{
		{"first", 12, add(0, 1), haveNames(1)},
		{"next", 8, add(1, 2), haveNames(2)},
		{"no_change", 0, annotate, always},
		{"delete", 6, remove(1, 2), haveNames(1)},
		{"delete_last", 6, remove(0, 1), haveNames(0)},
		{"create_50", 330, add(0, many), haveNames(many)},
		{"node_leaves_with_50", many + 1, removeNode(nodes - 1), deregistered(many)},
		{"restart_with_50", 15, restart, always},
		{"node_leaves_after_restart", many + 1, removeNode(nodes - 2), deregistered(many)},
	}
}

func removeNode(n int) func(context.Context, *contender) error {
	return func(ctx context.Context, c *contender) error { return c.world.removeNode(ctx, n) }
}

func add(from, to int) func(context.Context, *contender) error {
	return func(ctx context.Context, c *contender) error { return c.world.addServices(ctx, from, to) }
}

func remove(from, to int) func(context.Context, *contender) error {
	return func(ctx context.Context, c *contender) error { return c.world.deleteServices(ctx, from, to) }
}

// annotate changes a Service in a way that no load balancer depends on.
func annotate(ctx context.Context, c *contender) error {
	patch := []byte(`{"metadata":{"annotations":{"example.com/note":"of no consequence"}}}`)
	_, err := c.world.kube.CoreV1().Services("default").Patch(ctx, serviceName(0), types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func restart(ctx context.Context, c *contender) error {
	c.process.Stop()
	return c.start(ctx)
}

func always(context.Context, *world) (bool, error) { return true, nil }

// haveNames is done when there are n Services and all have their names.
func haveNames(n int) func(context.Context, *world) (bool, error) {
	return func(ctx context.Context, w *world) (bool, error) {
		with, all, err := w.served(ctx)
		return with == n && all == n, err
	}
}

func deregistered(n int) func(context.Context, *world) (bool, error) {
	return func(_ context.Context, w *world) (bool, error) { return w.aws.count("DeregisterTargets") >= n, nil }
}

// compare runs the situation for each contender, and pairs what it took.
func (s situation) compare(ctx context.Context, pair []*contender) ([]Row, error) {
	var taken [2]effort
	for i, c := range pair {
		e, err := s.measure(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(os.Stderr, "   %s, %s: %d calls, %.2f s: %s\n", s.name, c.name, len(e.calls), e.seconds, actions(e.calls))
		taken[i] = e
	}
	rows, peer := s.rows(taken[0]), s.rows(taken[1])
	for i := range rows[:2] {
		rows[i] = rows[i].beside(pair[1].name, peer[i].Value)
	}
	rows[0] = rows[0].atMost(s.aim)
	return rows, nil
}

// rows are calls, those of later among them, seconds, and the calls of later if
// there were any.
func (s situation) rows(e effort) []Row {
	name := "controller." + s.name
	rows := []Row{
		{Name: name + ".calls", Unit: "AWS calls", Value: float64(len(e.calls) + len(e.looks))},
		{Name: name + ".seconds", Unit: "s", Value: e.seconds},
	}
	if len(e.looks) > 0 {
		rows = append(rows, Row{Name: name + ".looks", Unit: "AWS calls", Value: float64(len(e.looks))})
	}
	return rows
}

// effort is what a controller did about a situation.
type effort struct {
	calls   []call
	seconds float64
	looks   []call // calls of later, until it said whether targets are healthy
}

// measure makes the situation happen and waits until the controller is done.
// Seconds are counted to the end of the last call that changed something, or of
// the last one when none did. What it asks later to tell the health of targets
// takes none.
func (s situation) measure(ctx context.Context, c *contender) (effort, error) {
	c.world.aws.take()
	begin := time.Now()
	if err := s.do(ctx, c); err != nil {
		return effort{}, err
	}
	if err := c.world.settle(ctx, s.done); err != nil {
		return effort{}, err
	}
	calls := c.world.aws.take()
	end, changed := begin, begin
	for _, call := range calls {
		end = later(end, call.end)
		if call.changes() {
			changed = later(changed, call.end)
		}
	}
	if changed != begin {
		end = changed
	}
	looks, err := s.looks(ctx, c)
	return effort{calls, end.Sub(begin).Seconds(), looks}, err
}

// looks are the calls until a controller has said of all targets whether they
// are healthy, of one that says so.
func (s situation) looks(ctx context.Context, c *contender) ([]call, error) {
	if told, err := healthTold(ctx, c.world); err != nil || told {
		return nil, err
	}
	err := c.world.settle(ctx, healthTold)
	looks := c.world.aws.take()
	fmt.Fprintf(os.Stderr, "   %s, %s, health: %d calls: %s\n", s.name, c.name, len(looks), actions(looks))
	return looks, err
}

// healthTold is done when no Service waits for news of its targets' health.
func healthTold(ctx context.Context, w *world) (bool, error) {
	n, err := w.pending(ctx)
	return n == 0, err
}

// settle waits until a controller is done.
func (w *world) settle(ctx context.Context, done func(context.Context, *world) (bool, error)) error {
	begin := time.Now()
	ok := false
	for {
		var err error
		if !ok {
			if ok, err = done(ctx, w); err != nil {
				return err
			}
		}
		last, busy := w.aws.last()
		patience := later(begin.Add(lull), last.Add(quiet))
		if ok && !busy && time.Now().After(patience) {
			return nil
		}
		if time.Since(begin) > tooLong {
			return fmt.Errorf("not done within %v; calls so far: %s; see %s", tooLong, actions(w.aws.take()), w.dir)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookedAt):
		}
	}
}

// memory compares what the processes hold with all load balancers there.
func memory(pair []*contender) Row {
	var mb [2]float64
	for i, c := range pair {
		mb[i], _ = resident(c.process.PID(), "VmRSS") // zero in the table says that the process is gone
	}
	return Row{Name: fmt.Sprintf("controller.memory_with_%d", many), Unit: "MB", Value: mb[0]}.beside(pair[1].name, mb[1])
}
