package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// upper and marked are migrations of the animals' values.
func upper(t Tables) error {
	return t.Rewrite("animals", func(_ string, v []byte) ([]byte, error) {
		return []byte(strings.Replace(string(v), `"legs"`, `"Legs"`, 1)), nil
	})
}

func marked(places string) Migration {
	return func(t Tables) error {
		return t.Rewrite("animals", func(_ string, v []byte) ([]byte, error) {
			return []byte(strings.TrimSuffix(string(v), "}") + `,"seen":["` + places + `"]}`), nil
		})
	}
}

// zooOf is a zoo whose schema has a history.
func zooOf(migrations ...Migration) zoo {
	z := zoo{schema: NewSchema(migrations...)}
	z.animals = NewTable(z.schema, "animals", func(a animal) string { return a.Name })
	z.byPlace = NewIndex(z.schema, z.animals, func(a animal) []string { return a.Seen })
	return z
}

func TestMigrationsRunOnceEachInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	first := zooOf()
	s := open(t, first, path)
	err := errors.Join(put(s, first, "ape"), put(s, first, "bee"), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	third := zooOf(upper, marked("den"))
	s = open(t, third, path)
	if err := errors.Join(put(s, third, "cat"), s.Close()); err != nil {
		t.Fatal(err)
	}
	fifth := zooOf(upper, marked("den"), nil, func(t Tables) error {
		return t.Rewrite("plants", func(string, []byte) ([]byte, error) { return nil, errors.New("there is no such table") })
	})
	s = open(t, fifth, path)
	defer s.Close()
	if got := strings.Join(fifth.at(s.Current(), "den"), " "); got != "ape bee" {
		t.Errorf("seen in the den: %q, want the animals of the first format, marked once", got)
	}
	if n := fifth.animals.Len(s.Current()); n != 3 || s.Current().Number() != 3 {
		t.Errorf("%d animals at revision %d, want 3 at 3", n, s.Current().Number())
	}
	for _, kept := range []string{".format-1", ".format-3"} {
		info, err := os.Stat(path + kept)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("copy of the older format: %v, %v; want mode 0600", info, err)
		}
	}
}

func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	first := zooOf()
	s := open(t, first, path)
	if err := errors.Join(put(s, first, "ape"), s.Close()); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("who is that")
	disk, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(zooOf(marked("den"), func(Tables) error { return cause }).schema, disk)
	if !errors.Is(err, cause) || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "from format 2") {
		t.Errorf("got %v, want the cause, the file and the step", err)
	}
	s = open(t, first, path) // the first format still reads it
	defer s.Close()
	if a, ok := first.animals.Get(s.Current(), "ape"); !ok || a.Seen != nil {
		t.Errorf("the animal is %+v (found %t), want it as it was", a, ok)
	}
}

func TestAFileOfTodayIsNotWrittenToWhenOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	z := newZoo()
	s := open(t, z, path)
	if err := errors.Join(put(s, z, "ape"), s.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, z, path).Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Errorf("opening changed the file (%v)", err)
	}
}
