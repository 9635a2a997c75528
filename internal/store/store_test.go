package store

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type animal struct {
	Name string   `json:"name"`
	Legs int      `json:"legs"`
	Seen []string `json:"seen,omitempty"` // places
}

type zoo struct {
	schema  *Schema
	animals *Table[animal]
	byPlace *Index[animal]
}

func newZoo() zoo {
	z := zoo{schema: NewSchema()}
	z.animals = NewTable(z.schema, "animals", func(a animal) string { return a.Name })
	z.byPlace = NewIndex(z.schema, z.animals, func(a animal) []string { return a.Seen })
	return z
}

func (z zoo) contents(r Reader) map[string]animal {
	all := map[string]animal{}
	for a := range z.animals.All(r) {
		all[a.Name] = a
	}
	return all
}

func (z zoo) at(r Reader, place string) []string {
	var names []string
	for a := range z.byPlace.All(r, place) {
		names = append(names, a.Name)
	}
	return names
}

func open(t testing.TB, z zoo, path string) *Store {
	t.Helper()
	disk, err := OpenFile(path)
	if err != nil {
		t.Fatalf("OpenFile(%s): %v", path, err)
	}
	s, err := Open(z.schema, disk)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func TestStoreEqualsAMapThroughWritesFailuresAndRestarts(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		z, path := newZoo(), filepath.Join(dir, strconv.Itoa(runs)) // a file of its own, also when a case is repeated
		s, model := open(t, z, path), map[string]animal{}
		defer func() { _ = s.Close() }()
		for range rapid.IntRange(1, 8).Draw(rt, "transactions") {
			next, abort := maps.Clone(model), errors.New("changed my mind")
			wantErr := error(nil)
			if rapid.IntRange(0, 3).Draw(rt, "fate") == 0 {
				wantErr = abort
			}
			err := s.Update(func(tx *Tx) error {
				for range rapid.IntRange(0, 4).Draw(rt, "writes") {
					write(rt, z, tx, next)
				}
				if diff := cmp.Diff(next, z.contents(tx)); diff != "" {
					rt.Fatalf("transaction does not read its writes (-want +got):\n%s", diff)
				}
				return wantErr
			})
			if !errors.Is(err, wantErr) {
				rt.Fatalf("Update: %v, want %v", err, wantErr)
			}
			if wantErr == nil {
				model = next
			}
			if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				number := s.Current().Number()
				if err := s.Close(); err != nil {
					rt.Fatalf("Close: %v", err)
				}
				z = newZoo()
				if s = open(t, z, path); s.Current().Number() != number {
					rt.Fatalf("revision %d after a restart, want %d", s.Current().Number(), number)
				}
			}
			check(rt, z, s.Current(), model)
		}
	})
}

func write(t *rapid.T, z zoo, tx *Tx, model map[string]animal) {
	name := rapid.SampledFrom([]string{"ant", "ape", "bee", "cat"}).Draw(t, "name")
	if rapid.Bool().Draw(t, "delete") {
		z.animals.Delete(tx, name)
		delete(model, name)
		return
	}
	places := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"den", "dens", "sea"}), 0, 3, rapid.ID).Draw(t, "seen")
	a := animal{Name: name, Legs: rapid.IntRange(0, 8).Draw(t, "legs"), Seen: places}
	if len(places) == 0 {
		a.Seen = nil
	}
	z.animals.Put(tx, a)
	model[name] = a
}

func check(t *rapid.T, z zoo, r *Revision, model map[string]animal) {
	if diff := cmp.Diff(model, z.contents(r)); diff != "" {
		t.Fatalf("contents (-want +got):\n%s", diff)
	}
	for _, place := range []string{"den", "dens", "sea", "d"} {
		var want []string
		for _, name := range slices.Sorted(maps.Keys(model)) {
			if slices.Contains(model[name].Seen, place) {
				want = append(want, name)
			}
		}
		if got := z.at(r, place); !slices.Equal(got, want) {
			t.Fatalf("seen at %q: %q, want %q", place, got, want)
		}
	}
}

// gate is a Disk that commits when told to, with the result it is told.
type gate struct {
	entered chan int // number of changes of the commit under way
	release chan error
}

func (g gate) Load(func(string, string, []byte) error) (uint64, error) { return 0, nil }
func (g gate) Close() error                                            { return nil }
func (g gate) Migrate(Format) error                                    { return nil }
func (g gate) String() string                                          { return "gate" }
func (g gate) Commit(_ uint64, changes []Change) error {
	g.entered <- len(changes)
	return <-g.release
}

func put(s *Store, z zoo, name string) error {
	return s.Update(func(tx *Tx) error {
		z.animals.Put(tx, animal{Name: name})
		return nil
	})
}

func TestTransactionsThatWaitShareOneCommit(t *testing.T) {
	z, g := newZoo(), gate{make(chan int), make(chan error)}
	s, err := Open(z.schema, g)
	if err != nil {
		t.Fatal(err)
	}
	before := s.Current()
	var writers sync.WaitGroup
	writers.Go(func() {
		if err := put(s, z, "first"); err != nil {
			t.Errorf("put: %v", err)
		}
	})
	if n := <-g.entered; n != 1 {
		t.Errorf("first commit has %d changes, want 1", n)
	}
	staged := make(chan struct{})
	for i := range 10 {
		writers.Go(func() {
			err := s.Update(func(tx *Tx) error {
				z.animals.Put(tx, animal{Name: "later", Legs: i})
				staged <- struct{}{}
				return nil
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		})
	}
	for range 10 {
		<-staged
	}
	if s.Current() != before {
		t.Error("a revision is visible before it is durable")
	}
	select {
	case <-before.Superseded():
		t.Error("watchers were told of a revision that is not durable")
	default:
	}
	// Every writer has staged or is about to leave the lock; take it once to be sure.
	if err := s.Err(); err != nil {
		t.Errorf("Err() = %v", err)
	}
	g.release <- nil
	<-before.Superseded()
	if n := <-g.entered; n != 10 {
		t.Errorf("second commit has %d changes, want the 10 that waited", n)
	}
	g.release <- nil
	writers.Wait()
	if got := s.Current().Number(); got != 11 {
		t.Errorf("revision %d after 11 transactions", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAReadThatSawWhatIsNotDurableWaitsForIt(t *testing.T) {
	z, g := newZoo(), gate{make(chan int), make(chan error)}
	s, err := Open(z.schema, g)
	if err != nil {
		t.Fatal(err)
	}
	torn := errors.New("torn write")
	results, saw := make(chan error, 2), make(chan bool)
	go func() { results <- put(s, z, "cat") }()
	<-g.entered
	go func() {
		results <- s.Update(func(tx *Tx) error {
			_, ok := z.animals.Get(tx, "cat")
			saw <- ok
			return nil
		})
	}()
	if !<-saw {
		t.Error("a transaction does not see the one before it")
	}
	g.release <- torn
	for range 2 {
		if err := <-results; !errors.Is(err, torn) {
			t.Errorf("Update: %v, want the commit's failure", err)
		}
	}
	if _, ok := z.animals.Get(s.Current(), "cat"); ok {
		t.Error("a revision whose commit failed is visible")
	}
	if err := put(s, z, "dog"); !errors.Is(err, torn) {
		t.Errorf("put after a failed commit: %v, want it to be refused with the cause", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosedStoreRefusesWritesAndStaysReadable(t *testing.T) {
	z := newZoo()
	s := open(t, z, filepath.Join(t.TempDir(), "db"))
	if err := put(s, z, "cat"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := put(s, z, "dog"); !errors.Is(err, ErrClosed) {
		t.Errorf("put after Close: %v, want ErrClosed", err)
	}
	if _, ok := z.animals.Get(s.Current(), "cat"); !ok {
		t.Error("a revision cannot be read after Close")
	}
}
