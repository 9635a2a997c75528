package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// An upgrade may bring another layout of maps. A pinned map that does not fit is
// put aside under another name, and a new one made in its place. What it holds is
// copied, the program swapped, and what changed meanwhile copied again: until the
// swap, packets move on the old maps. Only then is the old map given up. A process
// that dies on the way leaves the map that was put aside, and the next one begins
// again: of two records of a flow the one seen later stays.

// asideSuffix is what the name of a map that was put aside ends in.
const asideSuffix = "_old"

// older are maps of another layout, by name.
type older map[string]*ebpf.Map

func (o older) close() {
	for _, m := range o {
		m.Close()
	}
}

// putAside opens a map that was put aside by this process or one before it.
func (o older) putAside(dir, name string, spec *ebpf.MapSpec) error {
	pin, aside := filepath.Join(dir, name), filepath.Join(dir, name+asideSuffix)
	pinned, err := ebpf.LoadPinnedMap(pin, nil)
	switch {
	case err == nil:
		misfit := spec.Compatible(pinned)
		pinned.Close()
		if misfit == nil {
			break
		}
		if err := carries(name, misfit); err != nil {
			return err
		}
		if err := os.Rename(pin, aside); err != nil {
			return fmt.Errorf("put aside the map %s of another layout: %w", name, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("adopt the map %s: %w", name, err)
	}
	old, err := ebpf.LoadPinnedMap(aside, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the map %s of another layout: %w", name, err)
	}
	o[name] = old
	return nil
}

// carries says whether what is in a map can be carried over.
func carries(name string, misfit error) error {
	if name == edgeMapTables {
		return fmt.Errorf("adopt the map %s: %w: stop forwarding with 'fairlead edge detach', then start anew", name, misfit)
	}
	return nil
}

// unpin gives the old maps up.
func (o older) unpin(dir string) error {
	var errs []error
	for name, m := range o {
		errs = append(errs, os.Remove(filepath.Join(dir, name+asideSuffix)), m.Close())
		delete(o, name)
	}
	return errors.Join(errs...)
}

// flows says whether there are flows in another layout.
func (o older) flows() bool { return o[edgeMapFlows] != nil || o[edgeMapHalfOpen] != nil }

// restoreConfiguration copies entries as they are: what is new in an entry comes
// last in it, and begins as zero. Counters of load balancers begin anew.
func (s *bpfStore) restoreConfiguration() error {
	present := s.configuration()
	for name, old := range s.older {
		if present[name] == nil {
			continue
		}
		restore := copyEntries
		if name == edgeMapReasons || name == edgeMapEvents {
			restore = copyCounts
		}
		if err := restore(present[name], old); err != nil {
			return fmt.Errorf("carry over the map %s: %w", name, err)
		}
	}
	return nil
}

// configuration are the maps whose entries are copied as they are.
func (s *bpfStore) configuration() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{
		edgeMapSettings: s.maps.Settings, edgeMapListenerIds: s.maps.ListenerIds, edgeMapListeners: s.maps.Listeners,
		edgeMapVips: s.maps.Vips, edgeMapGroups: s.maps.Groups, edgeMapTargets: s.maps.Targets,
		edgeMapPrefixes: s.maps.Prefixes, edgeMapClients: s.maps.Clients, edgeMapReasons: s.maps.Reasons, edgeMapEvents: s.maps.Events,
	}
}

func copyEntries(to, from *ebpf.Map) error {
	var key, value []byte
	it := from.Iterate()
	for it.Next(&key, &value) {
		if binary.Size(key) != int(to.KeySize()) {
			return fmt.Errorf("its keys have %d bytes, want %d", len(key), to.KeySize())
		}
		entry := make([]byte, to.ValueSize())
		copy(entry, value)
		if err := to.Put(key, entry); err != nil {
			return err
		}
	}
	return it.Err()
}

func copyCounts(to, from *ebpf.Map) error {
	for i := range min(to.MaxEntries(), from.MaxEntries()) {
		var perCPU []uint64
		if err := from.Lookup(i, &perCPU); err != nil {
			return err
		}
		if err := to.Put(i, perCPU); err != nil {
			return err
		}
	}
	return nil
}

// Sizes of a record and of what restore takes at once, as in bpf/restore.h.
const (
	recordBytes  = 64
	restoreBatch = 16
)

// present brings a record of a bucket of so many bytes into its present form. ok
// is false for one that is free or was being written.
//
//   - 512 bytes: eight records; version (32 bits), state, flags, protocol, layout.
//   - 1024 bytes: sixteen as they are now.
func present(bucketBytes int, record []byte) (out [recordBytes]byte, ok bool, err error) {
	copy(out[:], record)
	switch bucketBytes {
	case 512:
		copy(out[5:8], record[4:7])
		out[2], out[3], out[4] = 0, 0, 0
	case 1024:
	default:
		return out, false, fmt.Errorf("buckets of %d bytes are of no known layout", bucketBytes)
	}
	return out, out[0]&1 == 0 && out[5] != byte(edgeFlowStateFLOW_FREE), nil
}

// restoreFlows copies what is in tables of another layout into those of this one,
// in use or not, and returns how many records the tables took or had already.
func (s *bpfStore) restoreFlows(restore *ebpf.Program) (n int, err error) {
	for _, name := range []string{edgeMapHalfOpen, edgeMapFlows} { // as a flow moves
		old := s.older[name]
		if old == nil {
			continue
		}
		b := batch{prog: restore}
		if name == edgeMapHalfOpen {
			b.packet[0] = 1
		}
		if err := eachRecord(old, b.add); err != nil {
			return n, fmt.Errorf("carry over the table %s: %w", name, err)
		}
		if err := b.flush(); err != nil {
			return n, fmt.Errorf("carry over the table %s: %w", name, err)
		}
		n += b.restored
	}
	return n, nil
}

func eachRecord(m *ebpf.Map, f func([recordBytes]byte) error) error {
	memory, err := m.Memory()
	if err != nil {
		return err
	}
	size := int(m.ValueSize())
	bucket := make([]byte, size)
	for at := int64(0); at < int64(m.MaxEntries())*int64(size); at += int64(size) {
		if _, err := memory.ReadAt(bucket, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := 0; i+recordBytes <= size; i += recordBytes {
			record, ok, err := present(size, bucket[i:i+recordBytes])
			if err != nil {
				return err
			}
			if ok {
				if err := f(record); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// batch is a packet for the program restore.
type batch struct {
	prog     *ebpf.Program
	packet   [8 + restoreBatch*recordBytes]byte
	held     int
	restored int
}

func (b *batch) add(record [recordBytes]byte) error {
	copy(b.packet[8+b.held*recordBytes:], record[:])
	if b.held++; b.held < restoreBatch {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	clear(b.packet[8+b.held*recordBytes:])
	n, err := b.prog.Run(&ebpf.RunOptions{Data: b.packet[:]})
	b.restored, b.held = b.restored+int(n), 0
	return err
}

// swapped copies what changed until the program was swapped, and lets go of the
// old maps. Until then packets of no flow were dropped, not answered by a reset.
func (d *Datapath) swapped() error {
	older := d.bpf.older
	if len(older) == 0 {
		return nil
	}
	n, err := d.bpf.restoreFlows(d.objs.Restore)
	if err != nil {
		return err
	}
	settings, err := d.bpf.settings()
	if err != nil {
		return err
	}
	settings.Flags &^= settingRestoring
	if err := d.bpf.putSettings(settings); err != nil {
		return err
	}
	d.log.Info("carried over maps of another layout", "maps", len(older), "flows", n)
	return older.unpin(d.cfg.PinDir)
}
