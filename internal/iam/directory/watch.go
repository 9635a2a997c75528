package directory

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files have to be quiet before they are read anew: editors
// and copies write in several steps.
const settle = 100 * time.Millisecond

// Watch follows the files until ctx ends. A version with problems is logged and
// not taken.
func (d *Directory) Watch(ctx context.Context) error {
	if d.Path == "" {
		<-ctx.Done()
		return nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the IAM file: %w", err)
	}
	defer w.Close()
	files := d.follow(w, d.current.Load().files)
	timer := time.NewTimer(0) // what changed since Open counts
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-w.Events:
			if concerns(event.Name, files) {
				timer.Reset(settle)
			}
		case err := <-w.Errors: // events were lost: look
			d.Logger.Warn("watching the IAM file lost events", "path", d.Path, "error", err)
			timer.Reset(settle)
		case <-timer.C:
			files = d.follow(w, d.reload())
		}
	}
}

// follow watches the directories of files; directories and not files, because
// files are replaced by renaming others. To watch one twice changes nothing.
func (d *Directory) follow(w *fsnotify.Watcher, files []string) []string {
	for _, f := range files {
		if err := w.Add(filepath.Dir(f)); err != nil {
			d.Logger.Warn("changes of a file of IAM will not be seen", "path", f, "error", err)
		}
	}
	return files
}

// concerns reports whether a change of a directory entry is one of the files,
// or of the links by which Kubernetes replaces a mounted Secret ("..data").
func concerns(name string, files []string) bool {
	return strings.HasPrefix(filepath.Base(name), "..") || slices.ContainsFunc(files, func(f string) bool {
		return filepath.Clean(f) == filepath.Clean(name)
	})
}

// reload reads the files and returns which they were.
func (d *Directory) reload() []string {
	r, err := d.read()
	if err != nil {
		d.Logger.Error("the IAM file was not taken; the version before stays in force", "path", d.Path, "error", err)
		return r.files
	}
	d.current.Store(r)
	d.Logger.Info("IAM file read", "path", d.Path, "users", len(r.policies), "accessKeys", len(r.keys))
	return r.files
}
