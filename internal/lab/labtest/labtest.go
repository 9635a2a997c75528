// Package labtest is a lab for tests: up beside any that the user may have, used
// as its user would, and gone without a trace after the test.
package labtest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab"
)

// Patience is for what must come about; nothing here is a measurement.
const Patience = 60 * time.Second

// Lab is a lab as its user sees it.
type Lab struct {
	*lab.Lab
	prefix string // of its namespaces
}

// Up starts a lab of this checkout's programs, and takes it away after the test
// with a look at what is left. Its namespaces begin with the name.
func Up(t *testing.T, name string, change func(*lab.Options)) *Lab {
	t.Helper()
	o, err := lab.Beside(name, t.TempDir(), build(t))
	if err != nil {
		t.Fatal(err)
	}
	o.Progress = Log(t)
	if change != nil {
		change(&o)
	}
	running, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{Lab: running, prefix: o.Prefix}
	t.Cleanup(func() { l.down(t) })
	return l
}

func (l *Lab) down(t *testing.T) {
	if t.Failed() {
		l.showLogs(t)
	}
	if err := lab.Down(context.Background(), l.StateDir(), Log(t)); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob("/run/netns/" + l.prefix + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("namespaces left behind: %v (%v)", left, err)
	}
	if _, err := os.Stat(l.StateDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state directory left behind: %v", err)
	}
}

// showLogs prints the ends of the logs that explain most failures.
func (l *Lab) showLogs(t *testing.T) {
	names := []string{"controller", "engine"}
	for _, z := range l.Layout().Zones {
		names = append(names, "edge-"+z.Name)
	}
	for _, name := range names {
		path, err := l.Logs(name)
		if err != nil {
			continue
		}
		data, _ := os.ReadFile(path) // without it there is nothing to show
		t.Logf("the end of %s's log:\n%s", name, ending(string(data)))
	}
}

// ending is the last lines of a log, each cut to what fits a screen.
func ending(log string) string {
	lines := strings.Split(log, "\n")
	lines = lines[max(0, len(lines)-15):]
	for i, l := range lines {
		lines[i] = l[:min(len(l), 500)]
	}
	return strings.Join(lines, "\n")
}

// build makes the two programs.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const module = "github.com/fairlead-lb/fairlead/cmd/"
	out, err := exec.Command("go", "build", "-o", dir, module+"fairlead", module+"fairlead-lab").CombinedOutput()
	if err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	return dir
}

// Try runs a command, for as long as Patience.
func (l *Lab) Try(ctx context.Context, input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	return l.Output(ctx, input, argv...)
}

// Run is Try for commands that must succeed.
func (l *Lab) Run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := l.Try(t.Context(), "", argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Apply applies a manifest.
func (l *Lab) Apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := l.Try(t.Context(), manifest, "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// Hostname waits for the name of a Service's load balancer.
func (l *Lab) Hostname(t *testing.T, service string) string {
	t.Helper()
	var host string
	Until(t, "hostname of "+service, func() (string, bool) {
		host = l.Run(t, "kubectl", "get", "service", service, "-o", "jsonpath={.status.loadBalancer.ingress[0].hostname}")
		return host, host != ""
	})
	return host
}

// Until waits for look to say that all is well, and fails with what it said last.
func Until(t *testing.T, what string, look func() (seen string, ok bool)) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		seen, ok := look()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so within %v; seen last: %s", what, Patience, seen)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Log is a writer that sends lines to the test's log as they come.
func Log(t *testing.T) io.Writer { return writer{t} }

type writer struct{ t *testing.T }

func (w writer) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
