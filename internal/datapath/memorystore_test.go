package datapath

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// memoryStore is a store without a kernel. With faults it fails now and then,
// before, in the middle of or after a write.
type memoryStore struct {
	contents
	tables map[uint32][]uint32
	faults func() bool // decides the fate of the next entry; nil: nothing fails
	writes int
}

func newMemoryStore() *memoryStore {
	return &memoryStore{contents: newContents(), tables: map[uint32][]uint32{}}
}

var errFault = errors.New("injected fault")

func (s *memoryStore) load() (contents, error) {
	out := s.contents.clone()
	out.tables, out.counters = map[uint32][]uint32{}, map[uint32]struct{}{}
	return out, nil
}

func (s *memoryStore) put(c contents) error {
	if c.generation != 0 {
		s.generation = c.generation
	}
	s.writes += len(c.targets) + len(c.tables) + len(c.groups) + len(c.prefixes) + len(c.clients) + len(c.listeners) + len(c.keys) + len(c.vips)
	return errors.Join(
		insertAll(s, s.contents.targets, c.targets), insertAll(s, s.tables, c.tables), insertAll(s, s.contents.groups, c.groups),
		insertAll(s, s.contents.prefixes, c.prefixes), insertAll(s, s.contents.clients, c.clients), insertAll(s, s.contents.listeners, c.listeners),
		insertAll(s, s.contents.keys, c.keys), insertAll(s, s.contents.vips, c.vips),
	)
}

func (s *memoryStore) remove(c contents) error {
	s.writes += len(c.targets) + len(c.tables) + len(c.groups) + len(c.prefixes) + len(c.clients) + len(c.listeners) + len(c.keys) + len(c.vips)
	return errors.Join(
		removeAll(s, s.contents.targets, c.targets), removeAll(s, s.tables, c.tables), removeAll(s, s.contents.groups, c.groups),
		removeAll(s, s.contents.prefixes, c.prefixes), removeAll(s, s.contents.clients, c.clients), removeAll(s, s.contents.listeners, c.listeners),
		removeAll(s, s.contents.keys, c.keys), removeAll(s, s.contents.vips, c.vips),
	)
}

func insertAll[K comparable, V any](s *memoryStore, into, entries map[K]V) error {
	keys, err := upToFault(s, entries)
	for _, k := range keys {
		into[k] = entries[k]
	}
	return err
}

func removeAll[K comparable, V, W any](s *memoryStore, from map[K]V, entries map[K]W) error {
	keys, err := upToFault(s, entries)
	for _, k := range keys {
		delete(from, k)
	}
	return err
}

// upToFault are the keys before the one whose write fails, in one order, so that
// a fault strikes the same entry whenever it is repeated.
func upToFault[K comparable, V any](s *memoryStore, entries map[K]V) ([]K, error) {
	keys := slices.Collect(maps.Keys(entries))
	if s.faults == nil {
		return keys, nil
	}
	slices.SortFunc(keys, func(a, b K) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	for i := range keys {
		if s.faults() {
			return keys[:i], errFault
		}
	}
	return keys, nil
}

// check holds what no packet may ever find against the maps.
func (s *memoryStore) check(t fataler) {
	t.Helper()
	for key, id := range s.keys {
		l, ok := s.listeners[indexOf(id)]
		if !ok || l.Id != id || l.Vip != key.Vip {
			t.Fatalf("key %v leads to listener %#x, which is %+v", key, id, l)
		}
	}
	for _, l := range s.listeners {
		for _, c := range l.Choice[:l.Choices] {
			if _, ok := s.groups[c.Group]; !ok {
				t.Fatalf("listener %#x forwards to group %d, which is not there", l.Id, c.Group)
			}
		}
	}
	for index, slots := range s.tables {
		if _, ok := s.groups[index]; !ok {
			continue // left by a write that failed; no listener leads there
		}
		for _, id := range slots {
			target, ok := s.contents.targets[indexOf(id)]
			if !ok || target.Id != id || target.Mac == 0 || target.Group != index {
				t.Fatalf("table of group %d leads to target %#x, which is %+v", index, id, target)
			}
		}
	}
}

// checkClients holds that a set which something names is whole.
func (s *memoryStore) checkClients(t fataler) {
	t.Helper()
	sizes := map[uint64]int{clientsEveryone: 0, clientsNobody: 0, clientsNumber("10.0.0.0/8"): 1, clientsNumber("10.0.0.0/8 192.0.2.0/24"): 2}
	have := map[uint64]int{}
	for c := range s.clients {
		have[c.set]++
	}
	named := func(what string, set uint64) {
		if want, known := sizes[set]; !known || have[set] != want {
			t.Fatalf("%s names the clients %#x, of which %d of %d are there", what, set, have[set], want)
		}
	}
	for _, l := range s.listeners {
		named("a listener", l.Clients)
	}
	for _, target := range s.contents.targets {
		named("a target", target.ClientsTcp)
	}
}

// sameStore compares what packets can see; generations and places may differ.
func sameStore(a, b *memoryStore) string {
	return cmp.Diff(a.visible(), b.visible(), cmpopts.EquateEmpty())
}

// visible tells by name what each listener does.
func (s *memoryStore) visible() map[string]any {
	out := map[string]any{}
	for key, id := range s.keys {
		l := s.listeners[indexOf(id)]
		name := fmt.Sprintf("%s:%d", addrFromMap(key.Vip), portFromMap(key.Port))
		for i, c := range l.Choice[:l.Choices] {
			slots := make([]string, len(s.tables[c.Group]))
			for slot, target := range s.tables[c.Group] {
				slots[slot] = addrFromMap(s.contents.targets[indexOf(target)].Addr).String()
			}
			out[fmt.Sprintf("%s %d", name, i)] = []any{c.Bound, l.Clients, s.groups[c.Group].Flags, slots}
		}
	}
	for a := range s.vips {
		out[a.String()] = true
	}
	return out
}
