package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab"
)

// shell runs the commands that a person would type after
// `eval "$(fairlead-lab env)"`, and prints each before it runs.
type shell struct {
	lab *lab.Lab
	out io.Writer
}

// commandTimeout bounds one command: the slowest, a node leaving, takes seconds.
const commandTimeout = time.Minute

// say prints a command line as a person would type it, and what stands behind
// it, such as an ampersand.
func (s shell) say(argv []string, behind ...string) {
	fmt.Fprintf(s.out, "   $ %s\n", strings.Join(append([]string{lab.CommandLine(argv)}, behind...), " "))
}

// run prints and runs a command and returns its standard output.
func (s shell) run(ctx context.Context, argv ...string) (string, error) {
	s.say(argv)
	return s.quiet(ctx, "", argv...)
}

// quiet runs a command without printing it, for polling.
func (s shell) quiet(ctx context.Context, in string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return s.lab.Output(ctx, in, argv...)
}
