package engine

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

func TestAnInventoryThatDoesNotFitIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inventory.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(testInventory)
	file, err := openInventory(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("something stands on it")
	if err := file.fit(func(*inventory.Index) error { return refusal }); !errors.Is(err, refusal) || !strings.Contains(err.Error(), path) {
		t.Errorf("fit() = %v, want the reason and the file", err)
	}
	before := file.current()
	changed := strings.ReplaceAll(testInventory, "198.18.16.16", "198.18.16.20")
	write(changed)
	file.reload()
	if file.current() != before {
		t.Error("the inventory was taken although it does not fit")
	}
	if err := file.fit(func(*inventory.Index) error { return nil }); err != nil {
		t.Fatal(err)
	}
	file.reload()
	if file.current() == before {
		t.Error("the inventory was not taken although it fits")
	}
}

func TestAnEngineDoesNotStartOnAnInventoryThatTakesItsAddresses(t *testing.T) {
	r := newRig(t)
	r.fixture("0")
	var held string
	for a := range state.ZonalAddresses.All(r.engine.db.Current()) {
		if a.SubnetID == "subnet-a" {
			held = a.Address.String()
		}
	}
	r.stop()
	r.writeInventory(strings.ReplaceAll(testInventory, "198.18.16.16", held))
	config := r.engine.Config
	e, err := Open(config)
	if err == nil {
		err = e.Close()
		t.Fatalf("the engine started (%v)", err)
	}
	if !strings.Contains(err.Error(), held) || !strings.Contains(err.Error(), "inventory.yaml") {
		t.Errorf("error = %v, want the address and the file", err)
	}
	disk, err := store.OpenFile(filepath.Join(config.StateDir, stateFile))
	if err == nil {
		err = disk.Close()
	}
	if err != nil {
		t.Errorf("the state is still held: %v", err)
	}
}
