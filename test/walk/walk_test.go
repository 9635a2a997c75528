// Package walk_test runs the blog post end to end on a real lab: the demo's
// story first, then what a story has no room for: every kind of client, both
// policies, IPv6, and Services that are wrong in every way.
package walk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/lab/demo"
)

// patience is for what must come about; nothing here is a measurement.
const patience = 60 * time.Second

// house is the lab that the tests share, as its user sees it.
type house struct {
	*lab.Lab
	dir    string
	prefix string // of its namespaces
}

func TestTheBlogPost(t *testing.T) {
	h := raise(t)
	if err := demo.Tell(t.Context(), h.Lab, testWriter{t}); err != nil {
		t.Fatal(err)
	}
	h.run(t, "fairlead-lab", "node", "add", "--zone", "us-west-2a") // the walk removed one
	t.Run("every client under every policy", h.everyClient)
	t.Run("Classic Load Balancers", h.classicLife)
	t.Run("IPv6", h.ipv6)
	t.Run("security groups", h.securityGroups)
	t.Run("Services that are wrong", h.wrongServices)
	t.Run("requests that are wrong", h.wrongRequests)
	t.Run("the AWS CLI waits", h.waits)
}

// raise starts a lab beside any that the user may have up, and takes it away
// after the test with a look at what is left.
func raise(t *testing.T) *house {
	t.Helper()
	bin := build(t)
	o := lab.DefaultOptions()
	o.StateDir = filepath.Join(t.TempDir(), "lab")
	o.Prefix, o.APIPort, o.EnginePort = fmt.Sprintf("walk%d-", os.Getpid()), freePort(t), freePort(t)
	o.Binaries.Lab, o.Binaries.Fairlead = filepath.Join(bin, "fairlead-lab"), filepath.Join(bin, "fairlead")
	o.Progress = testWriter{t}
	o.AllowOverlap = true
	l, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Lab: l, dir: o.StateDir, prefix: o.Prefix}
	t.Cleanup(func() { h.raze(t) })
	return h
}

func (h *house) raze(t *testing.T) {
	if t.Failed() {
		h.showLogs(t)
	}
	if err := lab.Down(context.Background(), h.dir, testWriter{t}); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob("/run/netns/" + h.prefix + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("namespaces left behind: %v (%v)", left, err)
	}
	if _, err := os.Stat(h.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state directory left behind: %v", err)
	}
}

// showLogs prints the ends of the logs that explain most failures.
func (h *house) showLogs(t *testing.T) {
	for _, name := range []string{"controller", "engine", "edge-us-west-2a", "edge-us-west-2b"} {
		path, err := h.Logs(name)
		if err != nil {
			continue
		}
		data, _ := os.ReadFile(path)
		t.Logf("the end of %s's log:\n%s", name, ending(string(data)))
	}
}

// freePort finds a port of loopback that nobody has.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
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

// build makes the two programs from this checkout.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir, "../../cmd/...").CombinedOutput()
	if err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	return dir
}

// try runs a command with the lab's environment.
func (h *house) try(ctx context.Context, input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	path := argv[0]
	if own := filepath.Join(h.dir, "bin", argv[0]); exists(own) {
		path = own
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = append(os.Environ(), h.Env()...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// run is try for commands that must succeed.
func (h *house) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := h.try(t.Context(), "", argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *house) apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := h.try(t.Context(), manifest, "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// until waits for look to say that all is well, and fails with what it said last.
func until(t *testing.T, what string, look func() (seen string, ok bool)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		seen, ok := look()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so within %v; seen last: %s", what, patience, seen)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// testWriter sends lines to the test's log as they come.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
