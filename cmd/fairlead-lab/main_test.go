package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// withoutLoadBalancers leaves out what needs the fairlead program: these tests
// are about the lab itself. The walk has them.
const withoutLoadBalancers = "engine,edge-identity,edge,node-helper,controller"

// TestMain makes this binary be fairlead-lab under any name but a test's: in pods
// it is called nginx.
func TestMain(m *testing.M) {
	if !strings.HasSuffix(os.Args[0], ".test") {
		main()
	}
	os.Exit(m.Run())
}

// bench is a lab of its own for a test, used as a person would.
type bench struct {
	t        *testing.T
	program  string
	stateDir string
	prefix   string
	ports    []string
	before   machine
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts a lab and must run as root")
	}
	var random [2]byte
	if _, err := rand.Read(random[:]); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	beside, err := lab.Beside("t", dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	port := func(n uint16) string { return strconv.Itoa(int(n)) }
	c := &bench{t: t, prefix: "t" + hex.EncodeToString(random[:]) + "-", ports: []string{port(beside.APIPort), port(beside.EnginePort)}}
	c.program, c.stateDir = filepath.Join(dir, "fairlead-lab"), filepath.Join(dir, "state")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Not a symbolic link: the program calls itself by the path it finds itself at.
	if err := os.Link(self, c.program); err != nil {
		copyFile(t, self, c.program)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { // for the test of another user
			t.Fatal(err)
		}
	}
	c.before = c.look()
	t.Cleanup(func() { c.run("down"); c.wantNothingLeft() })
	return c
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// kube returns the Kubernetes binary, building it if need be.
func kube(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("FAIRLEAD_KUBE"); path != "" {
		return path
	}
	out, err := exec.Command("bash", "../../kube/build.sh").Output()
	if err != nil {
		t.Fatalf("build kube: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func (c *bench) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.program, append([]string{"--state-dir", c.stateDir}, args...)...)
	cmd.Dir = "/"
	return cmd
}

func (c *bench) run(args ...string) result { return finish(c.t, c.command(args...)) }

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (c *bench) upArgs(more ...string) []string {
	return append([]string{"up", "--prefix", c.prefix, "--api-port", c.ports[0], "--engine-port", c.ports[1]}, more...)
}

// up starts the lab without load balancers.
func (c *bench) up() {
	c.t.Helper()
	c.ok(c.upArgs("--kube", kube(c.t), "--without", withoutLoadBalancers)...)
}

// ok runs a command that has to succeed.
func (c *bench) ok(args ...string) string {
	c.t.Helper()
	r := c.run(args...)
	if r.code != 0 {
		c.t.Fatalf("fairlead-lab %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails runs a command that has to end with a code and say certain things.
func (c *bench) fails(r result, code int, says ...string) {
	c.t.Helper()
	if r.code != code {
		c.t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, s := range says {
		if !strings.Contains(r.stderr, s) {
			c.t.Errorf("standard error does not say %q:\n%s", s, r.stderr)
		}
	}
}

// machine is everything of a lab that could be left behind.
type machine struct {
	namespaces, mounts, processes []string
	stateDir, lock                bool
}

func (c *bench) look() machine {
	c.t.Helper()
	var m machine
	names, err := netlab.Names()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, c.prefix) {
			m.namespaces = append(m.namespaces, name)
		}
	}
	m.mounts = lines(c.t, "/proc/self/mountinfo", c.stateDir)
	m.processes = c.processes()
	m.stateDir, m.lock = exists(c.stateDir), exists("/run/fairlead-lab/"+strings.Trim(c.prefix, "-")+".lock")
	return m
}

func lines(t *testing.T, path, with string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return found
}

// processes lists those that were started with anything of the state directory.
func (c *bench) processes() []string {
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		c.t.Fatal(err)
	}
	var found []string
	for _, path := range dirs {
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(c.stateDir)) {
			found = append(found, fmt.Sprintf("%s: %q", path, data))
		}
	}
	return found
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (c *bench) wantNothingLeft() {
	c.t.Helper()
	if got, want := fmt.Sprintf("%+v", c.look()), fmt.Sprintf("%+v", c.before); got != want {
		c.t.Errorf("left behind: %s, before: %s", got, want)
	}
}

// waitFor reads until a finished step is named.
func waitFor(t *testing.T, r io.Reader, step string) {
	t.Helper()
	buf := make([]byte, 4096)
	var seen string
	for !strings.Contains(seen, "✓ "+step) {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("wait for step %q: %v after\n%s", step, err, seen)
		}
		seen += string(buf[:n])
	}
}

func drain(r io.Reader) { _, _ = io.Copy(io.Discard, r) } // ends with the process
