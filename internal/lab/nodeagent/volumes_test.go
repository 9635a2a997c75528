package nodeagent

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
)

// content is what a container sees of a volume: its files by name, with mode.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		top, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			info, err := d.Info()
			name := e.Name() + strings.TrimPrefix(path, top)
			out[name] = info.Mode().String() + " " + string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestVolumeChangesAsAWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	file := func(text string) podplan.File { return podplan.File{Data: []byte(text), Mode: 0o640} }
	for _, step := range []struct {
		files map[string]podplan.File
		want  map[string]string
	}{
		{map[string]podplan.File{}, map[string]string{}},
		{map[string]podplan.File{"a": file("1"), "sub/b": file("2"), "sub/c": file("3")},
			map[string]string{"a": "-rw-r----- 1", "sub/b": "-rw-r----- 2", "sub/c": "-rw-r----- 3"}},
		{map[string]podplan.File{"a": file("changed"), "d": file("new")},
			map[string]string{"a": "-rw-r----- changed", "d": "-rw-r----- new"}},
	} {
		if err := writeVolume(dir, podplan.Volume{Name: "v", Files: step.files}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, content(t, dir)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	before, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeVolume(dir, podplan.Volume{Name: "v", Files: map[string]podplan.File{"a": file("changed"), "d": file("new")}}); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Readlink(filepath.Join(dir, dataLink)); err != nil || after != before {
		t.Errorf("what has not changed was written again: %s became %s, error %v", before, after, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 { // a, d, ..data and what it leads to
		t.Errorf("%v is in the volume, want nothing of earlier versions", entries)
	}
}

func TestEmptyDirIsForEveryone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v")
	group := int64(1234)
	if err := writeVolume(dir, podplan.Volume{Name: "v", Group: &group}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := fs.ModeDir | fs.ModeSetgid | 0o777; info.Mode() != want {
		t.Errorf("mode is %s, want %s", info.Mode(), want)
	}
}
