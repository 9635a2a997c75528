// Package statetest opens the engine's state for tests.
package statetest

import (
	"path/filepath"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// New is a state without contents, closed after the test.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, filepath.Join(t.TempDir(), "db"))
}

// Open is the state in a file, which need not exist; it is closed after the
// test. A test may close it before.
func Open(t testing.TB, path string) *store.Store {
	t.Helper()
	disk, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
