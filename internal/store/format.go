package store

import (
	"bytes"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/fairlead-lb/fairlead/internal/durable"
)

// Format is how to come to the format of today: the first migration leads from
// version 1 to version 2, and so on. A format has a new version whenever a table
// is added or the meaning of a value changes, so that a program that does not
// know of it says that the state is newer than itself.
type Format []Migration

// Version is that of the format, from 1.
func (f Format) Version() int { return len(f) + 1 }

// Migration changes what the tables hold from one version to the next. It is nil
// where only tables were added. It runs in the transaction that also writes the
// version, so it happens whole or not at all.
type Migration func(Tables) error

// Tables are encoded values by table and key, for a Migration to change.
type Tables struct{ root *bbolt.Bucket }

// Rewrite replaces every value of a table by what fn makes of it. A table that is
// not there has no values.
func (t Tables) Rewrite(table string, fn func(key string, value []byte) ([]byte, error)) error {
	b := t.root.Bucket([]byte(table))
	if b == nil {
		return nil
	}
	changes := []Change{} // a bucket must not change while it is walked
	err := b.ForEach(func(k, v []byte) error {
		value, err := fn(string(k), v)
		changes = append(changes, Change{Key: string(k), Value: value})
		return err
	})
	for _, c := range changes {
		if err != nil {
			break
		}
		err = b.Put([]byte(c.Key), c.Value)
	}
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", table, err)
	}
	return nil
}

// Migrate implements Disk. What an older version wrote is first copied to a file
// beside it, whose name ends in .format-N, for whoever has to go back.
func (f *File) Migrate(format Format) error {
	err := f.guard(func() error {
		found, err := f.version()
		switch {
		case err != nil:
			return err
		case found == format.Version():
			return nil
		case found > format.Version():
			return fmt.Errorf("%w: format %d, this one reads up to %d", ErrNewer, found, format.Version())
		case found > 0:
			if err := f.keepCopy(found); err != nil {
				return err
			}
		}
		return f.db.Update(func(tx *bbolt.Tx) error { return migrate(tx, format, found) })
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", f.path, err)
	}
	return nil
}

// version is that of the file's format; 0 of a file that is new.
func (f *File) version() (version int, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			if name, _ := tx.Cursor().First(); name != nil {
				return fmt.Errorf("%w: it holds %q of another program", ErrCorrupt, name)
			}
			return nil
		}
		found := meta.Get(formatKey)
		if version, err = strconv.Atoi(string(found)); err != nil || version < 1 {
			return fmt.Errorf("%w: format version %q", ErrCorrupt, found)
		}
		return nil
	})
	return version, err
}

func (f *File) keepCopy(version int) error {
	var b bytes.Buffer
	if err := f.Copy(&b, func(size int64) { b.Grow(int(size)) }); err != nil {
		return err
	}
	return durable.WriteFile(fmt.Sprintf("%s.format-%d", f.path, version), b.Bytes(), 0o600)
}

// migrate takes the file from a version, 0 if it is new, to the format's.
func migrate(tx *bbolt.Tx, format Format, from int) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	root, err := tx.CreateBucketIfNotExists(tablesBucket)
	if err != nil {
		return err
	}
	if from > 0 {
		for i, m := range format[from-1:] {
			if m == nil {
				continue
			}
			if err := m(Tables{root}); err != nil {
				return fmt.Errorf("%w: migrate it from format %d: %w", ErrCorrupt, from+i, err)
			}
		}
	}
	return meta.Put(formatKey, []byte(strconv.Itoa(format.Version())))
}
