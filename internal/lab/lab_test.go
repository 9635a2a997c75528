package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/supervisor"
)

func sampleState() state {
	return state{
		Version: stateVersion, Started: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Prefix: "fl-",
		Zones: DefaultZones(), Nodes: layout.RoundRobin(DefaultZones(), 2), NextNode: 3, Cluster: clusterName,
		APIPort: 16443, EnginePort: 17440, Admin: component.Credentials{AccessKeyID: "AKIAADMIN", SecretAccessKey: "it's"},
	}
}

func TestStateIsReadAsItWasWritten(t *testing.T) {
	dir := component.Dir(t.TempDir())
	want := sampleState()
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := loadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(dir.State()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the keys: %v, %v, want mode 0600", info.Mode(), err)
	}
}

func TestStateOfAnotherVersionIsRefused(t *testing.T) {
	dir := component.Dir(t.TempDir())
	s := sampleState()
	s.Version++
	if err := s.save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := loadState(dir); err == nil {
		t.Error("it was read")
	}
}

func TestProcessesAreToldApartByTheirStartTime(t *testing.T) {
	// A name with what ends the name's field in /proc/PID/stat.
	odd := filepath.Join(t.TempDir(), "a) Z 1 (b")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(sleep, odd); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(odd, "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p := process{PID: cmd.Process.Pid, StartTime: start}
	if !p.alive() {
		t.Error("a running process counts as gone")
	}
	if (process{PID: p.PID, StartTime: start + 1}).alive() {
		t.Error("another process with the same number counts as this one")
	}
	if err := kill(t.Context(), process{PID: p.PID, StartTime: start + 1}); err != nil || !p.alive() {
		t.Errorf("kill of another process: error %v, alive %v", err, p.alive())
	}
	if err := kill(t.Context(), p); err != nil || p.alive() {
		t.Errorf("kill: error %v, alive %v", err, p.alive())
	}
	_ = cmd.Wait() // says that it was killed
	if err := kill(t.Context(), p); err != nil {
		t.Errorf("kill of a process that has ended: %v", err)
	}
}

func TestLockIsHeldByOneAndTakenOverWhenItsFileIsReplaced(t *testing.T) {
	prefix := "test" + filepath.Base(filepath.Dir(t.TempDir())) + "-"
	first, err := acquireLock(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.setStateDir("/some/dir"); err != nil {
		t.Fatal(err)
	}
	_, err = acquireLock(prefix)
	if busy, ok := errors.AsType[errLocked](err); !ok || busy.stateDir != "/some/dir" {
		t.Errorf("second lock: %v, want it refused with the directory of the first", err)
	}
	first.release()
	second, err := acquireLock(prefix)
	if err != nil || second.stateDir() != "/some/dir" {
		t.Fatalf("after release: %v", err)
	}
	if err := second.remove(); err != nil {
		t.Error(err)
	}
	third, err := acquireLock(prefix)
	if err != nil || third.stateDir() != "" {
		t.Fatalf("after removal: %v", err)
	}
	if second.current() {
		t.Error("a lock on a removed file counts as current")
	}
	if err := third.remove(); err != nil {
		t.Error(err)
	}
}

func TestStepsAreOneLineEachWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	s := newSteps(&out)
	s.begin("a")
	s.begin("b")
	s.begin("a")
	s.end("b")
	if err := s.do("c", func() error { return errors.New("no") }); err == nil {
		t.Error("the error of a step is lost")
	}
	s.end("a")
	s.close()
	got := regexp.MustCompile(`\d+\.\d`).ReplaceAllString(out.String(), "N")
	if diff := cmp.Diff(" ✓ b (N s)\n ✓ a (N s)\n", got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestEnvironmentIsForAShell(t *testing.T) {
	l := &Lab{dir: "/var/lib/lab", state: sampleState(), layout: layout.Layout{Region: "us-west-2"}}
	t.Setenv("PATH", "/var/lib/lab/bin:/usr/bin")
	var b strings.Builder
	l.PrintEnv(&b)
	script := b.String() + `printf '%s\n' "$KUBECONFIG" "$AWS_SECRET_ACCESS_KEY" "$AWS_PAGER" "$AWS_ENDPOINT_URL" "$AWS_REGION" "$PATH" "${AWS_PROFILE-none}"`
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = []string{"AWS_PAGER=less", "AWS_PROFILE=work"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "/var/lib/lab/kubeconfig/admin.yaml\nit's\n\nhttp://127.0.0.1:17440\nus-west-2\n/var/lib/lab/bin:/usr/bin\nnone\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("what the shell sees (-want +got):\n%s", diff)
	}
}

// The wrapper must find the machine's CLI behind itself and name the endpoint.
func TestAWSWrapperCallsTheNextOneWithTheEndpoint(t *testing.T) {
	dir, machine := component.Dir(t.TempDir()), t.TempDir()
	real := "#!/bin/sh\necho real \"$@\"\n"
	if err := os.WriteFile(filepath.Join(machine, "aws"), []byte(real), 0o755); err != nil {
		t.Fatal(err)
	}
	p := preparer{dir: dir, s: sampleState()}
	if err := p.programs(); err != nil {
		t.Fatal(err)
	}
	run := func(path string) (string, error) {
		cmd := exec.Command(filepath.Join(dir.Bin(), "aws"), "elbv2", "describe-load-balancers")
		cmd.Env = []string{"PATH=" + path}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	system := ":/usr/bin:/bin"
	got, err := run(dir.Bin() + ":" + machine + system)
	if want := "real --endpoint-url http://127.0.0.1:17440 elbv2 describe-load-balancers\n"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestMountsAreFoundInOrder(t *testing.T) {
	for escaped, want := range map[string]string{`/a\040b`: "/a b", `/a\134b`: `/a\b`} {
		if got := unescapeMount.Replace(escaped); got != want {
			t.Errorf("%s: got %q, want %q", escaped, got, want)
		}
	}
	points, err := mountPoints("/")
	if err != nil || len(points) == 0 {
		t.Errorf("mounts below /: %v, %v", points, err)
	}
	points, err = mountPoints(t.TempDir())
	if err != nil || len(points) != 0 {
		t.Errorf("mounts in an empty directory: %v, %v", points, err)
	}
}

func TestReportIsReadByPeople(t *testing.T) {
	r := sampleState().report("/var/lib/lab")
	now := r.Started.Add(90 * time.Second)
	r.Components = []ComponentReport{{
		Status: supervisor.Status{Name: "etcd", Phase: supervisor.Backoff, Since: now.Add(-time.Second), Restarts: 3, Reason: "exit status 9"},
	}}
	var b strings.Builder
	r.Print(&b, now)
	for _, want := range []string{
		"Lab in /var/lib/lab, up for 1m30s", "https://127.0.0.1:16443", "http://127.0.0.1:17440",
		"us-west-2a   198.18.16.0/20   198.18.16.4", "198.18.32.16   NO", "etcd", "exit status 9",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
}

// A log is followed into its successor, and nothing is lost or said twice.
func TestLogIsFollowedAcrossItsReplacement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.log")
	add := func(text string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	add("one\n")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- followFile(ctx, w, path); w.Close() }()
	lines := bufio.NewReader(r)
	want := func(line string) {
		t.Helper()
		if got, err := lines.ReadString('\n'); got != line || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, line)
		}
	}
	want("one\n")
	add("two\n")
	want("two\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add("three\n")
	want("three\n")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("after cancel: %v", err)
	}
}

func TestLabsWithOtherPrefixesAreNotSwept(t *testing.T) {
	dir := t.TempDir()
	s := sampleState()
	if err := s.save(component.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	held, err := acquireLock("other-" + filepath.Base(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer held.remove()
	if got := leftovers(Options{StateDir: dir, Prefix: "other-"}, held); len(got) > 0 {
		t.Errorf("leftovers: %v, want none", got)
	}
	if got := leftovers(Options{StateDir: dir, Prefix: s.Prefix}, held); len(got) != 1 {
		t.Errorf("leftovers of the same prefix: %v, want %s", got, dir)
	}
	if got := checkStateDir(dir, "other-"); len(got) != 1 || !strings.Contains(got[0].what, "prefix fl-") {
		t.Errorf("check of the state directory: %v, want it refused", got)
	}
}
