package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Processes lists the processes whose network namespace is one of the named.
func Processes(names []string) ([]int, error) {
	wanted := map[inode]bool{}
	for _, name := range names {
		if id, ok := inodeOf(Path(name)); ok && Exists(name) {
			wanted[id] = true
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if id, ok := inodeOf(filepath.Join("/proc", e.Name(), "ns/net")); ok && wanted[id] {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

type inode struct{ dev, ino uint64 }

func inodeOf(path string) (inode, bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return inode{}, false
	}
	return inode{st.Dev, st.Ino}, true
}

// Kill ends all processes in the named namespaces and returns when none is
// left, or with an error when ctx ends first. Processes that appear meanwhile
// are ended as well. The calling process is spared.
func Kill(ctx context.Context, names []string) error {
	for {
		pids, err := Processes(names)
		if err != nil {
			return err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() })
		if len(pids) == 0 {
			return nil
		}
		if err := killAll(ctx, pids, names); err != nil {
			return err
		}
	}
}

// killAll signals first and waits afterwards, so that the processes end side by
// side.
func killAll(ctx context.Context, pids []int, names []string) error {
	var killed []int // pidfds
	defer func() {
		for _, fd := range killed {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		fd, err := killMember(pid, names)
		if err != nil {
			return err
		}
		if fd >= 0 {
			killed = append(killed, fd)
		}
	}
	for _, fd := range killed {
		if err := WaitExit(ctx, fd); err != nil {
			return err
		}
	}
	return nil
}

// killMember kills pid if it is still a member and returns its pidfd, or -1:
// the number may have passed to another process since it was listed, while a
// pidfd holds on to what it was when opened.
func killMember(pid int, names []string) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, nil //nolint:nilerr // it has ended
	}
	if !isMember(pid, names) {
		unix.Close(fd)
		return -1, nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		unix.Close(fd)
		return -1, fmt.Errorf("kill process %d: %w", pid, err)
	}
	return fd, nil
}

func isMember(pid int, names []string) bool {
	id, ok := inodeOf(filepath.Join("/proc", strconv.Itoa(pid), "ns/net"))
	if !ok {
		return false
	}
	for _, name := range names {
		if want, ok := inodeOf(Path(name)); ok && want == id {
			return true
		}
	}
	return false
}

// WaitExit returns when the process behind a pidfd has ended, or with ctx. It
// waits in slices, because poll cannot wait for ctx.
func WaitExit(ctx context.Context, pidfd int) error {
	const slice = 100 * time.Millisecond
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(slice.Milliseconds()))
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for a killed process: %w", err)
		}
	}
	return fmt.Errorf("a process does not end after SIGKILL: %w", ctx.Err())
}
