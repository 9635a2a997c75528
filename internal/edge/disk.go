package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/durable"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

const (
	snapshotFile = "snapshot.json"
	healthFile   = "health.json"
)

// Sealer gives the box that private keys are sealed in on disk. It is asked for
// each snapshot, because what its key is made of may be renewed.
type Sealer func() (*sealed.Box, error)

// Disk is a state directory, held for one process alone.
type Disk struct {
	dir      string
	sealer   Sealer
	lock     *os.File
	restored savedState
}

// savedState is what an earlier process left.
type savedState struct {
	snapshot lb.ZoneSnapshot
	known    bool
	health   map[lb.TargetKey]lb.TargetHealth
}

// OpenDisk makes the directory, takes it for this process until Close, and reads
// what an earlier edge of the zone (any zone when empty) left. Files that cannot be read are as good
// as none: the engine will send the snapshot, and targets will be asked. The
// same holds for private keys that the sealer's box does not open.
func OpenDisk(dir, zone string, sealer Sealer, log *slog.Logger) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	d := &Disk{dir: dir, lock: lock, sealer: sealer}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("take the state directory %s, which another edge uses: %w", dir, err), d.Close())
	}
	if d.restored, err = d.load(zone, log); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ReadSnapshot returns the snapshot in a state directory, also while an edge uses
// it, without private keys.
func ReadSnapshot(dir string) (lb.ZoneSnapshot, error) {
	var s lb.ZoneSnapshot
	err := readJSON(filepath.Join(dir, snapshotFile), &s)
	return withoutKeys(s), err
}

// Close lets go of the directory.
func (d *Disk) Close() error { return d.lock.Close() }

func (d *Disk) load(zone string, log *slog.Logger) (savedState, error) {
	s := savedState{health: map[lb.TargetKey]lb.TargetHealth{}}
	err := readJSON(filepath.Join(d.dir, snapshotFile), &s.snapshot)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		log.Error("the last snapshot cannot be read: waiting for the engine's", "error", err)
		return s, nil
	}
	if zone != "" && s.snapshot.Zone != zone {
		return s, fmt.Errorf("the state directory %s belongs to the edge of zone %s, not of zone %s", d.dir, s.snapshot.Zone, zone)
	}
	s.known = true
	if err := d.unseal(&s.snapshot); err != nil {
		log.Error("private keys cannot be read: TLS listeners wait for the engine's", "error", err)
	}
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

// saveSnapshot writes a snapshot with its private keys sealed; without them when
// there is no sealing them.
func (d *Disk) saveSnapshot(snapshot lb.ZoneSnapshot) error {
	snapshot, err := d.seal(snapshot)
	return errors.Join(err, writeJSON(filepath.Join(d.dir, snapshotFile), snapshot))
}

func (d *Disk) seal(snapshot lb.ZoneSnapshot) (lb.ZoneSnapshot, error) {
	open := snapshot.Certificates
	snapshot = withoutKeys(snapshot)
	if len(open) == 0 {
		return snapshot, nil
	}
	box, err := d.sealer()
	if err != nil {
		return snapshot, fmt.Errorf("seal private keys: %w", err)
	}
	for i, c := range open {
		snapshot.Certificates[i].PrivateKey = box.Seal(c.PrivateKey, c.ARN)
	}
	return snapshot, nil
}

// unseal opens the keys of a snapshot; certificates whose key cannot be opened
// leave it.
func (d *Disk) unseal(snapshot *lb.ZoneSnapshot) error {
	if len(snapshot.Certificates) == 0 {
		return nil
	}
	sealed := snapshot.Certificates
	snapshot.Certificates = nil
	box, err := d.sealer()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range sealed {
		key, err := box.Open(c.PrivateKey, c.ARN)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.PrivateKey = key
		snapshot.Certificates = append(snapshot.Certificates, c)
	}
	return errors.Join(errs...)
}

func (d *Disk) saveHealth(health map[lb.TargetKey]lb.TargetHealth) error {
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
