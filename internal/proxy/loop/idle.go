package loop

import (
	"time"

	"golang.org/x/sys/unix"
)

// looksPerTimeout is how often keepalives are looked for in an idle timeout.
const looksPerTimeout = 4

// NextLook is when to look again at a connection that was quiet for a while.
func NextLook(limit, quiet time.Duration, keepalives bool) time.Duration {
	if keepalives {
		return min(limit-quiet, limit/looksPerTimeout)
	}
	return limit - quiet
}

// Keepalives notices segments without data: the kernel counts all segments, and
// the caller knows when there was data. A nil one never does.
type Keepalives struct {
	looked time.Duration
	seen   [2]uint32 // segments until then
}

// Heard says whether segments have come to one of two sockets since the last
// look, but no data: the last of them moved at a time before that.
func (k *Keepalives) Heard(now, lastData time.Duration, fds ...int) bool {
	if k == nil {
		return false
	}
	before := *k
	k.looked = now
	for i, fd := range fds {
		k.seen[i] = segments(fd)
	}
	return lastData < before.looked && k.seen != before.seen
}

// segments is how many segments a connection has received; 0 once it is closed.
func segments(fd int) uint32 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.Segs_in
}
