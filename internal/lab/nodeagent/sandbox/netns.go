package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// InNetNS runs f in a named network namespace, or where the agent is if the
// name is empty. See [netlab.In] for what f may do.
func InNetNS(name string, f func() error) error {
	if name == "" {
		return f()
	}
	return netlab.In(name, f)
}

// joinNetNS moves the calling thread, which must be locked, for good.
func joinNetNS(name string) error {
	fd, err := unix.Open(netlab.Path(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	return nil
}
