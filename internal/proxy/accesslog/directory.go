package accesslog

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Directory delivers to a directory: a bucket is a directory below it.
type Directory string

// Deliver implements Deliverer: a file is there whole or not at all.
func (d Directory) Deliver(_ context.Context, bucket, key string, content *os.File) (err error) {
	path := filepath.Join(string(d), bucket, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".delivery-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	_, err = io.Copy(temporary, content)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return syncParents(string(d), path)
}
