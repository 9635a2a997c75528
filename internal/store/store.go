// Package store keeps typed tables in memory, as immutable revisions that
// anyone may read without a lock, and on disk, before a write is acknowledged.
//
// A transaction runs against the newest state, one at a time, in memory; what
// it changed joins a batch, and one disk commit makes the whole batch durable
// (group commit). Only then do its callers hear of success and readers see it.
//
// Tables are persistent trees: a write copies one path, every revision stays
// whole for as long as someone holds it, and the difference between any two
// revisions costs what differs (Table.Diff). A watcher therefore needs no log
// and cannot fall behind: it waits for Revision.Superseded and compares.
//
// Invariants: values are immutable once put; a revision that was published is
// durable; revision numbers rise by one per transaction that changed anything.
// After a failed commit the state on disk is unknown, so the store refuses all
// further writes until the process has read it anew.
package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrClosed is returned by Update after Close.
var ErrClosed = errors.New("the store is closed")

// Change is one durable write: a value, or nil when the key is deleted.
type Change struct {
	Table, Key string
	Value      []byte
}

// Disk is where revisions are kept. Commit is durable when it returns nil.
type Disk interface {
	// Migrate brings what is kept to a format, before anything else is done with
	// it. It fails with ErrNewer or ErrCorrupt when it cannot.
	Migrate(format Format) error
	// Load calls visit for every entry and returns the revision last committed. A
	// value is valid until visit returns.
	Load(visit func(table, key string, value []byte) error) (uint64, error)
	Commit(revision uint64, changes []Change) error
	Close() error
	// String names the disk in errors.
	String() string
}

// Reader is a Revision or a transaction: something tables can be read from.
type Reader interface {
	slot(i int) any
}

// Revision is the whole state at one point. It never changes.
type Revision struct {
	number     uint64
	slots      []any // tree.Map of each table and index
	superseded chan struct{}
}

func (r *Revision) slot(i int) any { return r.slots[i] }

// Number counts the transactions that led here.
func (r *Revision) Number() uint64 { return r.number }

// Superseded is closed when a later revision has been published.
func (r *Revision) Superseded() <-chan struct{} { return r.superseded }

// Store is the tables of one schema on one disk.
type Store struct {
	disk    Disk
	current atomic.Pointer[Revision]

	mu     sync.Mutex // guards all below; held while a transaction runs
	head   *Revision  // newest state, perhaps not durable yet
	batch  *batch     // collects transactions for the next commit; nil when none wait
	failed error      // why writes are refused after a failed commit
	closed bool

	wake    chan struct{}
	stopped chan struct{}
}

// batch is a group of transactions that one commit makes durable.
type batch struct {
	changes []Change
	head    *Revision
	done    chan struct{}
	err     error // read after done
}

// Open loads what disk holds. The store owns the disk from then on, also when
// loading fails.
func Open(schema *Schema, disk Disk) (*Store, error) {
	slots, number, err := schema.load(disk)
	if err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	s := &Store{disk: disk, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	s.head = &Revision{number: number, slots: slots, superseded: make(chan struct{})}
	s.current.Store(s.head)
	go s.commitLoop()
	return s, nil
}

// Current is the newest durable revision.
func (s *Store) Current() *Revision { return s.current.Load() }

// Update runs fn in a transaction and returns when its changes, and all that it
// may have read, are durable. When fn fails nothing is changed and its error is
// returned as it is. fn must not block: all writers wait for it.
func (s *Store) Update(fn func(*Tx) error) error {
	b, err := s.stage(fn)
	if err != nil || b == nil {
		return err
	}
	<-b.done
	return b.err
}

// stage runs fn and returns the batch to wait for: nil when fn changed nothing
// and all it read is durable already.
func (s *Store) stage(fn func(*Tx) error) (*batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refusal(); err != nil {
		return nil, err
	}
	tx := newTx(s.head)
	if err := fn(tx); err != nil {
		return nil, err
	}
	if tx.err != nil {
		return nil, tx.err
	}
	if len(tx.changes) == 0 && s.head == s.current.Load() {
		return nil, nil
	}
	if s.batch == nil {
		s.batch = &batch{done: make(chan struct{})}
		s.wake <- struct{}{} // has room: the last token was taken with the last batch
	}
	if len(tx.changes) > 0 {
		s.head = &Revision{number: s.head.number + 1, slots: tx.slots, superseded: make(chan struct{})}
		s.batch.changes = append(s.batch.changes, tx.changes...)
	}
	s.batch.head = s.head
	return s.batch, nil
}

func (s *Store) commitLoop() {
	defer close(s.stopped)
	for range s.wake {
		s.commit()
	}
}

func (s *Store) commit() {
	s.mu.Lock()
	b := s.batch
	s.batch = nil
	b.err = s.failed // what it is based on never became durable
	s.mu.Unlock()
	if b.err == nil {
		b.err = s.write(b)
	}
	close(b.done)
}

// write makes a batch durable and, when that worked, visible.
func (s *Store) write(b *batch) error {
	if len(b.changes) > 0 {
		if err := s.disk.Commit(b.head.number, b.changes); err != nil {
			err = fmt.Errorf("commit revision %d: %w; no more writes are taken until a restart has read the disk anew", b.head.number, err)
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
			return err
		}
	}
	if before := s.current.Swap(b.head); before != b.head {
		close(before.superseded)
	}
	return nil
}

// Err is the reason why writes are refused; nil while they are taken.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal()
}

func (s *Store) refusal() error {
	if s.failed == nil && s.closed {
		return ErrClosed
	}
	return s.failed
}

// Close waits for the transactions under way and closes the disk. Revisions
// stay readable.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	if !closed {
		close(s.wake)
	}
	s.mu.Unlock()
	<-s.stopped
	if closed {
		return nil
	}
	return s.disk.Close()
}
