package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// netNSDir is where network namespaces have names, as `ip netns` has them.
const netNSDir = "/run/netns"

// NetNSPath returns the file that a named network namespace is bound to.
func NetNSPath(name string) string { return filepath.Join(netNSDir, name) }

// CreateNetNS makes a named network namespace. One of that name must not exist.
func CreateNetNS(name string) error {
	if err := shareNetNSDir(); err != nil {
		return err
	}
	f, err := os.OpenFile(NetNSPath(name), os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("name network namespace: %w", err)
	}
	f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", NetNSPath(name), "", unix.MS_BIND, "")
	})
	if err != nil {
		return errors.Join(fmt.Errorf("create network namespace %s: %w", name, err), DeleteNetNS(name))
	}
	return nil
}

// shareNetNSDir makes the directory a shared mount, as `ip netns` does: else
// names made in one mount namespace would stay hidden from, and pinned in,
// others.
func shareNetNSDir() error {
	if err := os.MkdirAll(netNSDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", netNSDir, "", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // EINVAL: not a mount point yet
		return err
	}
	if err := unix.Mount(netNSDir, netNSDir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", netNSDir, "", unix.MS_SHARED|unix.MS_REC, "")
}

// DeleteNetNS removes a named network namespace and with it its links. One that
// is not there is fine.
func DeleteNetNS(name string) error {
	err := unix.Unmount(NetNSPath(name), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount network namespace %s: %w", name, err)
	}
	if err := os.Remove(NetNSPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// InNetNS runs f on a thread of its own that is in the network namespace at a
// path; an empty path is the process's own. Sockets that f opens stay there.
func InNetNS(path string, f func() error) error {
	if path == "" {
		return f()
	}
	return onThread(func() error {
		if err := joinNetNS(path); err != nil {
			return err
		}
		return f()
	})
}

func joinNetNS(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// onThread runs f on a thread that ends with it: the thread is never unlocked,
// so the runtime throws it away and no other goroutine sees its namespaces.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}
