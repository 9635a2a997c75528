package supervisor

import (
	"time"

	"golang.org/x/sys/unix"
)

func pidfd(pid int) (int, error) { return unix.PidfdOpen(pid, 0) }

// exitedWithin reports whether the process behind a pidfd ends in time.
func exitedWithin(fd int, limit time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(limit.Milliseconds()))
	return err == nil && n == 1
}
