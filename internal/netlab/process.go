package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Launcher starts processes from one thread that lives until Close, so that
// SysProcAttr.Pdeathsig means the death of this process (or of the launcher)
// and not that of some thread of the Go runtime.
type Launcher struct {
	work chan func()
}

// NewLauncher returns a launcher. Close ends it.
func NewLauncher() *Launcher {
	l := &Launcher{work: make(chan func())}
	go l.serve()
	return l
}

func (l *Launcher) serve() {
	runtime.LockOSThread() // never unlocked: the thread ends with the loop
	for f := range l.work {
		f()
	}
}

// Close ends the launcher's thread. Processes with a Pdeathsig get it.
func (l *Launcher) Close() { close(l.work) }

// Start starts cmd in the namespace, or in the caller's when name is empty.
func (l *Launcher) Start(cmd *exec.Cmd, name string) error {
	done := make(chan error, 1)
	l.work <- func() { done <- startHere(cmd, name) }
	return <-done
}

// startHere starts cmd from the calling thread, which must be locked.
func startHere(cmd *exec.Cmd, name string) error {
	if name == "" {
		return cmd.Start()
	}
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	ns, err := open(name)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	err = cmd.Start()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave namespace %s: %w", name, back))
	}
	return err
}

// Bind shows Source in the place of Target.
type Bind struct{ Source, Target string }

// Start starts cmd in the namespace with files of its own in some places. The
// command's view of the file system is otherwise the caller's.
func Start(cmd *exec.Cmd, name string, binds []Bind) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread's file system view is changed for good
		if err := Enter(name, binds); err != nil {
			done <- err
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// Enter moves the calling thread, which must be locked and cannot come back,
// into the namespace and into a mount namespace of its own.
func Enter(name string, binds []Bind) error {
	ns, err := open(name)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	if len(binds) == 0 {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// Slave, not private: a name deleted from /run/netns must go here as well.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts to the namespace: %w", err)
	}
	for _, b := range binds {
		if err := unix.Mount(b.Source, b.Target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", b.Source, b.Target, err)
		}
	}
	return nil
}

// Dial connects from within a namespace to an address, which must be a literal:
// names are resolved by whoever asks, in their own namespace.
func Dial(ctx context.Context, name, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := In(name, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
