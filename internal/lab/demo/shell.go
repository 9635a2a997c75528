package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// shell runs the commands that a person would type after
// `eval "$(fairlead-lab env)"`, and prints each before it runs.
type shell struct {
	env []string // the environment that `fairlead-lab env` exports
	out io.Writer
}

// commandTimeout bounds one command: the slowest, a node leaving, takes seconds.
const commandTimeout = time.Minute

// say prints a command line as a person would type it.
func (s shell) say(argv []string) { fmt.Fprintf(s.out, "   $ %s\n", quote(argv)) }

// run prints and runs a command and returns its standard output.
func (s shell) run(ctx context.Context, argv ...string) (string, error) {
	s.say(argv)
	return s.quiet(ctx, nil, argv...)
}

// quiet runs a command without printing it, for polling.
func (s shell) quiet(ctx context.Context, in []byte, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := s.command(ctx, argv...)
	cmd.Stdin = bytes.NewReader(in)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", quote(argv), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// command prepares a command in the lab's environment.
func (s shell) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.lookPath(argv[0]), argv[1:]...)
	cmd.Env = s.env
	return cmd
}

// lookPath finds a program on the lab's PATH rather than on this process's.
func (s shell) lookPath(name string) string {
	for _, v := range s.env {
		dirs, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(dirs, ":") {
			if path, err := exec.LookPath(dir + "/" + name); err == nil {
				return path
			}
		}
	}
	return name
}

// quote renders argv for people: words with shell characters in single quotes.
func quote(argv []string) string {
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = w
		if w == "" || strings.ContainsAny(w, " \t'\"{}[]$&|;<>()*?") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
