package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab"
)

// Options are what can be chosen about a walk.
type Options struct {
	Lab  lab.Options
	Keep bool      // leave the lab up for a look around
	Out  io.Writer // where the story is told
}

// Run starts a lab, walks the post on it and takes the lab away again. It
// returns a *cli.Error with the failing step when something is not so.
func Run(ctx context.Context, o Options) error {
	start := time.Now()
	l, err := lab.Up(ctx, o.Lab)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "\nThe lab is up (%.1f s): a real Kubernetes of two nodes in two zones, and a client outside, "+clientAddress+".\n"+
		"What follows a $ can be typed as it is, in a shell of this directory after: eval \"$(%s)\"\n",
		time.Since(start).Seconds(), l.EnvCommand("fairlead-lab"))
	done, err := tell(ctx, l, o.Out)
	if o.Keep {
		return keep(o.Out, l, done, err)
	}
	if downErr := takeAway(o, l); downErr != nil {
		return errors.Join(explain(err), downErr)
	}
	if err != nil {
		return explain(err)
	}
	summary(o.Out, done)
	fmt.Fprintf(o.Out, "\nEverything is as the post says, and nothing is left (%.0f s in all).\n", time.Since(start).Seconds())
	return nil
}

// Tell walks the steps on a running lab without other Services, and leaves none.
func Tell(ctx context.Context, l *lab.Lab, out io.Writer) error {
	_, err := tell(ctx, l, out)
	return explain(err)
}

func tell(ctx context.Context, l *lab.Lab, out io.Writer) ([]result, error) {
	w := &walk{shell: shell{lab: l, out: out}, zones: zoneNames(l)}
	defer w.close()
	return walkThrough(ctx, w, steps())
}

func zoneNames(l *lab.Lab) []string {
	var names []string
	for _, z := range l.Layout().Zones {
		names = append(names, z.Name)
	}
	return names
}

// keep ends a walk whose lab stays up.
func keep(out io.Writer, l *lab.Lab, done []result, err error) error {
	if err == nil {
		summary(out, done)
	}
	fmt.Fprintf(out, "\nThe lab stays up. To use it: eval \"$(%s)\"; to end it: fairlead-lab down\n", l.EnvCommand("fairlead-lab"))
	return explain(err)
}

// takeAway removes the lab and checks that none of its namespaces is left.
func takeAway(o Options, l *lab.Lab) error {
	prefix := l.Layout().Prefix
	if err := lab.Down(context.Background(), l.StateDir(), o.Lab.Progress); err != nil {
		return err
	}
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			return &cli.Error{
				What: "take the lab away",
				Err:  fmt.Errorf("the namespace %s is left", e.Name()),
				Hint: "run 'fairlead-lab down' again; 'ip netns list' shows what is left",
			}
		}
	}
	return nil
}

// explain turns a failed step into an error for people.
func explain(err error) error {
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		return err
	}
	return &cli.Error{What: "walk the post", Err: f, Hint: "run it again with --keep and look at: " + f.Look}
}
