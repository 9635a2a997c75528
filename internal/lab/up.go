package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/supervisor"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// Up starts a lab and returns when all of it serves and all nodes are Ready.
// The lab goes on without the calling process. When ctx ends before, or
// anything fails, everything made is taken away again.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if err := o.validate(); err != nil {
		return nil, cli.Usagef("start the lab: %w", err)
	}
	show := newSteps(o.Progress)
	defer show.close()
	held, found, err := check(o)
	if err != nil {
		return nil, err
	}
	defer held.release() // the supervisor holds it as well, from its start on
	if found.script != "" {
		show.close() // the script shows its own progress
		if found.Kube, err = buildKube(ctx, found.script, o.Progress); err != nil {
			return nil, errors.Join(err, removeUnused(held))
		}
		show = newSteps(o.Progress)
		defer show.close()
	}
	o.Binaries = found.Binaries
	if err := sweep(ctx, o, held, show); err != nil {
		return nil, err
	}
	if err := start(ctx, o, held, show); err != nil {
		return nil, giveUp(o, held, show, err)
	}
	return Open(o.StateDir)
}

// check takes the lock and makes sure that nothing is in the way.
func check(o Options) (*lock, finder, error) {
	found := findBinaries(o)
	problems := slices.Clone(found.problems)
	var held *lock
	leftover := false
	if os.Geteuid() == 0 {
		var err error
		held, err = acquireLock(o.Prefix)
		if _, busy := errors.AsType[errLocked](err); busy {
			return nil, found, &cli.Error{
				What: "start the lab", Err: fmt.Errorf("%w; nothing has been changed", err),
				Hint: "use it ('fairlead-lab status'), or take it away first with 'fairlead-lab down'",
			}
		}
		if err != nil {
			return nil, found, err
		}
		leftover = len(leftovers(o, held)) > 0
	}
	problems = append(problems, preflight(o, leftover)...)
	if err := asError(problems); err != nil {
		if held != nil && !leftover {
			return nil, found, errors.Join(err, removeUnused(held))
		}
		if held != nil {
			held.release()
		}
		return nil, found, err
	}
	return held, found, nil
}

// removeUnused takes a lock away under which nothing was made.
func removeUnused(held *lock) error {
	if held.stateDir() != "" {
		held.release()
		return nil
	}
	return held.remove()
}

// leftovers are the state directories of labs that nobody runs any more: the
// last under this lock, and one in the directory that is to be used. Labs with
// another prefix have another lock and may be running.
func leftovers(o Options, held *lock) []string {
	var dirs []string
	for _, dir := range []string{o.StateDir, held.stateDir()} {
		if dir == "" || slices.Contains(dirs, dir) {
			continue
		}
		if s, err := loadState(component.Dir(dir)); err == nil && s.Prefix == o.Prefix {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// sweep takes away what crashed labs left.
func sweep(ctx context.Context, o Options, held *lock, show *steps) error {
	for _, dir := range leftovers(o, held) {
		err := show.do("clean up after the lab in "+dir+" that was not taken down", func() error { return cleanUp(ctx, component.Dir(dir)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// newState decides everything that is not an option.
func newState(o Options, now time.Time) (state, error) {
	admin, err := newCredentials()
	if err != nil {
		return state{}, err
	}
	controller, err := newCredentials()
	if err != nil {
		return state{}, err
	}
	_, err = os.Stat(o.StateDir)
	return state{
		Version: stateVersion, Started: now, Prefix: o.Prefix,
		Zones: o.Zones, Nodes: layout.RoundRobin(o.Zones, o.Nodes), NextNode: o.Nodes + 1,
		Cluster: clusterName, APIPort: o.APIPort, EnginePort: o.EnginePort,
		Binaries: o.Binaries, Without: o.Without, Admin: admin, Controller: controller,
		MadeStateDir: errors.Is(err, os.ErrNotExist), MadeRunDir: !netlab.RunDirExists(),
	}, nil
}

// start writes the lab down, starts its supervisor and follows it until the lab
// is up.
func start(ctx context.Context, o Options, held *lock, show *steps) error {
	s, err := newState(o, time.Now())
	if err != nil {
		return err
	}
	if err := held.setStateDir(o.StateDir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.StateDir, 0o755); err != nil {
		return err
	}
	dir := component.Dir(o.StateDir)
	if err := s.save(dir); err != nil {
		return err
	}
	cmd, events, err := spawn(dir, s.Binaries.Lab, held)
	if err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	defer events.Close()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // ends the events
	defer stop()
	err = follow(events, show)
	if err == nil && ctx.Err() == nil {
		return cmd.Process.Release()
	}
	_ = cmd.Process.Kill() // it may have ended already
	_ = cmd.Wait()         // its exit status adds nothing to its last event
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// spawn starts the supervisor in a session of its own. It inherits the lock and
// the pipe on which it tells events.
func spawn(dir component.Dir, binary string, held *lock) (*exec.Cmd, *os.File, error) {
	if err := os.MkdirAll(dir.Logs(), 0o755); err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(dir.Log(supervisorLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	cmd := exec.Command(binary, "--state-dir", string(dir), "supervise")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w, held.f}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	return cmd, r, nil
}

// supervisorLog is the name of the supervisor's own log.
const supervisorLog = "supervisor"

// What a supervisor inherits: where it tells its events, and the lab's lock.
const (
	EventsFD = 3
	LockFD   = 4
)

// upError is why a lab does not come up, with the component to look at.
type upError struct {
	text      string
	component string
}

func (e *upError) Error() string { return e.text }

// follow shows what the supervisor tells until the lab is up or not.
func follow(events io.Reader, show *steps) error {
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read the supervisor's event %q: %w", lines.Text(), err)
		}
		switch e.Kind {
		case begin:
			show.begin(e.Step)
		case end:
			show.end(e.Step)
		case up:
			return nil
		case failed:
			return &upError{e.Error, e.Component}
		}
	}
	return &upError{"the supervisor ended without a word", supervisorLog}
}

// logLines is how much of a log a failed start shows.
const logLines = 15

// giveUp shows why, and takes everything away or keeps it as asked.
func giveUp(o Options, held *lock, show *steps, cause error) error {
	show.close()
	dir := component.Dir(o.StateDir)
	e, failedUp := errors.AsType[*upError](cause)
	if failedUp && e.component != "" {
		showLog(o.Progress, dir, e.component)
	}
	if o.KeepOnFailure {
		return &cli.Error{What: "start the lab", Err: cause, Hint: "look around, the logs are in " + dir.Logs() + "; then run 'fairlead-lab down'"}
	}
	kept := keepLog(o.Progress, dir, e)
	ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
	defer cancel()
	if err := errors.Join(cleanUp(ctx, dir), held.remove()); err != nil {
		return &cli.Error{What: "start the lab", Err: errors.Join(cause, err), Hint: "run 'fairlead-lab down'"}
	}
	if errors.Is(cause, context.Canceled) {
		return cause
	}
	hint := "everything made has been removed; --keep-on-failure leaves it for a look"
	if kept != "" {
		hint = "the whole log is in " + kept + "; " + hint
	}
	return &cli.Error{What: "start the lab", Err: cause, Hint: hint}
}

// showLog prints the end of a component's log.
func showLog(w io.Writer, dir component.Dir, name string) {
	lines, err := supervisor.Tail(dir.Log(name), logLines)
	if err != nil {
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintf(w, "\nthe last lines of %s:\n", dir.Log(name))
	for _, line := range lines {
		fmt.Fprintf(w, "  | %s\n", line)
	}
	fmt.Fprintln(w)
}

// keepLog saves the log of the component that failed from the removal of the
// state directory.
func keepLog(w io.Writer, dir component.Dir, e *upError) string {
	if e == nil || e.component == "" {
		return ""
	}
	data, err := os.ReadFile(dir.Log(e.component))
	if err != nil {
		return ""
	}
	f, err := os.CreateTemp("", "fairlead-lab-"+e.component+"-*.log")
	if err != nil {
		fmt.Fprintf(w, "keep the log of %s: %v\n", e.component, err)
		return ""
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		fmt.Fprintf(w, "keep the log of %s: %v\n", e.component, err)
	}
	return f.Name()
}
