package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Errors of OpenFile and Open that a caller may want to tell apart.
var (
	ErrNewer   = errors.New("the file was written by a newer version")
	ErrCorrupt = errors.New("the file is damaged")
	ErrLocked  = errors.New("the file is in use by another process")
)

const lockTimeout = time.Second

var (
	metaBucket   = []byte("meta")
	tablesBucket = []byte("tables")
	formatKey    = []byte("format")
	revisionKey  = []byte("revision")
)

// File is a Disk in one bbolt file: a bucket per table, values as JSON.
type File struct {
	db   *bbolt.DB
	path string
}

// OpenFile opens or creates a file, readable by its owner alone. It locks the
// file, and fails with ErrLocked or ErrCorrupt when it cannot serve.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	err := f.guard(func() error {
		// The free list stays on disk: to rebuild it, bbolt walks all pages in a
		// goroutine of its own, where a damaged page would end the process.
		options := &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType}
		db, err := bbolt.Open(path, 0o600, options)
		if err != nil {
			return openError(err)
		}
		f.db = db
		return nil
	})
	if err != nil {
		if f.db != nil {
			err = errors.Join(err, f.db.Close())
		}
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return f, nil
}

// openError names the errors of bbolt.Open after their cause.
func openError(err error) error {
	var pathError *os.PathError
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return ErrLocked
	case errors.As(err, &pathError):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
}

// guard turns what bbolt does on a damaged file, a panic or a fault on a page
// that is not there, into ErrCorrupt.
func (f *File) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("%w: its pages do not hold together: %w", ErrCorrupt, p)
		default:
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return fn()
}

// Load reads every table.
func (f *File) Load(visit func(table, key string, value []byte) error) (revision uint64, err error) {
	err = f.guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			revision = decodeRevision(tx.Bucket(metaBucket).Get(revisionKey))
			return tx.Bucket(tablesBucket).ForEachBucket(func(table []byte) error {
				return tx.Bucket(tablesBucket).Bucket(table).ForEach(func(k, v []byte) error {
					if err := visit(string(table), string(k), v); err != nil {
						return fmt.Errorf("%w: %w", ErrCorrupt, err)
					}
					return nil
				})
			})
		})
	})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.path, err)
	}
	return revision, nil
}

// Commit writes a batch in one transaction of the file, with fdatasync.
func (f *File) Commit(revision uint64, changes []Change) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			if err := apply(tx, c); err != nil {
				return fmt.Errorf("write %s %q: %w", c.Table, c.Key, err)
			}
		}
		return tx.Bucket(metaBucket).Put(revisionKey, binary.BigEndian.AppendUint64(nil, revision))
	})
}

func apply(tx *bbolt.Tx, c Change) error {
	b, err := tx.Bucket(tablesBucket).CreateBucketIfNotExists([]byte(c.Table))
	if err != nil {
		return err
	}
	if c.Value == nil {
		return b.Delete([]byte(c.Key))
	}
	return b.Put([]byte(c.Key), c.Value)
}

// decodeRevision reads what Commit wrote; a new file is at revision 0.
func decodeRevision(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Copy writes a consistent copy of the file, as of the last commit, while the
// store goes on. Size is called first. Until it returns, space that commits free
// is not used again.
func (f *File) Copy(w io.Writer, size func(bytes int64)) error {
	err := f.guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			size(tx.Size())
			_, err := tx.WriteTo(w)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", f.path, err)
	}
	return nil
}

// String is the file's path.
func (f *File) String() string { return f.path }

// Close releases the file.
func (f *File) Close() error { return f.db.Close() }
