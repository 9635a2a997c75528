package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// downTimeout bounds the removal of a lab.
const downTimeout = time.Minute

// Down takes away the lab in a state directory, running, broken or half made.
// Without one it does nothing and says so with ErrNoLab.
func Down(ctx context.Context, stateDir string, progress io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	l, err := Open(stateDir)
	if err != nil {
		return err
	}
	show := newSteps(progress)
	defer show.close()
	return show.do("remove the lab in "+stateDir, func() error {
		held, err := seize(ctx, l)
		if err != nil {
			return err
		}
		if err := cleanUp(ctx, l.dir); err != nil {
			held.release()
			return &cli.Error{What: "remove the lab", Err: err, Hint: "run 'fairlead-lab down' again"}
		}
		return held.remove()
	})
}

// seizeInterval is how often to try for the lock of a supervisor that has been
// killed, or of an `up` that fails because of that.
const seizeInterval = 50 * time.Millisecond

// seize ends the supervisor, if there is one, and takes its lock.
func seize(ctx context.Context, l *Lab) (*lock, error) {
	for {
		if s, err := loadState(l.dir); err == nil {
			if err := kill(ctx, s.Supervisor); err != nil {
				return nil, err
			}
		}
		held, err := acquireLock(l.state.Prefix)
		if _, busy := errors.AsType[errLocked](err); !busy {
			return held, err
		}
		select {
		case <-time.After(seizeInterval):
		case <-ctx.Done():
			return nil, fmt.Errorf("remove the lab: %w", err)
		}
	}
}

// kill ends a process and waits for it, if it is still the one meant.
func kill(ctx context.Context, p process) error {
	if p.PID == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end the supervisor: %w", err)
	}
	defer unix.Close(fd)
	if !p.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end the supervisor: %w", err)
	}
	return netlab.WaitExit(ctx, fd)
}

// cleanUp removes everything that the lab in a state directory consists of. The
// caller holds the lab's lock. The state goes last: after an error or a crash
// the same call goes on where it stopped.
func cleanUp(ctx context.Context, dir component.Dir) error {
	s, err := loadState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is made before the state is written
	}
	if err != nil {
		return err
	}
	if err := kill(ctx, s.Supervisor); err != nil {
		return err
	}
	all, err := ownNamespaces(dir, s.Prefix)
	if err != nil {
		return err
	}
	if err := removeNamespaces(ctx, all); err != nil {
		return err
	}
	if err := unmountBelow(string(dir)); err != nil {
		return err
	}
	if s.MadeRunDir {
		if err := netlab.ReleaseRunDir(); err != nil {
			return err
		}
	}
	return removeStateDir(dir, s.MadeStateDir)
}

// removeNamespaces ends all processes in namespaces and then removes these.
func removeNamespaces(ctx context.Context, names []string) error {
	if err := netlab.Kill(ctx, names); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, netlab.Delete(name))
	}
	return errors.Join(errs...)
}

// unmountBelow unmounts everything in a directory, the innermost first.
func unmountBelow(dir string) error {
	points, err := mountPoints(dir)
	if err != nil {
		return err
	}
	for _, p := range slices.Backward(points) {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", p, err)
		}
	}
	return nil
}

// mountPoints lists what is mounted in a directory, in the order of mounting.
func mountPoints(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close()
	var points []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount.Replace(fields[4])
		if strings.HasPrefix(point, strings.TrimSuffix(dir, "/")+"/") {
			points = append(points, point)
		}
	}
	return points, lines.Err()
}

// unescapeMount undoes the escapes of proc_pid_mountinfo(5).
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// removeStateDir removes the content of the directory, the state last, and the
// directory itself if up has made it.
func removeStateDir(dir component.Dir, itself bool) error {
	entries, err := os.ReadDir(string(dir))
	if err != nil {
		return fmt.Errorf("remove the lab's files: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(string(dir), e.Name())
		if path == dir.State() {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the lab's files: %w", err)
		}
	}
	if err := os.Remove(dir.State()); err != nil {
		return fmt.Errorf("remove the lab's files: %w", err)
	}
	if !itself {
		return nil
	}
	if err := os.Remove(string(dir)); err != nil {
		return fmt.Errorf("remove the lab's files: %w", err)
	}
	return nil
}
