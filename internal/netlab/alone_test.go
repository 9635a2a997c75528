package netlab_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// alone says whether the process has a /run of its own, in which nobody else
// names namespaces. If not, it runs the test once more in one that has.
func alone(t *testing.T) bool {
	t.Helper()
	const mark = "NETLAB_TEST_ALONE"
	if os.Getenv(mark) == "" {
		again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), mark+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("alone: %v\n%s", err, out)
		}
		return false
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	return true
}

func TestProbeAcceptsThisKernelAndLeavesNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	if err := netlab.Probe(); err != nil {
		t.Error(err)
	}
	if names, err := netlab.Names(); err != nil || len(names) > 0 || netlab.RunDirExists() {
		t.Errorf("left behind: namespaces %v, error %v, their directory: %v", names, err, netlab.RunDirExists())
	}
}

// A lab that found no namespace on the machine takes their directory away with
// its last one, when another may be about to make its first.
func TestNamespacesAreMadeWhileTheirDirectoryIsReleased(t *testing.T) {
	if !alone(t) {
		return
	}
	var making sync.WaitGroup
	defer making.Wait()
	for i := range 4 {
		making.Go(func() {
			for range 25 {
				if err := comeAndGo(fmt.Sprint("x", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	made := make(chan struct{})
	go func() { making.Wait(); close(made) }()
	for released := false; !released; {
		select {
		case <-made:
			released = true
		default:
		}
		if err := netlab.ReleaseRunDir(); err != nil {
			t.Fatal(err)
		}
	}
	if netlab.RunDirExists() {
		t.Error("the directory is still there without a name in it")
	}
}

func comeAndGo(name string) error {
	if err := netlab.Create(name); err != nil {
		return err
	}
	if !netlab.Exists(name) {
		return errors.New(name + " is not there after Create")
	}
	return netlab.Delete(name)
}
