package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/netlab"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

// bench is a supervisor with a namespace to run things in.
type bench struct {
	*Supervisor
	dir string
	ns  string
}

func newBench(t *testing.T) bench {
	t.Helper()
	ignored := goleak.IgnoreCurrent()
	b := bench{dir: t.TempDir(), ns: netlabtest.Prefix(t) + "x"}
	if err := netlab.Create(b.ns); err != nil {
		t.Fatal(err)
	}
	b.Supervisor = New(component.Dir(b.dir), slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		b.Stop()
		b.expectEmpty(t)
		goleak.VerifyNone(t, ignored)
	})
	return b
}

// expectEmpty waits until no process is left. What a component's shell had
// started is killed with it, but nobody waits for its end.
func (b bench) expectEmpty(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		pids, err := netlab.Processes([]string{b.ns})
		if err == nil && len(pids) == 0 {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Errorf("after Stop: processes %v, error %v", pids, err)
			return
		}
	}
}

func (b bench) shell(name, script string, after ...string) component.Component {
	return component.Component{Name: name, Namespace: b.ns, Argv: []string{"/bin/sh", "-c", script}, After: after}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (b bench) status(name string) Status {
	for _, s := range b.Status() {
		if s.Name == name {
			return s
		}
	}
	return Status{}
}

// until waits for a status that satisfies ok.
func (b bench) until(t *testing.T, name string, ok func(Status) bool) Status {
	t.Helper()
	ctx := within(t)
	for {
		changed := b.Changed()
		if s := b.status(name); ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s stays at %+v", name, b.status(name))
		}
	}
}

func TestComponentsStartWhenThoseTheyNeedServe(t *testing.T) {
	b := newBench(t)
	first := b.shell("first", "sleep 0.3; touch "+b.dir+"/made")
	first.Once = true
	b.Add(b.shell("second", "test -e "+b.dir+"/made || exit 7; exec sleep 1000", "first"), first)
	if err := b.WaitServing(within(t), "first", "second"); err != nil {
		t.Fatal(err)
	}
	if got := b.status("second"); got.Restarts != 0 || got.Phase != Ready {
		t.Errorf("second: got %+v, want it ready at the first start", got)
	}
	if got := b.status("first"); got.Phase != Done {
		t.Errorf("first: got %+v, want it done", got)
	}
}

func TestProbeIsAskedInsideTheNamespace(t *testing.T) {
	b := newBench(t)
	c := b.shell("server", `sleep 0.2; exec python3 -m http.server --bind 127.0.0.1 8099`)
	c.Ready = component.Probe{URL: "http://127.0.0.1:8099/"}
	b.Add(c)
	if err := b.WaitServing(within(t), "server"); err != nil {
		t.Fatal(err)
	}
	if err := Ask(t.Context(), b.ns, component.Probe{TCP: "127.0.0.1:8099"}); err != nil {
		t.Errorf("TCP probe: %v", err)
	}
	if err := Ask(t.Context(), b.ns, component.Probe{URL: "http://127.0.0.1:8099/absent"}); err == nil {
		t.Error("a probe answered with 404 succeeded")
	}
}

func TestEndedComponentsStartAgain(t *testing.T) {
	b := newBench(t)
	b.Add(b.shell("steady", "exec sleep 1000"))
	first := b.until(t, "steady", Status.Serving)
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := b.until(t, "steady", func(s Status) bool { return s.Serving() && s.PID != first.PID })
	if second.Restarts != 1 {
		t.Errorf("got %d restarts, want 1", second.Restarts)
	}
}

func TestComponentThatKeepsFailingIsReportedWithItsReason(t *testing.T) {
	b := newBench(t)
	c := b.shell("broken", "echo out of luck; exit 3")
	c.Ready = component.Probe{TCP: "127.0.0.1:1"}
	b.Add(c, b.shell("dependent", "exec sleep 1000", "broken"))
	err := b.WaitServing(within(t), "dependent", "broken")
	failed, ok := errors.AsType[*FailedError](err)
	if !ok || failed.Name != "broken" || failed.Reason != "exit status 3" {
		t.Errorf("got %v, want broken failed with exit status 3", err)
	}
	lines, err := Tail(component.Dir(b.dir).Log("broken"), 1)
	if diff := cmp.Diff([]string{"out of luck"}, lines); diff != "" || err != nil {
		t.Errorf("last line of the log: error %v (-want +got):\n%s", err, diff)
	}
}

func TestRestartIsGracefulUnlessKillIsAskedFor(t *testing.T) {
	b := newBench(t)
	fifo := filepath.Join(b.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	b.Add(b.shell("c", "trap 'echo told to stop; exit 0' TERM; echo trapped >"+fifo+"; while :; do sleep 0.05; done"))
	b.until(t, "c", Status.Serving)
	for i, kill := range []bool{false, true} {
		if _, err := os.ReadFile(fifo); err != nil { // waits for the trap
			t.Fatal(err)
		}
		before := b.status("c")
		if err := b.Restart(within(t), "c", kill); err != nil {
			t.Fatal(err)
		}
		after := b.status("c")
		if after.PID == before.PID || after.Restarts != i+1 || after.Failures != 0 {
			t.Errorf("kill %v: got %+v after %+v, want a new process and no failure", kill, after, before)
		}
	}
	log, err := os.ReadFile(component.Dir(b.dir).Log("c"))
	if n := strings.Count(string(log), "\ntold to stop\n"); err != nil || n != 1 {
		t.Errorf("SIGTERM arrived %d times, error %v, want once", n, err)
	}
	if err := b.Restart(within(t), "absent", false); err == nil {
		t.Error("restart of an unknown component succeeded")
	}
}

func TestRestartIsWrittenOffWhenTheComponentIsRemoved(t *testing.T) {
	b := newBench(t)
	b.Add(b.shell("c", "exec sleep 1000"))
	b.until(t, "c", Status.Serving)
	b.Remove("c")
	if got := b.Status(); len(got) != 0 {
		t.Errorf("after Remove: got %v", got)
	}
	if pids, err := netlab.Processes([]string{b.ns}); err != nil || len(pids) > 0 {
		t.Errorf("after Remove: processes %v, error %v", pids, err)
	}
}

func TestFilesAndEnvironmentAreThoseDescribed(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "sub", "config")
	c := b.shell("c", `cat `+file+`; echo "$WORD $HOME"`)
	c.Once, c.Env = true, []string{"WORD=said"}
	c.Files = []component.File{{Path: file, Content: "written\n"}}
	c.Dirs = []string{filepath.Join(b.dir, "made", "here")}
	b.Add(c)
	if err := b.WaitServing(within(t), "c"); err != nil {
		t.Fatal(err)
	}
	lines, err := Tail(component.Dir(b.dir).Log("c"), 2)
	if diff := cmp.Diff([]string{"written", "said " + b.dir}, lines); diff != "" || err != nil {
		t.Errorf("output: error %v (-want +got):\n%s", err, diff)
	}
	if info, err := os.Stat(c.Dirs[0]); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v, want mode 0700", info, err)
	}
}

// A supervisor in a process of its own, killed: what it ran must be gone too.
func TestKilledSupervisorTakesItsComponentsAlong(t *testing.T) {
	if os.Getenv("SUPERVISE_IN") != "" {
		s := New(component.Dir(t.TempDir()), slog.New(slog.DiscardHandler))
		s.Add(component.Component{Name: "c", Namespace: os.Getenv("SUPERVISE_IN"), Argv: []string{"/bin/sleep", "1000"}})
		if err := s.WaitServing(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", s.Status()[0].PID)
		select {}
	}
	ns := netlabtest.Prefix(t) + "x"
	if err := netlab.Create(ns); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledSupervisorTakesItsComponentsAlong$")
	cmd.Env = append(os.Environ(), "SUPERVISE_IN="+ns)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := readPID(t, out)
	fd, err := pidfd(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	if !exitedWithin(fd, time.Minute) {
		t.Errorf("process %d outlived its supervisor", pid)
	}
}

func readPID(t *testing.T, out interface{ Read([]byte) (int, error) }) int {
	t.Helper()
	buf := make([]byte, 64)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(buf[:n]), "pid ")))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestLogsStayBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "c.log")
	l, err := openLog(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		fmt.Fprintf(l, "line %d\n", i)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".1"} {
		if info, err := os.Stat(p); err != nil || info.Size() > 1000 {
			t.Errorf("%s: %v, error %v, want at most 1000 bytes", p, info, err)
		}
	}
	lines, err := Tail(path, 2)
	if diff := cmp.Diff([]string{"line 498", "line 499"}, lines); diff != "" || err != nil {
		t.Errorf("tail: error %v (-want +got):\n%s", err, diff)
	}
}

func TestPropertyDelaysGrowToABoundAndForgetSteadyRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(0, 1000).Draw(t, "failures")
		quick := rapid.Int64Range(0, int64(steadyAfter)-1).Draw(t, "ran")
		n, wait := next(failures, time.Duration(quick))
		if n != failures+1 || wait < firstDelay || wait > maxDelay {
			t.Errorf("after %d failures: got %d, %v", failures, n, wait)
		}
		if _, later := next(n, 0); later < wait {
			t.Errorf("the delay shrinks from %v to %v", wait, later)
		}
		if n, wait := next(failures, steadyAfter); n != 1 || wait != firstDelay {
			t.Errorf("after a steady run: got %d, %v, want 1, %v", n, wait, firstDelay)
		}
	})
}
