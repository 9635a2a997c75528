package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Streams are a container's standard streams, the agent's ends of them. What is
// read from them ends with the container.
type Streams struct {
	Stdin  *os.File // nil unless it was asked for
	Stdout *os.File // of a terminal: all that shows on it
	Stderr *os.File // nil with a terminal
	TTY    bool
}

// Resize tells a container on a terminal how large that is.
func (s *Streams) Resize(size Size) error {
	if !s.TTY {
		return nil
	}
	return setSize(s.Stdout, size)
}

// Close closes the agent's ends.
func (s *Streams) Close() {
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		f.Close() // nil and closed files are fine
	}
}

// streams adds the standard streams of a container: the last three of child.
func (f *files) streams(w Wants) *Streams {
	if w.TTY {
		// Not of the container's own /dev/pts, which is not there yet.
		master := f.terminal("/dev/ptmx")
		return &Streams{Stdin: master, Stdout: master, TTY: true}
	}
	var s Streams
	if w.Stdin {
		s.Stdin = f.toChild()
	} else {
		null, err := os.Open(os.DevNull)
		f.child, f.err = append(f.child, null), errors.Join(f.err, err)
	}
	s.Stdout, s.Stderr = f.fromChild(), f.fromChild()
	return &s
}

// terminal makes a pseudo terminal, gives the process its end for all three
// streams and returns the other.
func (f *files) terminal(ptmx string) *os.File {
	master, tty, err := openTerminal(ptmx)
	f.err = errors.Join(f.err, err)
	f.child, f.parent = append(f.child, tty, tty, tty), append(f.parent, master)
	return master
}

func openTerminal(ptmx string) (master, tty *os.File, err error) {
	fd, err := unix.Open(ptmx, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), ptmx)
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, nil, fmt.Errorf("open the terminal's other end: %w", errno)
	}
	return master, os.NewFile(peer, "tty"), nil
}

// setSize goes through SyscallConn, because Fd would make reads of the terminal
// block a thread.
func setSize(master *os.File, size Size) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	})
	return errors.Join(err, set)
}

// files are pipes between the agent and a process to be started.
type files struct {
	child  []*os.File
	parent []*os.File
	err    error
}

// toChild makes a pipe that the process reads and returns the other end.
func (f *files) toChild() *os.File {
	r, w := f.pipe()
	f.child, f.parent = append(f.child, r), append(f.parent, w)
	return w
}

// fromChild makes a pipe that the process writes and returns the other end.
func (f *files) fromChild() *os.File {
	r, w := f.pipe()
	f.child, f.parent = append(f.child, w), append(f.parent, r)
	return r
}

func (f *files) pipe() (r, w *os.File) {
	r, w, err := os.Pipe()
	f.err = errors.Join(f.err, err)
	return r, w
}

func (f *files) closeChildEnds() {
	for _, c := range f.child {
		c.Close() // nil and closed files are fine
	}
}

func (f *files) closeAll() {
	f.closeChildEnds()
	for _, p := range f.parent {
		p.Close()
	}
}
