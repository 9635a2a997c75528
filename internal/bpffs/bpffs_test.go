package bpffs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

func fsType(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Type
}

func TestOpenMountsAndRemoveTakesBack(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "a", "pins")
	f, err := Open(dir)
	if err != nil {
		t.Fatalf("as root: %v", err)
	}
	if fsType(t, dir) != unix.BPF_FS_MAGIC {
		t.Error("the directory is on no BPF file system")
	}
	if err := os.Mkdir(filepath.Join(dir, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.Close()
	again, err := Open(filepath.Join(dir, "inside")) // on the one that is mounted
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := Remove(dir, "absent"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "inside")); err != nil {
		t.Fatalf("Remove took what is not its own: %v", err)
	}
	for range 2 { // the second time there is nothing to remove
		if err := Remove(dir, "inside"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(dir)); err != nil {
		t.Errorf("Remove took more than the directory: %v", err)
	}
}

func TestDirectoryIsForOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pins")
	f, err := Open(dir)
	if err != nil {
		t.Fatalf("as root: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	defer f.Close()
	synctest.Test(t, func(t *testing.T) { // the time that Open waits for the other
		if _, err := Open(dir); !errors.Is(err, ErrHeld) {
			t.Errorf("Open = %v, want %v", err, ErrHeld)
		}
		if err := Remove(dir); !errors.Is(err, ErrHeld) {
			t.Errorf("Remove = %v, want %v", err, ErrHeld)
		}
	})
}

func TestRemoveLeavesTheMountsOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("as root: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	pins := filepath.Join(dir, "pins")
	f, err := Open(pins)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := errors.Join(Remove(pins), Remove(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(pins); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if fsType(t, dir) != unix.BPF_FS_MAGIC {
		t.Error("the file system of another was unmounted")
	}
}

func TestOpenSaysWhenThereIsNoFileSystemForPins(t *testing.T) {
	if _, err := Open("/sys/kernel/absent/pins"); !errors.Is(err, ErrNoBPFFS) {
		t.Errorf("Open = %v, want %v", err, ErrNoBPFFS)
	}
}
