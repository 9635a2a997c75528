// Package bpffs keeps the directory of a program's pinned maps and links.
//
// What is pinned outlives the process. Invariants: one process at a time holds
// a directory; Remove takes away the named pins and what Open made, nothing of
// others, who may use the same file system or even the same directory.
package bpffs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// source marks our mounts in the kernel's list.
const source = "fairlead"

// wait is how long Open waits for a process that is about to end.
const wait = 5 * time.Second

// ErrHeld says that another process works with the directory.
var ErrHeld = errors.New("another process holds it")

// ErrNoBPFFS says that a directory is not on a BPF file system and that none
// can be mounted there.
var ErrNoBPFFS = errors.New("no BPF file system is mounted there")

// Open makes the directory and takes it for this process until the file is
// closed. A directory that lies on another file system gets a BPF file system
// of its own, in the mount namespace of the caller.
func Open(dir string) (*os.File, error) {
	if err := prepare(dir); err != nil {
		return nil, fmt.Errorf("prepare the pin directory %s: %w", dir, err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the pin directory: %w", err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(wait / 100) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(deadline) {
			continue
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrHeld
		}
		return nil, errors.Join(fmt.Errorf("take the pin directory %s: %w", dir, err), f.Close())
	}
}

func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		// sysfs has no directories but its own: nothing is mounted on /sys/fs/bpf
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
			return errors.Join(ErrNoBPFFS, err)
		}
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if st.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount(source, dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system: %w", err)
	}
	return nil
}

// Remove unpins the names in the directory. When nothing else is left it removes
// the directory, with the file system if Open mounted it. What does not exist is
// no error. Links are detached when the kernel frees them, a little later.
func Remove(dir string, names ...string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	held, err := Open(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	others, err := hasOthers(held)
	errs = append(errs, err, held.Close()) // an open directory cannot be unmounted
	if !others {
		errs = append(errs, unmountOurs(dir))
		if err := os.Remove(dir); !errors.Is(err, unix.EBUSY) { // somebody else's mount point
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the pin directory %s: %w", dir, err)
	}
	return nil
}

// hasOthers says whether anything is left beside the kernel's own files, which
// lie in the root of every BPF file system.
func hasOthers(dir *os.File) (bool, error) {
	entries, err := dir.ReadDir(-1)
	for _, e := range entries {
		if e.Name() != "maps.debug" && e.Name() != "progs.debug" {
			return true, err
		}
	}
	return err != nil, err
}

// unmountOurs unmounts what prepare mounted.
func unmountOurs(dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil { // as the list has it
		return err
	}
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[4] != path {
			continue
		}
		if slices.Equal(fields[len(fields)-3:len(fields)-1], []string{"bpf", source}) {
			return unix.Unmount(dir, 0)
		}
	}
	return nil
}
