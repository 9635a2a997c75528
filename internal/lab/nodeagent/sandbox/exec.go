package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is a program to run inside a running container.
type Command struct {
	Argv   []string
	Env    []string
	Dir    string
	Cred   Cred
	Stdin  io.Reader // nil: empty
	Stdout io.Writer // nil: thrown away
	Stderr io.Writer // likewise
	TTY    bool      // one terminal instead of three streams
	Resize <-chan Size
}

// Size is a terminal's.
type Size struct{ Columns, Rows uint16 }

// Exec runs a command in a container and waits for it and for its output. When
// ctx ends first the command is killed. The command's exit code is no error.
func (p *Process) Exec(ctx context.Context, c Command) (int, error) {
	select {
	case <-p.done:
		return 0, errors.New("the container is not running")
	default:
	}
	streams, err := p.openStdio(c)
	if err != nil {
		return 0, err
	}
	defer streams.closeAll()
	started := make(chan error, 1)
	exited := make(chan Exit, 1)
	proc := make(chan *os.Process, 1)
	go func() {
		// The thread takes on the container's namespaces and is thrown away.
		runtime.LockOSThread()
		child, err := p.startInside(c, streams.child)
		started <- err
		if err != nil {
			return
		}
		proc <- child
		state, err := child.Wait()
		if err != nil {
			exited <- Exit{Code: -1}
			return
		}
		exited <- exitOf(state)
	}()
	if err := <-started; err != nil {
		return 0, err
	}
	streams.closeChildEnds()
	return streams.run(ctx, <-proc, exited)
}

// startInside enters the container's namespaces with the calling thread and
// starts the command from it.
func (p *Process) startInside(c Command, stdio []*os.File) (*os.Process, error) {
	// setns refuses a mount namespace to a thread that shares its root and
	// working directory with others.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET
	if err := unix.Setns(p.pidfd, all); err != nil {
		return nil, fmt.Errorf("enter the container: %w", err)
	}
	path, err := findProgram(c.Argv[0], c.Env)
	if err != nil {
		return nil, err
	}
	if err := limitCapabilities(c.Cred.Capabilities); err != nil {
		return nil, err
	}
	if err := forbidNewPrivileges(c.Cred); err != nil {
		return nil, err
	}
	groups := make([]uint32, len(c.Cred.Groups))
	for i, g := range c.Cred.Groups {
		groups[i] = uint32(g)
	}
	return os.StartProcess(path, c.Argv, &os.ProcAttr{
		Dir:   c.Dir,
		Env:   c.Env,
		Files: stdio,
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Setctty:    c.TTY,
			Credential: &syscall.Credential{Uid: uint32(c.Cred.UID), Gid: uint32(c.Cred.GID), Groups: groups},
		},
	})
}

// stdio joins a command's streams with the caller's.
type stdio struct {
	files
	copies []func() // each runs until its stream ends
	inputs []func()
}

func (p *Process) openStdio(c Command) (*stdio, error) {
	if c.TTY {
		return p.openTTY(c)
	}
	s := &stdio{}
	in, out, errOut := s.toChild(), s.fromChild(), s.fromChild()
	if s.err != nil {
		s.closeAll()
		return nil, s.err
	}
	if c.Stdin == nil {
		in.Close()
	} else {
		s.inputs = append(s.inputs, func() { _, _ = io.Copy(in, c.Stdin); in.Close() })
	}
	s.copies = append(s.copies, copier(c.Stdout, out), copier(c.Stderr, errOut))
	return s, nil
}

// copier copies a stream to its end; what cannot be written is thrown away, so
// that the command never blocks on a client that went.
func copier(to io.Writer, from io.Reader) func() {
	if to == nil {
		to = io.Discard
	}
	return func() {
		if _, err := io.Copy(to, from); err != nil {
			_, _ = io.Copy(io.Discard, from)
		}
	}
}

// run copies the streams until the command and its output have ended, and kills
// the command when ctx ends before.
func (s *stdio) run(ctx context.Context, proc *os.Process, exited <-chan Exit) (int, error) {
	for _, in := range s.inputs {
		go in() // ends with its pipe or with the caller's stream
	}
	var outputs sync.WaitGroup
	for _, out := range s.copies {
		outputs.Go(out)
	}
	drained := make(chan struct{})
	go func() { outputs.Wait(); close(drained) }()
	var exit Exit
	select {
	case exit = <-exited:
	case <-ctx.Done():
		_ = proc.Kill()
		<-exited
		s.closeAll() // children of the command may hold the pipes open
		<-drained
		return 0, context.Cause(ctx)
	}
	select {
	case <-drained:
	case <-ctx.Done():
		s.closeAll()
		<-drained
	}
	return exit.Code, nil
}

// openTTY makes a pseudo terminal in the container's own /dev/pts.
func (p *Process) openTTY(c Command) (*stdio, error) {
	s := &stdio{}
	master := s.terminal("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/root/dev/pts/ptmx")
	if s.err != nil {
		s.closeAll()
		return nil, s.err
	}
	s.copies = []func(){copier(c.Stdout, master)}
	if c.Stdin != nil {
		s.inputs = append(s.inputs, func() { _, _ = io.Copy(master, c.Stdin) })
	}
	if c.Resize != nil {
		s.inputs = append(s.inputs, func() { resize(master, c.Resize) })
	}
	return s, nil
}

// resize follows the caller's sizes until there are no more or the terminal is
// gone.
func resize(master *os.File, sizes <-chan Size) {
	for size := range sizes {
		if setSize(master, size) != nil {
			return
		}
	}
}
