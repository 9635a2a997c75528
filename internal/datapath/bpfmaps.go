package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// store is where the configuration lives: the BPF maps, or memory in tests.
// Each call may fail halfway; load then tells how far it came.
type store interface {
	load() (contents, error)
	put(contents) error    // entries are added or replaced
	remove(contents) error // entries are removed by key
}

// bpfStore keeps the configuration in the maps of a loaded program.
type bpfStore struct {
	maps  edgeMaps
	inner *ebpf.MapSpec // of a group's hash table
	older older         // maps of another layout whose content is still to be carried over
}

// prefixKey is struct prefix_key, which is packed.
type prefixKey [20]byte

func prefixToMap(p netip.Prefix) (k prefixKey) {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	binary.NativeEndian.PutUint32(k[:4], uint32(bits))
	b := p.Addr().As16()
	copy(k[4:], b[:])
	return k
}

func prefixFromMap(k prefixKey) netip.Prefix {
	bits := int(binary.NativeEndian.Uint32(k[:4]))
	addr := netip.AddrFrom16([16]byte(k[4:])).Unmap()
	if addr.Is4() {
		bits -= 96
	}
	return netip.PrefixFrom(addr, bits)
}

func (s *bpfStore) settings() (edgeSetting, error) {
	var out edgeSetting
	if err := s.maps.Settings.Lookup(uint32(0), &out); err != nil {
		return out, fmt.Errorf("read settings: %w", err)
	}
	return out, nil
}

func (s *bpfStore) load() (contents, error) {
	out := newContents()
	settings, err := s.settings()
	out.generation = settings.Generation
	out.targets = map[uint32]edgeTarget{}
	errs := []error{
		err,
		readArray(s.maps.Targets, out.targets, func(t edgeTarget) bool { return t.Id != 0 }),
		readArray(s.maps.Listeners, out.listeners, func(l edgeListener) bool { return l.Id != 0 }),
		readArray(s.maps.Groups, out.groups, func(g edgeGroup) bool { return g.Digest != [16]byte{} }),
		readHash(s.maps.ListenerIds, func(k edgeListenerKey, id uint32) { out.keys[k] = id }),
		readHash(s.maps.Vips, func(k edgeAddr, v edgeVip) { out.vips[addrFromMap(k)] = v }),
		readHash(s.maps.Clients, func(k clientKey, _ uint32) { out.clients[clientFromMap(k)] = struct{}{} }),
		readHash(s.maps.Prefixes, func(k prefixKey, id uint32) { out.prefixes[prefixFromMap(k)] = id }),
	}
	return out, errors.Join(errs...)
}

func readArray[V any](m *ebpf.Map, into map[uint32]V, used func(V) bool) error {
	const batch = 4096
	keys, values := make([]uint32, batch), make([]V, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			if used(values[i]) {
				into[keys[i]] = values[i]
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read map %s: %w", m, err)
		}
	}
}

func readHash[K, V any](m *ebpf.Map, each func(K, V)) error {
	var k K
	var v V
	it := m.Iterate()
	for it.Next(&k, &v) {
		each(k, v)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map %s: %w", m, err)
	}
	return nil
}

func (s *bpfStore) put(c contents) error {
	if c.generation != 0 {
		if err := s.putGeneration(c.generation); err != nil {
			return err
		}
	}
	vips, prefixes := map[edgeAddr]edgeVip{}, map[prefixKey]uint32{}
	for a, v := range c.vips {
		vips[addrToMap(a)] = v
	}
	for p, id := range c.prefixes {
		prefixes[prefixToMap(p)] = id
	}
	return errors.Join(
		putAll(s.maps.Clients, clientKeys(c.clients)),
		putAll(s.maps.Targets, c.targets),
		s.putTables(c.tables),
		putAll(s.maps.Groups, c.groups),
		putAll(s.maps.Prefixes, prefixes),
		s.zeroCounters(c.counters),
		putAll(s.maps.Listeners, c.listeners),
		putAll(s.maps.ListenerIds, c.keys),
		putAll(s.maps.Vips, vips),
	)
}

func (s *bpfStore) putGeneration(g uint32) error {
	settings, err := s.settings()
	if err != nil {
		return err
	}
	settings.Generation = g
	return s.putSettings(settings)
}

func (s *bpfStore) putSettings(settings edgeSetting) error {
	if err := s.maps.Settings.Put(uint32(0), settings); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// putAll writes in one call: one at a time, maps in maps cost a grace period each.
func putAll[K comparable, V any](m *ebpf.Map, entries map[K]V) error {
	if len(entries) == 0 {
		return nil
	}
	keys, values := make([]K, 0, len(entries)), make([]V, 0, len(entries))
	for k, v := range entries {
		keys, values = append(keys, k), append(values, v)
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		return fmt.Errorf("write %d entries of map %s: %w", len(keys), m, err)
	}
	return nil
}

// putTables makes a new map for each table and swaps them in together.
func (s *bpfStore) putTables(tables map[uint32][]uint32) error {
	fds := map[uint32]uint32{}
	for index, slots := range tables {
		m, err := s.newTable(slots)
		if err != nil {
			return err
		}
		defer m.Close() // the outer map keeps it
		fds[index] = uint32(m.FD())
	}
	return putAll(s.maps.Tables, fds)
}

// emptyTables leaves tables without slots. Deleting them would cost a grace period
// for each.
func (s *bpfStore) emptyTables(tables map[uint32][]uint32) error {
	if len(tables) == 0 {
		return nil
	}
	empty, err := s.newTable(nil)
	if err != nil {
		return err
	}
	defer empty.Close()
	fds := map[uint32]uint32{}
	for index := range tables {
		fds[index] = uint32(empty.FD())
	}
	return putAll(s.maps.Tables, fds)
}

func (s *bpfStore) newTable(slots []uint32) (*ebpf.Map, error) {
	spec := s.inner.Copy()
	spec.MaxEntries = uint32(len(slots) + 1)
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("create hash table: %w", err)
	}
	if err := fillTable(m, slots); err != nil {
		m.Close()
		return nil, fmt.Errorf("fill hash table: %w", err)
	}
	return m, nil
}

// fillTable writes through a mapping: the kernel gives each value eight bytes.
func fillTable(m *ebpf.Map, slots []uint32) error {
	const stride = 8
	size := stride * (len(slots) + 1)
	memory, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	binary.NativeEndian.PutUint32(memory, uint32(len(slots)))
	for i, id := range slots {
		binary.NativeEndian.PutUint32(memory[stride*(i+1):], id)
	}
	return unix.Munmap(memory)
}

func (s *bpfStore) zeroCounters(balancers map[uint32]struct{}) error {
	for index := range balancers {
		zero := make([]edgeBalancerCounts, ebpf.MustPossibleCPU())
		if err := s.maps.BalancerCounters.Put(index, zero); err != nil {
			return fmt.Errorf("zero counters: %w", err)
		}
	}
	return nil
}

func (s *bpfStore) remove(c contents) error {
	vips, prefixes := map[edgeAddr]edgeVip{}, map[prefixKey]uint32{}
	for a, v := range c.vips {
		vips[addrToMap(a)] = v
	}
	for p, id := range c.prefixes {
		prefixes[prefixToMap(p)] = id
	}
	return errors.Join(
		deleteAll(s.maps.ListenerIds, c.keys),
		deleteAll(s.maps.Vips, vips),
		deleteAll(s.maps.Prefixes, prefixes),
		putAll(s.maps.Listeners, zeroed(c.listeners)),
		s.emptyTables(c.tables),
		putAll(s.maps.Groups, zeroed(c.groups)),
		putAll(s.maps.Targets, zeroed(c.targets)),
		deleteAll(s.maps.Clients, clientKeys(c.clients)),
	)
}

func zeroed[K comparable, V any](entries map[K]V) map[K]V {
	out := make(map[K]V, len(entries))
	for k := range entries {
		var zero V
		out[k] = zero
	}
	return out
}

func deleteAll[K comparable, V any](m *ebpf.Map, entries map[K]V) error {
	for k := range entries {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("delete from map %s: %w", m, err)
		}
	}
	return nil
}

// masks derives the program's masks from the sizes that the maps really have.
func (s *bpfStore) masks(settings *edgeSetting) {
	settings.FlowMask = s.maps.Flows.MaxEntries() - 1
	settings.HalfMask = s.maps.HalfOpen.MaxEntries() - 1
	settings.LockMask = min(settings.FlowMask, settings.HalfMask, s.maps.Locks.MaxEntries()-1, math.MaxUint16)
}
