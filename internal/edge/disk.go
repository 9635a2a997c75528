package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/fairlead-lb/fairlead/internal/durable"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

const (
	snapshotFile = "snapshot.json"
	healthFile   = "health.json"
)

// disk is the state directory, held for this process alone.
type disk struct {
	dir  string
	lock *os.File
}

// savedState is what an earlier process left.
type savedState struct {
	snapshot lb.ZoneSnapshot
	known    bool
	health   map[lb.TargetKey]lb.TargetHealth
}

func openDisk(dir string) (disk, error) {
	lock, err := lockDir(dir)
	return disk{dir, lock}, err
}

func (d disk) close() error { return d.lock.Close() }

// load reads the state of the zone's edge. Files that cannot be read are as good
// as none: the engine will send the snapshot, and targets will be asked.
func (d disk) load(zone string, log *slog.Logger) (savedState, error) {
	s := savedState{health: map[lb.TargetKey]lb.TargetHealth{}}
	err := readJSON(filepath.Join(d.dir, snapshotFile), &s.snapshot)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		log.Error("the last snapshot cannot be read: waiting for the engine's", "error", err)
		return s, nil
	}
	if s.snapshot.Zone != zone {
		return s, fmt.Errorf("the state directory %s belongs to the edge of zone %s, not of zone %s", d.dir, s.snapshot.Zone, zone)
	}
	s.known = true
	var reports []lb.TargetHealthReport
	if err := readJSON(filepath.Join(d.dir, healthFile), &reports); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error("the targets' last health cannot be read: they start as initial", "error", err)
		return s, nil
	}
	for _, r := range reports {
		s.health[r.Target] = r.Health
	}
	return s, nil
}

func (d disk) saveSnapshot(snapshot lb.ZoneSnapshot) error {
	return writeJSON(filepath.Join(d.dir, snapshotFile), snapshot)
}

func (d disk) saveHealth(health map[lb.TargetKey]lb.TargetHealth) error {
	return writeJSON(filepath.Join(d.dir, healthFile), reports(health))
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, data, 0o600)
}
