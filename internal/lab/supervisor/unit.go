package supervisor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
)

const (
	stopGrace   = 10 * time.Second       // from SIGTERM to SIGKILL
	outputGrace = 500 * time.Millisecond // for output of children that hold the pipe
	steadyAfter = 10 * time.Second       // a process that ran as long did not fail to start
	firstDelay  = 100 * time.Millisecond
	maxDelay    = 10 * time.Second
)

// unit supervises one component.
type unit struct {
	component.Component
	s        *Supervisor
	status   Status // guarded by s.mu
	requests chan request
	ctx      context.Context // ends with Remove and with Stop
	cancel   context.CancelFunc
	gone     chan struct{}
}

// request asks for the end of the current process.
type request struct {
	signal syscall.Signal
	ended  chan struct{} // closed when the process is gone
}

func newUnit(s *Supervisor, c component.Component) *unit {
	ctx, cancel := context.WithCancel(s.ctx)
	return &unit{
		Component: c, s: s, requests: make(chan request), ctx: ctx, cancel: cancel, gone: make(chan struct{}),
		status: Status{Name: c.Name, Kind: c.Kind, Namespace: c.Namespace, Phase: Waiting, Since: time.Now()},
	}
}

// next says how long to wait before a start, given the failures in a row
// before the last run and how long that lasted.
func next(failures int, ran time.Duration) (newFailures int, wait time.Duration) {
	if ran >= steadyAfter {
		failures = 0
	}
	return failures + 1, min(firstDelay<<min(failures, 10), maxDelay)
}

func (u *unit) run() {
	defer close(u.gone)
	defer u.cancel()
	for first := true; u.ctx.Err() == nil; first = false {
		u.update(func(s *Status) { s.Phase = Waiting })
		if !u.s.waitPatiently(u.ctx, u.After) {
			return
		}
		if !first {
			u.update(func(s *Status) { s.Restarts++ })
		}
		if !u.afterwards(u.runProcess()) {
			return
		}
	}
}

// ending is how a process ended.
type ending struct {
	err   error
	ran   time.Duration
	asked bool // by a restart request
}

// afterwards waits as long as the ending calls for and reports whether to start
// again.
func (u *unit) afterwards(e ending) bool {
	switch {
	case u.ctx.Err() != nil:
		return false
	case u.Once && e.err == nil && !e.asked:
		u.update(func(s *Status) { s.Phase, s.PID, s.Reason, s.Failures = Done, 0, "", 0 })
		return u.idle()
	case e.asked:
		u.update(func(s *Status) { s.Phase, s.PID, s.Reason, s.Failures = Starting, 0, "restart was asked for", 0 })
		return true
	}
	var wait time.Duration
	u.update(func(s *Status) {
		s.Failures, wait = next(s.Failures, e.ran)
		s.Phase, s.PID, s.Reason = Backoff, 0, describe(e.err)
	})
	u.s.log.Warn("component ended", "component", u.Name, "reason", describe(e.err), "startsAgainIn", wait)
	return u.pause(wait)
}

func describe(err error) string {
	if err == nil {
		return "it ended with exit status 0"
	}
	return err.Error()
}

// pause waits, or less when a restart is asked for; false means that the unit
// is to end.
func (u *unit) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case req := <-u.requests:
		close(req.ended)
		u.update(func(s *Status) { s.Failures = 0 })
		return true
	case <-u.ctx.Done():
		return false
	}
}

// idle waits until a finished component is to run once more.
func (u *unit) idle() bool {
	select {
	case req := <-u.requests:
		u.update(func(s *Status) { s.Phase = Starting })
		close(req.ended)
		return true
	case <-u.ctx.Done():
		return false
	}
}

func (u *unit) update(change func(*Status)) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	before := u.status.Phase
	change(&u.status)
	if u.status.Phase != before {
		u.status.Since = time.Now()
	}
	u.s.announce()
}

// runProcess runs one process from start to end.
func (u *unit) runProcess() ending {
	start := time.Now()
	out, err := openLog(u.s.dir.Log(u.Name), maxLogSize)
	if err != nil {
		return ending{err: err}
	}
	defer out.Close()
	cmd, err := u.start(out)
	if err != nil {
		fmt.Fprintf(out, "fairlead-lab: %v\n", err)
		return ending{err: err}
	}
	u.update(func(s *Status) { s.Phase, s.PID, s.Reason = Starting, cmd.Process.Pid, "" })
	e := u.watch(cmd)
	e.ran = time.Since(start)
	return e
}

func (u *unit) start(out *rotatingLog) (*exec.Cmd, error) {
	if err := writeFiles(u.Component); err != nil {
		return nil, err
	}
	cmd := exec.Command(u.Argv[0], u.Argv[1:]...)
	cmd.Env = append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + string(u.s.dir),
	}, u.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	fmt.Fprintf(out, "fairlead-lab: %s starting: %s\n", time.Now().Format(time.RFC3339), strings.Join(u.Argv, " "))
	if err := u.s.launcher.Start(cmd, u.Namespace); err != nil {
		return nil, fmt.Errorf("start %s: %w", u.Name, err)
	}
	return cmd, nil
}

func writeFiles(c component.Component) error {
	for _, dir := range c.Dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a directory for %s: %w", c.Name, err)
		}
	}
	for _, f := range c.Files {
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			return fmt.Errorf("make a directory for %s: %w", c.Name, err)
		}
		if err := os.WriteFile(f.Path, []byte(f.Content), 0o600); err != nil {
			return fmt.Errorf("write a file for %s: %w", c.Name, err)
		}
	}
	return nil
}

// watch follows a process until it has ended.
func (u *unit) watch(cmd *exec.Cmd) (e ending) {
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	ctx, cancel := context.WithCancel(u.ctx)
	defer cancel()
	serving := make(chan struct{})
	if !u.Once {
		go awaitProbe(ctx, u.Namespace, u.Ready, serving)
	}
	removed, force := u.ctx.Done(), (<-chan time.Time)(nil)
	var waiting []request
	defer func() {
		for _, req := range waiting {
			close(req.ended)
		}
	}()
	end := func(signal syscall.Signal) {
		_ = cmd.Process.Signal(signal) // an error means that it has ended
		force = time.After(stopGrace)
	}
	for {
		select {
		case <-serving:
			serving = nil
			u.update(func(s *Status) { s.Phase, s.Reason = Ready, "" })
		case e.err = <-exited:
			return e
		case req := <-u.requests:
			e.asked, waiting = true, append(waiting, req)
			u.update(func(s *Status) { s.Phase, s.Reason = Starting, "restart was asked for" })
			end(req.signal)
		case <-removed:
			removed = nil
			end(u.stopSignal())
		case <-force:
			_ = cmd.Process.Kill()
		}
	}
}

// stopSignal is SIGKILL when the whole lab ends: nothing of it is kept.
func (u *unit) stopSignal() syscall.Signal {
	if u.s.ctx.Err() != nil {
		return syscall.SIGKILL
	}
	return syscall.SIGTERM
}
