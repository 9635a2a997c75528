package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Descriptors that the agent hands to a container's first process beside the
// standard ones.
const (
	specFD   = 3 // the Spec is read from it
	statusFD = 4 // an error is written to it; closed by the kernel when the program starts
)

// RunInit is the first process of a container: it reads its [Spec], builds the
// root around itself and becomes the container's program. It returns only on
// failure, which it has told the agent by then.
func RunInit() error {
	runtime.LockOSThread() // namespaces and credentials are the thread's that executes the program
	unix.CloseOnExec(specFD)
	unix.CloseOnExec(statusFD)
	status := os.NewFile(statusFD, "status")
	err := becomeContainer(os.NewFile(specFD, "spec"), status)
	fmt.Fprint(status, err)
	return err
}

func becomeContainer(in, status *os.File) error {
	var s Spec
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("read the container's specification: %w", err)
	}
	if err := in.Close(); err != nil {
		return err
	}
	if err := enter(s); err != nil {
		return err
	}
	path, err := findProgram(s.Argv[0], s.Env)
	if err != nil {
		return err
	}
	if err := agentLives(status); err != nil {
		return err
	}
	if err := unix.Exec(path, s.Argv, s.Env); err != nil {
		return fmt.Errorf("exec %q: %w", path, err)
	}
	return nil
}

// agentLives reports an error if nobody holds the other end of the status pipe:
// then the agent died before it was asked to send a signal on its death, and
// none will come.
func agentLives(status *os.File) error {
	fds := []unix.PollFd{{Fd: int32(status.Fd())}}
	if _, err := unix.Poll(fds, 0); err != nil {
		return fmt.Errorf("look for the agent: %w", err)
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		return errors.New("the agent is gone")
	}
	return nil
}

// enter puts the process where and as whom the container's program shall run.
func enter(s Spec) error {
	if s.NetNS != "" {
		if err := joinNetNS(s.NetNS); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("set host name %q: %w", s.Hostname, err)
	}
	if err := enterRoot(s); err != nil {
		return err
	}
	if err := changeDir(s.Dir); err != nil {
		return err
	}
	if err := limitCapabilities(s.Cred.Capabilities); err != nil {
		return err
	}
	if err := become(s.Cred); err != nil {
		return err
	}
	if err := forbidNewPrivileges(s.Cred); err != nil {
		return err
	}
	// Becoming another user clears the signal that the agent's death sends.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}

// changeDir enters the working directory and makes it if it is missing, as
// container runtimes do.
func changeDir(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return os.Chdir(dir)
}

// findProgram searches PATH of the container's own environment.
func findProgram(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := ""
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("exec: %q: %w", name, errNotInPath)
}

var errNotInPath = errors.New("executable file not found in $PATH")
