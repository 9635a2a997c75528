package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// PrintLog writes a component's log and, with follow, what is added to it until
// ctx ends.
func (l *Lab) PrintLog(ctx context.Context, name string, follow bool, w io.Writer) error {
	path, err := l.Logs(name)
	if err != nil {
		return err
	}
	if err := copyFile(w, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read log: %w", err)
	}
	if !follow {
		return copyFile(w, path)
	}
	return followFile(ctx, w, path)
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// followFile copies a file as it grows, and its successor when it is replaced.
func followFile(ctx context.Context, w io.Writer, path string) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	defer func() { f.Close() }()
	for {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		select {
		case e, ok := <-watcher.Events:
			if ok && e.Name == path && e.Has(fsnotify.Create) {
				if f, err = successor(w, f, path); err != nil {
					return err
				}
			}
		case err := <-watcher.Errors:
			return fmt.Errorf("follow %s: %w", path, err)
		case <-ctx.Done():
			return nil
		}
	}
}

// successor copies what is left of the old file and opens the new one.
func successor(w io.Writer, old *os.File, path string) (*os.File, error) {
	defer old.Close()
	if _, err := io.Copy(w, old); err != nil {
		return nil, err
	}
	return os.Open(path)
}
