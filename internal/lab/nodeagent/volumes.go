package nodeagent

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
)

// refreshPeriod is how often volumes with content are brought up to date, as
// often as a kubelet does it.
const refreshPeriod = time.Minute

func (w *worker) scheduleRefresh() {
	w.refreshAt = time.Time{}
	if !podplan.Refer(w.pod).Empty() {
		w.refreshAt = time.Now().Add(refreshPeriod)
	}
}

// refreshVolumes writes volumes again when it is time: objects change and tokens
// expire. On failure they stay as they are until the next time.
func (w *worker) refreshVolumes(ctx context.Context) {
	if w.refreshAt.IsZero() || time.Until(w.refreshAt) > 0 || !w.state.Sandbox {
		return
	}
	w.scheduleRefresh()
	if err := w.rewriteVolumes(ctx); err != nil && ctx.Err() == nil {
		w.log.Warn("volumes not refreshed", "error", err)
	}
}

func (w *worker) rewriteVolumes(ctx context.Context) error {
	src, err := w.fetchSources(ctx)
	if err != nil {
		return err
	}
	volumes, err := podplan.Volumes(w.pod, src)
	for _, v := range volumes {
		err = errors.Join(err, writeVolume(w.volumeDir(v.Name), v))
	}
	return err
}

// The names by which Kubernetes changes all files of a volume at once: each file
// is a link through ..data, and ..data is a link to a directory that never
// changes. Programs watch for ..data being replaced.
const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
	dataPrefix  = "..v_"
)

// writeVolume makes a volume's directory, and gives it its files if it has any.
// All files change at once or not at all.
func writeVolume(dir string, v podplan.Volume) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if v.Files == nil {
		return shareEmptyDir(dir, v.Group)
	}
	if same, err := holds(filepath.Join(dir, dataLink), v.Files); err != nil || same {
		return err
	}
	old, _ := os.Readlink(filepath.Join(dir, dataLink)) // none the first time
	data, err := os.MkdirTemp(dir, dataPrefix)
	if err != nil {
		return err
	}
	if err := fill(data, v); err != nil {
		return err
	}
	if err := publishData(dir, filepath.Base(data)); err != nil {
		return err
	}
	if err := link(dir, v.Files); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

// shareEmptyDir lets every container write, whomever it runs as; with fsGroup,
// new files belong to the group.
func shareEmptyDir(dir string, group *int64) error {
	mode := fs.FileMode(0o777)
	if group != nil {
		if err := os.Chown(dir, -1, int(*group)); err != nil {
			return err
		}
		mode |= fs.ModeSetgid
	}
	return os.Chmod(dir, mode)
}

// holds reports whether a data directory has just these files.
func holds(data string, files map[string]podplan.File) (bool, error) {
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	count := 0
	err := filepath.WalkDir(data+"/", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			count++
		}
		return err
	})
	if err != nil || count != len(files) {
		return false, err
	}
	for name, f := range files {
		have, err := os.ReadFile(filepath.Join(data, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(have, f.Data) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func fill(data string, v podplan.Volume) error {
	if err := os.Chmod(data, 0o755); err != nil {
		return err
	}
	for name, f := range v.Files {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Data, f.Mode); err != nil {
			return err
		}
		mode := f.Mode
		if v.Group != nil {
			if err := os.Chown(path, -1, int(*v.Group)); err != nil {
				return err
			}
			mode |= 0o440 // as the kubelet: fsGroup may read
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	return nil
}

func publishData(dir, data string) error {
	fresh := filepath.Join(dir, newDataLink)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(data, fresh); err != nil {
		return err
	}
	return os.Rename(fresh, filepath.Join(dir, dataLink))
}

// link makes the names that containers see, and removes those that are over.
func link(dir string, files map[string]podplan.File) error {
	want := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		want[top] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		if !want[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		delete(want, e.Name())
	}
	for name := range want {
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
