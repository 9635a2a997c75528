package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// crashDirVariable makes TestKilledWriterKeepsWhatItAcknowledged be the writer.
const crashDirVariable = "FAIRLEAD_STORE_CRASH_DIR"

func TestKilledWriterKeepsWhatItAcknowledged(t *testing.T) {
	if path := os.Getenv(crashDirVariable); path != "" {
		writeUntilKilled(t, path)
	}
	path := filepath.Join(t.TempDir(), "db")
	for round := range 5 {
		acknowledged := runAndKill(t, path, 40*(round+1))
		z := newZoo()
		s := open(t, z, path)
		for _, name := range acknowledged {
			if _, ok := z.animals.Get(s.Current(), name); !ok {
				t.Errorf("round %d: %q was acknowledged and is lost", round, name)
			}
		}
		if len(acknowledged) == 0 {
			t.Errorf("round %d: nothing was acknowledged before the kill", round)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runAndKill starts a writer and kills it in the middle of its commits, after
// that many acknowledgements.
func runAndKill(t *testing.T, path string, after int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), crashDirVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
			acknowledged = append(acknowledged, name)
		}
		if len(acknowledged) == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	return acknowledged
}

func writeUntilKilled(t *testing.T, path string) {
	z := newZoo()
	s := open(t, z, path)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if err := put(s, z, name); err != nil {
					panic(err)
				}
				fmt.Printf("ack %s\n", name) // one write, so lines stay whole
			}
		})
	}
	writers.Wait()
}

func TestOpenRefuses(t *testing.T) {
	content := func(t *testing.T, path string) []byte {
		z := newZoo()
		s := open(t, z, path)
		for i := range 500 {
			if err := put(s, z, strings.Repeat("x", 100)+strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	tests := map[string]struct {
		damage func(t *testing.T, path string)
		want   error
	}{
		"a newer format": {func(t *testing.T, path string) { editMeta(t, path, "2") }, ErrNewer},
		"a newer format with a table that it does not know": {func(t *testing.T, path string) {
			newer := NewSchema(nil)
			plants := NewTable(newer, "plants", func(a animal) string { return a.Name })
			s := open(t, zoo{schema: newer}, path)
			err := s.Update(func(tx *Tx) error { plants.Put(tx, animal{Name: "oak"}); return nil })
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}, ErrNewer},
		"a file without a format": {func(t *testing.T, path string) { editMeta(t, path, "") }, ErrCorrupt},
		"a store of another program": {func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("registry")); return err })
			if err = errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}, ErrCorrupt},
		"a format that is no number": {func(t *testing.T, path string) { editMeta(t, path, "one") }, ErrCorrupt},
		"a file of another program": {func(t *testing.T, path string) {
			writeFile(t, path, bytes.Repeat([]byte("not ours\n"), 5000))
		}, ErrCorrupt},
		"a file that was cut in half": {func(t *testing.T, path string) {
			data := content(t, path)
			writeFile(t, path, data[:len(data)/2])
		}, ErrCorrupt},
		"a file whose pages were overwritten": {func(t *testing.T, path string) {
			data := content(t, path)
			for i := 4 * os.Getpagesize(); i < len(data); i++ {
				data[i] ^= 0xa5
			}
			writeFile(t, path, data)
		}, ErrCorrupt},
		"a value that is not what the table holds": {func(t *testing.T, path string) {
			disk, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(disk.Migrate(nil), disk.Commit(1, []Change{{"animals", "cat", []byte(`{"name":"dog"}`)}}), disk.Close())
			if err != nil {
				t.Fatal(err)
			}
		}, ErrCorrupt},
		"a table it does not know": {func(t *testing.T, path string) {
			disk, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err = errors.Join(disk.Migrate(nil), disk.Commit(1, []Change{{"plants", "oak", []byte(`{}`)}}), disk.Close()); err != nil {
				t.Fatal(err)
			}
		}, ErrCorrupt},
		"a file that is open already": {func(t *testing.T, path string) {
			s := open(t, newZoo(), path)
			t.Cleanup(func() { _ = s.Close() })
		}, ErrLocked},
		"a path that cannot be": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, os.ErrInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			test.damage(t, path)
			disk, err := OpenFile(path)
			if err == nil {
				_, err = Open(newZoo().schema, disk)
			}
			if err == nil || !errors.Is(test.want, os.ErrInvalid) && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%q does not name the file", err)
			}
		})
	}
}

func editMeta(t *testing.T, path, format string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		return b.Put(formatKey, []byte(format))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
