package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDir holds one lock per prefix of namespace names: two labs with different
// prefixes do not meet, two with the same would.
const lockDir = "/run/fairlead-lab"

// lock is held from the first check of up until the supervisor has ended: the
// supervisor inherits it. The kernel releases it whatever ends the holders. Its
// file names the state directory of the last lab.
type lock struct {
	f    *os.File
	path string
}

// errLocked says that another process holds the lock; the text names the state
// directory of its lab.
type errLocked struct{ stateDir string }

func (e errLocked) Error() string {
	return fmt.Sprintf("a lab with its state in %s is running, starting or stopping", e.stateDir)
}

// acquireLock takes the lock of a prefix without waiting for it.
func acquireLock(prefix string) (*lock, error) {
	if err := os.MkdirAll(lockDir, 0o755); err != nil {
		return nil, fmt.Errorf("lock the lab: %w", err)
	}
	path := filepath.Join(lockDir, strings.Trim(prefix, "-")+".lock")
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock the lab: %w", err)
		}
		l := &lock{f: f, path: path}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			defer f.Close()
			return nil, errLocked{l.stateDir()}
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if l.current() {
			return l, nil
		}
		f.Close() // who held it before has removed the file
	}
}

// current reports whether the locked file is still the one at the path.
func (l *lock) current() bool {
	held, err := l.f.Stat()
	if err != nil {
		return false
	}
	found, err := os.Stat(l.path)
	return err == nil && os.SameFile(held, found)
}

// stateDir is where the last lab under this lock had its state.
func (l *lock) stateDir() string {
	data, err := io.ReadAll(io.NewSectionReader(l.f, 0, 4096))
	if err != nil {
		return ""
	}
	return string(data)
}

func (l *lock) setStateDir(dir string) error {
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("write %s: %w", l.path, err)
	}
	if _, err := l.f.WriteAt([]byte(dir), 0); err != nil {
		return fmt.Errorf("write %s: %w", l.path, err)
	}
	return nil
}

// release gives the lock up and leaves the file, as long as a lab is there.
func (l *lock) release() { l.f.Close() }

// remove gives the lock up when no lab is left.
func (l *lock) remove() error {
	err := os.Remove(l.path)
	_ = os.Remove(lockDir) // unless another lab's lock is in it
	return errors.Join(err, l.f.Close())
}
