package accesslog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// create makes a spool file and locks it. A directory on the way to it may be
// removed by a delivery that has just emptied it, hence the second try.
func create(dir, object string) (*os.File, error) {
	path := filepath.Join(dir, filepath.FromSlash(object))
	var f *os.File
	var err error
	for range 3 {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			continue
		}
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(lock(f), syncParents(dir, path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// syncParents makes a new file's name durable, and those of the directories up
// to dir, which may be new as well.
func syncParents(dir, path string) error {
	for path != dir {
		path = filepath.Dir(path)
		d, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// spooled is a finished file.
type spooled struct {
	path, bucket, key string
	size              int64
	modified          time.Time
}

// finished lists the files below dir, oldest first. Some may still be written.
func finished(dir string) ([]spooled, error) {
	var all []spooled
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // delivered meanwhile
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		object, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if bucket, key, ok := strings.Cut(filepath.ToSlash(object), "/"); ok {
			all = append(all, spooled{path: path, bucket: bucket, key: key, size: info.Size(), modified: info.ModTime()})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b spooled) int { return a.modified.Compare(b.modified) })
	return all, err
}

// adopt opens a file that nobody writes to any more; nil, when somebody does or
// when it has gone. A line that a crash broke off is cut.
func (f *spooled) adopt() (*os.File, error) {
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lock(file); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = nil
		}
		return nil, errors.Join(err, file.Close())
	}
	if err := cutLine(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// cutLine removes what follows the last line's end, and goes to the beginning.
func cutLine(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for kept := end; ; {
		n := min(kept, int64(len(b)))
		if _, err := f.ReadAt(b[:n], kept-n); err != nil && err != io.EOF {
			return err
		}
		i := bytes.LastIndexByte(b[:n], '\n')
		if i < 0 && kept > n {
			kept -= n
			continue
		}
		if whole := kept - n + int64(i) + 1; whole < end {
			if err := f.Truncate(whole); err != nil {
				return err
			}
		}
		_, err := f.Seek(0, io.SeekStart)
		return err
	}
}

// remove removes a delivered file and the directories that it leaves empty.
func (f *spooled) remove(dir string) error {
	err := os.Remove(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for parent := filepath.Dir(f.path); err == nil && parent != dir && len(parent) > len(dir); parent = filepath.Dir(parent) {
		if os.Remove(parent) != nil {
			break // it has other files
		}
	}
	return err
}
