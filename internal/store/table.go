package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead-lb/fairlead/internal/store/tree"
)

// Schema is the set of tables of a store. It is built once, before Open.
type Schema struct {
	format Format
	tables map[string]loader
	empty  []any // one empty tree per table and index
}

// loader makes the trees of a table of what was read from disk, by ascending keys.
type loader interface {
	load(slots []any, rows []Change) error
}

// NewSchema returns a schema without tables. The migrations lead to it from the
// formats that were before, the oldest first.
func NewSchema(migrations ...Migration) *Schema {
	return &Schema{format: migrations, tables: map[string]loader{}}
}

// Tables lists the names of the tables in order. Another list is another format.
func (s *Schema) Tables() []string { return slices.Sorted(maps.Keys(s.tables)) }

func (s *Schema) addSlot(empty any) int {
	s.empty = append(s.empty, empty)
	return len(s.empty) - 1
}

// load reads the whole disk, then makes every table on a goroutine of its own:
// they share nothing.
func (s *Schema) load(disk Disk) ([]any, uint64, error) {
	if err := disk.Migrate(s.format); err != nil {
		return nil, 0, err
	}
	entries := map[string][]Change{}
	number, err := disk.Load(func(table, key string, value []byte) error {
		if _, known := s.tables[table]; !known {
			return fmt.Errorf("table %q is not known", table)
		}
		entries[table] = append(entries[table], Change{Key: key, Value: bytes.Clone(value)})
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	slots := slices.Clone(s.empty)
	var decoding errgroup.Group
	for table, rows := range entries {
		decoding.Go(func() error {
			slices.SortFunc(rows, func(a, b Change) int { return strings.Compare(a.Key, b.Key) })
			return s.tables[table].load(slots, rows)
		})
	}
	if err := decoding.Wait(); err != nil {
		return nil, 0, fmt.Errorf("read %s: %w: %w", disk, ErrCorrupt, err)
	}
	return slots, number, nil
}

// Table is a typed table: values by key, in order of keys, kept as JSON.
type Table[V any] struct {
	name    string
	at      int
	key     func(V) string
	indexes []*Index[V]
}

// NewTable adds a table to a schema. key tells a value's key, which must never
// change for a value and must not contain a zero byte at its end.
func NewTable[V any](s *Schema, name string, key func(V) string) *Table[V] {
	t := &Table[V]{name: name, at: s.addSlot(tree.Map[V]{}), key: key}
	s.tables[name] = t
	return t
}

func (t *Table[V]) rows(r Reader) tree.Map[V] { return r.slot(t.at).(tree.Map[V]) }

// Get returns the value of a key.
func (t *Table[V]) Get(r Reader, key string) (V, bool) { return t.rows(r).Get(key) }

// Len is the number of values.
func (t *Table[V]) Len(r Reader) int { return t.rows(r).Len() }

// All yields every value in order of keys.
func (t *Table[V]) All(r Reader) iter.Seq[V] { return t.From(r, "") }

// From yields the values whose key is not below first, in order of keys.
func (t *Table[V]) From(r Reader, first string) iter.Seq[V] { return values(t.rows(r).From(first)) }

// Prefix yields the values whose key begins with prefix, in order of keys.
func (t *Table[V]) Prefix(r Reader, prefix string) iter.Seq[V] {
	return values(t.rows(r).Prefix(prefix))
}

func values[V any](entries iter.Seq2[string, V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range entries {
			if !yield(v) {
				return
			}
		}
	}
}

// Diff yields what changed between two revisions, in order of keys.
func (t *Table[V]) Diff(before, after Reader) iter.Seq[tree.Delta[V]] {
	return tree.Diff(t.rows(before), t.rows(after))
}

// Put writes a value under its key, replacing what was there.
func (t *Table[V]) Put(tx *Tx, value V) {
	key := t.key(value)
	encoded, err := json.Marshal(value)
	if err != nil {
		tx.fail(fmt.Errorf("encode %s %q: %w", t.name, key, err))
		return
	}
	t.place(tx.slots, key, value)
	tx.changes = append(tx.changes, Change{Table: t.name, Key: key, Value: encoded})
}

// Delete removes a key. To remove an absent key changes nothing.
func (t *Table[V]) Delete(tx *Tx, key string) {
	old, had := t.Get(tx, key)
	if !had {
		return
	}
	t.unindex(tx.slots, key, old)
	tx.slots[t.at] = t.rows(tx).Delete(key)
	tx.changes = append(tx.changes, Change{Table: t.name, Key: key})
}

// place puts a value into the table's tree and its indexes.
func (t *Table[V]) place(slots []any, key string, value V) {
	rows := slots[t.at].(tree.Map[V])
	if old, had := rows.Get(key); had {
		t.unindex(slots, key, old)
	}
	slots[t.at] = rows.Put(key, value)
	for _, x := range t.indexes {
		entries := slots[x.at].(tree.Map[struct{}])
		for _, k := range x.keys(value) {
			entries = entries.Put(k+separator+key, struct{}{})
		}
		slots[x.at] = entries
	}
}

func (t *Table[V]) unindex(slots []any, key string, old V) {
	for _, x := range t.indexes {
		entries := slots[x.at].(tree.Map[struct{}])
		for _, k := range x.keys(old) {
			entries = entries.Delete(k + separator + key)
		}
		slots[x.at] = entries
	}
}

// decodedAtOnce is how many rows of a table a goroutine decodes.
const decodedAtOnce = 1024

func (t *Table[V]) load(slots []any, rows []Change) error {
	keys, values := make([]string, len(rows)), make([]V, len(rows))
	var decoding errgroup.Group // that is most of the time that opening takes
	for first := 0; first < len(rows); first += decodedAtOnce {
		decoding.Go(func() error {
			for i := first; i < min(first+decodedAtOnce, len(rows)); i++ {
				var err error
				if keys[i], values[i], err = t.decode(rows[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := decoding.Wait(); err != nil {
		return err
	}
	slots[t.at] = tree.FromSorted(keys, values)
	for _, x := range t.indexes {
		slots[x.at] = x.of(keys, values)
	}
	return nil
}

func (t *Table[V]) decode(row Change) (key string, value V, err error) {
	if err := json.Unmarshal(row.Value, &value); err != nil {
		return "", value, fmt.Errorf("decode %s %q: %w", t.name, row.Key, err)
	}
	if own := t.key(value); own != row.Key {
		return "", value, fmt.Errorf("%s %q holds the value of %q", t.name, row.Key, own)
	}
	return row.Key, value, nil
}

// separator parts an index key from a table key; neither begins or ends with it.
const separator = "\x00"

// Index finds the values of a table by other keys than their own.
type Index[V any] struct {
	table *Table[V]
	at    int
	keys  func(V) []string
}

// NewIndex adds an index to a table. keys tells under which keys a value is found:
// none, one or several, none of them containing a zero byte at its end.
func NewIndex[V any](s *Schema, t *Table[V], keys func(V) []string) *Index[V] {
	x := &Index[V]{table: t, at: s.addSlot(tree.Map[struct{}]{}), keys: keys}
	t.indexes = append(t.indexes, x)
	return x
}

// of is the index of a whole table.
func (x *Index[V]) of(keys []string, values []V) tree.Map[struct{}] {
	var entries []string
	for i, value := range values {
		for _, k := range x.keys(value) {
			entries = append(entries, k+separator+keys[i])
		}
	}
	slices.Sort(entries)
	entries = slices.Compact(entries)
	return tree.FromSorted(entries, make([]struct{}, len(entries)))
}

// All yields the values found under key, in order of their own keys.
func (x *Index[V]) All(r Reader, key string) iter.Seq[V] {
	prefix := key + separator
	return func(yield func(V) bool) {
		for k := range r.slot(x.at).(tree.Map[struct{}]).Prefix(prefix) {
			v, ok := x.table.Get(r, strings.TrimPrefix(k, prefix))
			if ok && !yield(v) {
				return
			}
		}
	}
}

// Prefix yields the values found under keys that begin with prefix, in order of
// those keys; a value as often as it has such keys.
func (x *Index[V]) Prefix(r Reader, prefix string) iter.Seq[V] {
	return func(yield func(V) bool) {
		for k := range r.slot(x.at).(tree.Map[struct{}]).Prefix(prefix) {
			v, ok := x.table.Get(r, k[strings.LastIndex(k, separator)+len(separator):])
			if ok && !yield(v) {
				return
			}
		}
	}
}

// First returns the first value found under key.
func (x *Index[V]) First(r Reader, key string) (V, bool) {
	for v := range x.All(r, key) {
		return v, true
	}
	var none V
	return none, false
}

// Tx is a transaction: it reads its own writes.
type Tx struct {
	slots   []any
	changes []Change
	err     error
}

func newTx(base *Revision) *Tx { return &Tx{slots: slices.Clone(base.slots)} }

func (tx *Tx) slot(i int) any { return tx.slots[i] }

// fail makes the transaction end with err, whatever its function returns.
func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}
