package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// bind puts one file or directory of the machine under the container's root.
func bind(s Spec, b Bind) error {
	source, err := openSource(b)
	if err != nil {
		return fmt.Errorf("bind %s: %w", filepath.Join(b.Source, b.SubPath), err)
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	target, err := makeTarget(s.Root, b.Target, info.IsDir())
	if err != nil {
		return fmt.Errorf("make mount point %s: %w", b.Target, err)
	}
	defer target.Close()
	// Mounting by descriptor: neither end can be exchanged for a symbolic link
	// that leads elsewhere.
	if err := unix.Mount(byDescriptor(source), byDescriptor(target), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s on %s: %w", b.Source, b.Target, err)
	}
	if !b.ReadOnly {
		return nil
	}
	return makeReadOnly(s.Root, b.Target)
}

// makeReadOnly changes the mount that now lies on a target, and those below it.
func makeReadOnly(root, target string) error {
	f, err := openIn(root, target)
	if err != nil {
		return err
	}
	defer f.Close()
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	err = unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
	if err != nil {
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

func byDescriptor(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// openSource opens what is to be bound, and makes a missing sub path a
// directory.
func openSource(b Bind) (*os.File, error) {
	if b.SubPath == "" {
		return openPath(unix.AT_FDCWD, b.Source, 0)
	}
	root, err := os.OpenRoot(b.Source)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if _, err := root.Stat(b.SubPath); errors.Is(err, fs.ErrNotExist) {
		if err := root.MkdirAll(b.SubPath, 0o755); err != nil {
			return nil, err
		}
	}
	return root.Open(b.SubPath)
}

// makeTarget makes the mount point inside the root, where symbolic links lead
// as they will in the container.
func makeTarget(root, target string, dir bool) (*os.File, error) {
	f, err := openIn(root, target)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	parent, name := filepath.Split(filepath.Clean(target))
	at, err := makeDirIn(root, parent)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if dir {
		err = unix.Mkdirat(int(at.Fd()), name, 0o755)
	} else {
		err = unix.Mknodat(int(at.Fd()), name, unix.S_IFREG|0o644, 0)
	}
	if err != nil {
		return nil, err
	}
	return openIn(root, target)
}

func makeDirIn(root, dir string) (*os.File, error) {
	path := "/"
	for part := range strings.SplitSeq(filepath.Clean(dir), "/") {
		at, err := openIn(root, path)
		if err != nil {
			return nil, err
		}
		if part != "" {
			err = unix.Mkdirat(int(at.Fd()), part, 0o755)
		}
		at.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
		path = filepath.Join(path, part)
	}
	return openIn(root, path)
}

// openIn opens a path as a process whose root is root would find it.
func openIn(root, path string) (*os.File, error) {
	at, err := openPath(unix.AT_FDCWD, root, 0)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	return openPath(int(at.Fd()), path, unix.RESOLVE_IN_ROOT)
}

func openPath(at int, path string, resolve uint64) (*os.File, error) {
	fd, err := unix.Openat2(at, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
