package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Command prepares a command as it is typed after `eval "$(fairlead-lab env)"`:
// in this process's environment with the lab's over it, and with the lab's
// programs before others of their names.
func (l *Lab) Command(ctx context.Context, argv ...string) *exec.Cmd {
	path := argv[0]
	if own, err := exec.LookPath(filepath.Join(l.dir.Bin(), path)); err == nil {
		path = own
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = append(os.Environ(), l.Env()...) // of a repeated name the last counts
	return cmd
}

// Output runs a Command with an input and returns its standard output. An error
// tells what the command wrote to standard error.
func (l *Lab) Output(ctx context.Context, input string, argv ...string) (string, error) {
	cmd := l.Command(ctx, argv...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", CommandLine(argv), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// CommandLine renders argv for people: words with shell characters in single
// quotes.
func CommandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = w
		if w == "" || strings.ContainsAny(w, " \t'\"{}[]$&|;<>()*?") {
			words[i] = shellQuote(w)
		}
	}
	return strings.Join(words, " ")
}
