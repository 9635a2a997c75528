// Package demo walks the blog post on a running lab and prints, for each step,
// the commands that a person would type and the evidence they would look for.
//
// It is a user of the lab, not a part of it: everything it knows comes from
// kubectl, the AWS CLI, curl and fairlead-lab itself, so that a walk that
// passes proves what a user sees. It stops at the first thing that is not so
// and says what was expected, what was seen and where to look.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// step is one stage of the walk. Its function returns the evidence in one line.
type step struct {
	title string
	run   func(context.Context, *walk) (string, error)
}

// walk is what the steps share.
type walk struct {
	shell
	applied time.Time // when the Service was applied
	zones   []string  // of the lab; each has an edge
	host    string    // DNS name of the load balancer, from the Service's status
	held    *held     // the connection that outlives everything
}

// close ends what the walk left running.
func (w *walk) close() {
	if w.held != nil {
		w.held.close()
	}
}

// Failure is a step that did not see what it had to.
type Failure struct {
	Step     string
	Expected string
	Seen     string
	Look     string // the command that shows more
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s: expected %s; seen: %s", f.Step, f.Expected, f.Seen)
}

// result is a line of the closing table.
type result struct {
	title, evidence string
	took            time.Duration
}

// walkThrough runs the steps in order and stops at the first failure.
func walkThrough(ctx context.Context, w *walk, steps []step) ([]result, error) {
	var done []result
	for i, s := range steps {
		fmt.Fprintf(w.out, "\n%d. %s\n", i+1, s.title)
		start := time.Now()
		evidence, err := s.run(ctx, w)
		if err != nil {
			if f, ok := errors.AsType[*Failure](err); ok {
				f.Step = s.title
			}
			return done, err
		}
		took := time.Since(start)
		fmt.Fprintf(w.out, "   ✓ %s (%.1f s)\n", evidence, took.Seconds())
		done = append(done, result{s.title, evidence, took})
	}
	return done, nil
}

// summary prints each step again with its evidence, on a line each: together
// they are wider than a terminal.
func summary(out io.Writer, done []result) {
	fmt.Fprint(out, "\nWhat was shown:\n\n")
	for i, r := range done {
		fmt.Fprintf(out, "%3d. %s (%.1f s)\n     ✓ %s\n", i+1, r.title, r.took.Seconds(), r.evidence)
	}
}

// poll is how often the walk looks again. It stands in for a person's eyes;
// nothing in the product polls at this rate.
const poll = 300 * time.Millisecond

// await repeats look until it reports true, and gives up after limit with a
// Failure that holds what was seen last.
func (w *walk) await(ctx context.Context, limit time.Duration, want Failure, look func(context.Context) (seen string, ok bool)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		seen, ok := look(ctx)
		if ok {
			return nil
		}
		if ctx.Err() == nil {
			want.Seen = seen
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			want.Expected += fmt.Sprintf(" within %v", limit)
			return &want
		}
	}
}
