package mailbox

import (
	"sync"
	"testing"
)

func TestReaderGetsTheNewest(t *testing.T) {
	m := New[int]()
	for i := range 10 {
		m.Put(i)
	}
	if got := <-m.C; got != 9 {
		t.Errorf("got %d, want the newest, 9", got)
	}
	select {
	case got := <-m.C:
		t.Errorf("got %d of an empty mailbox", got)
	default:
	}
}

func TestWritersNeverWait(t *testing.T) {
	m := New[int]()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for range 10_000 {
				m.Put(w)
			}
		})
	}
	writers.Wait()
	if len(m.C) != 1 {
		t.Errorf("%d values, want 1", len(m.C))
	}
}
