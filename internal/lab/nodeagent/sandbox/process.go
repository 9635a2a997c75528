package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	Code   int // 128 + Signal if a signal ended it
	Signal int
	At     time.Time
}

// Process is a running container.
type Process struct {
	cmd   *exec.Cmd
	pidfd int
	done  chan struct{} // closed when exit is set
	exit  Exit
}

// StartError is a container that did not come to run its program.
type StartError struct{ Message string }

func (e *StartError) Error() string { return e.Message }

// Launcher starts containers by running a program that calls RunInit.
type Launcher struct {
	Path string   // of the program
	Args []string // that lead it to RunInit
}

// Wants says what streams a container asks for beside its output.
type Wants struct {
	Stdin bool // otherwise it reads nothing
	TTY   bool // one terminal for all three streams
}

// Start runs a container and returns when its program has been executed.
func (l Launcher) Start(s Spec, w Wants) (*Process, *Streams, error) {
	var fs files
	defer fs.closeChildEnds()
	in, status := fs.toChild(), fs.fromChild()
	streams := fs.streams(w)
	if fs.err != nil {
		fs.closeAll()
		return nil, nil, fs.err
	}
	cmd := exec.Command(l.Path, l.Args...)
	cmd.Env = []string{} // the container's own comes with the Spec
	cmd.ExtraFiles = fs.child[:2]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = fs.child[2], fs.child[3], fs.child[4]
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true,
		Setctty:    w.TTY,
		Pdeathsig:  syscall.SIGKILL,
	}
	p := &Process{cmd: cmd, pidfd: -1, done: make(chan struct{})}
	if err := p.launch(); err != nil {
		fs.closeAll()
		return nil, nil, err
	}
	fs.closeChildEnds()
	if err := errors.Join(sendSpec(in, s), awaitStart(status)); err != nil {
		p.Kill()
		<-p.done
		fs.closeAll()
		return nil, nil, err
	}
	return p, streams, nil
}

// launch starts the process on a thread that lives as long as it: the kernel
// sends the death signal when the thread ends, not the agent.
func (p *Process) launch() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- fmt.Errorf("start the container's first process: %w", err)
			return
		}
		var err error
		// Not reaped yet, so the number is still this process's.
		if p.pidfd, err = unix.PidfdOpen(p.cmd.Process.Pid, 0); err != nil {
			err = errors.Join(fmt.Errorf("refer to the container's first process: %w", err), p.cmd.Process.Kill())
		}
		started <- err
		p.wait()
	}()
	return <-started
}

func (p *Process) wait() {
	_ = p.cmd.Wait() // what it says is in ProcessState
	p.exit = exitOf(p.cmd.ProcessState)
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
	close(p.done)
}

func exitOf(s *os.ProcessState) Exit {
	e := Exit{At: time.Now()}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = int(ws.Signal())
		e.Code = 128 + e.Signal
		return e
	}
	e.Code = s.ExitCode()
	return e
}

func sendSpec(in *os.File, s Spec) error {
	defer in.Close()
	if err := json.NewEncoder(in).Encode(s); err != nil {
		return fmt.Errorf("tell the container's first process what to run: %w", err)
	}
	return nil
}

// maxStatus bounds what is read of a first process's last words.
const maxStatus = 4096

// awaitStart waits until the kernel has closed the status pipe by executing the
// program, or returns what went wrong before.
func awaitStart(status *os.File) error {
	defer status.Close()
	msg, err := io.ReadAll(io.LimitReader(status, maxStatus))
	if err != nil {
		return fmt.Errorf("wait for the container's program: %w", err)
	}
	if len(msg) > 0 {
		return &StartError{Message: string(msg)}
	}
	return nil
}

// Done is closed when the container has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the container ended. It is valid once Done is closed.
func (p *Process) Exit() Exit { return p.exit }

// Signal sends a signal to the container's first process. A container that has
// ended is fine.
func (p *Process) Signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Kill ends the container and, with its first process, all others in it.
func (p *Process) Kill() { _ = p.Signal(syscall.SIGKILL) }
