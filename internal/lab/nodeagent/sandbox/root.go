package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// rootSize bounds what a container can write outside its volumes, and so the
// memory it takes: its root is a tmpfs.
const rootSize = "size=256m,mode=0755"

// hostTrees are the directories of the machine that a container sees, read
// only. Those that are symbolic links on the machine are links inside too.
var hostTrees = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// hostFiles are what programs need of /etc, read only.
var hostFiles = []string{
	"/etc/alternatives", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
	"/etc/localtime", "/etc/protocols", "/etc/services", "/etc/ssl", "/etc/terminfo",
}

// deviceNames are the devices of a container; all else in /dev is its own.
var deviceNames = []string{"null", "zero", "full", "random", "urandom", "tty"}

const (
	passwd   = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	group    = "root:x:0:\nnogroup:x:65534:\n"
	nsswitch = "passwd: files\ngroup: files\nhosts: files dns\n"
)

// enterRoot assembles the container's root and makes it the process's. The
// calling process must be alone in a mount namespace and a PID namespace.
func enterRoot(s Spec) error {
	// What is mounted here must not show on the machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", s.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, rootSize); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, step := range []func(Spec) error{makeDirs, bindHost, writeFiles, mountDevices, mountKernel, guardKernel, bindAll, pivot} {
		if err := step(s); err != nil {
			return err
		}
	}
	if s.ReadOnlyRoot {
		return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	return nil
}

func makeDirs(s Spec) error {
	dirs := map[string]fs.FileMode{
		"etc": 0o755, "proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "home": 0o755, "root": 0o700,
		"var/log": 0o755, "var/lib": 0o755, "var/cache": 0o755,
		"tmp": 0o777 | fs.ModeSticky, "var/tmp": 0o777 | fs.ModeSticky,
	}
	for d, mode := range dirs {
		path := filepath.Join(s.Root, d)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil { // MkdirAll is subject to the umask
			return err
		}
	}
	return os.Symlink("../run", filepath.Join(s.Root, "var/run"))
}

func bindHost(s Spec) error {
	for _, path := range slices.Concat(hostTrees, hostFiles) {
		if err := bindHostPath(s, path); err != nil {
			return err
		}
	}
	return nil
}

func bindHostPath(s Spec, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return bind(s, Bind{Source: path, Target: path, ReadOnly: true})
	}
	link, err := os.Readlink(path)
	if err != nil {
		return err
	}
	return os.Symlink(link, filepath.Join(s.Root, path))
}

func writeFiles(s Spec) error {
	files := map[string]string{"/etc/passwd": passwd, "/etc/group": group, "/etc/nsswitch.conf": nsswitch, "/etc/hostname": s.Hostname + "\n"}
	maps.Copy(files, s.Files)
	for path, text := range files {
		if err := writeFile(s, path, text, 0o644); err != nil {
			return err
		}
	}
	for path, text := range s.Scripts {
		if err := writeFile(s, path, text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(s Spec, path, text string, mode fs.FileMode) error {
	full := filepath.Join(s.Root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(full, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(full, mode)
}

func mountDevices(s Spec) error {
	dev := filepath.Join(s.Root, "dev")
	for _, d := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, d), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", filepath.Join(dev, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if err := unix.Mount("tmpfs", filepath.Join(dev, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64m,mode=1777"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	for _, d := range deviceNames {
		if err := bind(s, Bind{Source: "/dev/" + d, Target: "/dev/" + d}); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

// mountKernel mounts /proc, which shows the PID namespace of the process that
// mounts it, and /sys, which shows its network namespace.
func mountKernel(s Spec) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", filepath.Join(s.Root, "proc"), "proc", flags, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("sysfs", filepath.Join(s.Root, "sys"), "sysfs", flags|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return nil
}

// The parts of /proc by which root could change or read the whole machine, as
// container runtimes protect them: the first are read-only, the second empty.
var (
	guarded = []string{"bus", "fs", "irq", "sys", "sysrq-trigger"}
	hidden  = []string{"kcore", "keys", "sched_debug", "timer_list"}
)

// guardKernel protects the machine from containers that are not privileged.
func guardKernel(s Spec) error {
	if slices.Contains(s.Cred.Capabilities, allCapabilities) {
		return nil
	}
	for _, name := range guarded {
		path := filepath.Join(s.Root, "proc", name)
		if err := bindOver(s, path, path); err != nil {
			return err
		}
	}
	for _, name := range hidden {
		if err := bindOver(s, "/dev/null", filepath.Join(s.Root, "proc", name)); err != nil {
			return err
		}
	}
	return nil
}

// bindOver puts a read-only view of source on a target if there is one: kernels
// differ in what /proc has.
func bindOver(s Spec, source, target string) error {
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("guard %s: %w", target, err)
	}
	return makeReadOnly(s.Root, strings.TrimPrefix(target, s.Root))
}

func bindAll(s Spec) error {
	for _, b := range s.Binds {
		if err := bind(s, b); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes the assembled tree the root and lets go of the machine's.
func pivot(s Spec) error {
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	// With both arguments equal the old root is stacked on the new one, and is
	// taken off again: pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the machine's root: %w", err)
	}
	return os.Chdir("/")
}
