package accesslog

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// compressed ends the names of files that are delivered in gzip's format. In the
// spool they are plain, so that a line that a crash broke off can be cut.
const compressed = ".gz"

// unnamed begins the names that compressed copies have for a moment. They lie
// beside the buckets: nothing there is ever delivered.
const unnamed = "compressed-"

// compress returns a compressed copy of a file, at its beginning. The copy has no
// name, so that it goes with its last descriptor, however the process ends.
func compress(dir string, content io.Reader) (_ *os.File, err error) {
	f, err := os.CreateTemp(dir, unnamed+"*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	w := gzip.NewWriter(f)
	_, err = io.Copy(w, content)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

// removeUnnamed removes copies that a process left which died before it took
// their names.
func removeUnnamed(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unnamed) || e.IsDir() {
			continue
		}
		if rmErr := os.Remove(filepath.Join(dir, e.Name())); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}
	return err
}
