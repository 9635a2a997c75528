package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// runDir is where iproute2 keeps the names of network namespaces.
const runDir = "/run/netns"

// Path returns the file that names a namespace.
func Path(name string) string { return filepath.Join(runDir, name) }

// Exists reports whether a namespace of that name can be entered. A file
// without a namespace behind it, as a crash may leave, does not count.
func Exists(name string) bool {
	var st unix.Statfs_t
	return unix.Statfs(Path(name), &st) == nil && st.Type == unix.NSFS_MAGIC
}

// Names lists the named namespaces of the machine, by any program.
func Names() ([]string, error) {
	entries, err := os.ReadDir(runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if Exists(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Create makes a named namespace with its loopback up. A namespace that exists
// is left as it is.
func Create(name string) error {
	if Exists(name) {
		return nil
	}
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := loopbackUp(); err != nil {
			return err
		}
		return inRunDir(func() error { return giveName(name) })
	})
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// giveName names the calling thread's network namespace.
func giveName(name string) error {
	// O_EXCL is not asked for: a name without a namespace is a crash's leftover.
	f, err := os.OpenFile(Path(name), os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	f.Close()
	return unix.Mount("/proc/thread-self/ns/net", Path(name), "", unix.MS_BIND, "")
}

// Delete removes the name of a namespace. The namespace itself goes when the
// last process in it has ended; see [Kill]. Deleting what is not there is no
// error.
func Delete(name string) error {
	err := unix.Unmount(Path(name), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	if err := os.Remove(Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}

// In runs f on a thread that is in the namespace. Sockets that f opens and
// processes that it starts belong to the namespace and stay usable afterwards.
// f must not hand work to other goroutines: they are in the caller's namespace.
func In(name string, f func() error) error {
	ns, err := open(name)
	if err != nil {
		return err
	}
	defer ns.Close()
	return onOwnThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", name, err)
		}
		return f()
	})
}

func open(name string) (*os.File, error) {
	if !Exists(name) {
		return nil, fmt.Errorf("enter namespace %s: %w", name, fs.ErrNotExist)
	}
	return os.Open(Path(name))
}

// onOwnThread runs f on a thread whose network namespace may be changed, and
// gives the thread back only when it is home again.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // otherwise the thread ends with this goroutine
		}
		done <- err
	}()
	return <-done
}

// PrepareRunDir makes /run/netns a shared mount point, as iproute2 does: a name
// deleted here then disappears from the mount namespaces of pods too, which
// would otherwise keep the namespace alive.
func PrepareRunDir() error {
	return inRunDir(func() error { return nil })
}

// inRunDir calls f in a moment in which /run/netns is prepared and nobody
// releases it.
func inRunDir(f func() error) error {
	for {
		if err := os.MkdirAll(runDir, 0o755); err != nil {
			return fmt.Errorf("prepare %s: %w", runDir, err)
		}
		err := withRunDirLock(func() error {
			if err := shareRunDir(); err != nil {
				return fmt.Errorf("mount %s: %w", runDir, err)
			}
			return f()
		})
		if !errors.Is(err, errReleased) {
			return err
		}
	}
}

func shareRunDir() error {
	err := unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // EINVAL: not a mount point yet
		return err
	}
	if err := unix.Mount(runDir, runDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// RunDirExists reports whether some program has named a namespace since boot.
// Who finds it absent before Create may call [ReleaseRunDir] at the end.
func RunDirExists() bool {
	_, err := os.Stat(runDir)
	return err == nil
}

// ReleaseRunDir takes back what PrepareRunDir did, if no name is left in it.
func ReleaseRunDir() error {
	err := withRunDirLock(func() error {
		if entries, err := os.ReadDir(runDir); err != nil || len(entries) > 0 {
			return err
		}
		if err := unix.Unmount(runDir, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", runDir, err)
		}
		return os.Remove(runDir)
	})
	if errors.Is(err, errReleased) {
		return nil
	}
	return err
}

// errReleased: between two steps, someone took /run/netns away.
var errReleased = errors.New(runDir + " is gone")

// withRunDirLock holds the lock that iproute2 takes on the directory as well:
// two programs that find no mount point would both make one. Who has waited for
// it may hold a directory that was released meanwhile, and another is in its place.
func withRunDirLock(f func() error) error {
	dir, err := os.Open(runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return errReleased
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", runDir, err)
	}
	locked, err := dir.Stat()
	if err != nil {
		return fmt.Errorf("lock %s: %w", runDir, err)
	}
	if there, err := os.Stat(runDir); err != nil || !os.SameFile(locked, there) {
		return errReleased
	}
	return f()
}
