package nodeagent

import (
	"bytes"
	"context"
	"io"
	"sync"
)

// fan passes a container's output on, as it comes, to everyone attached. It never
// blocks the container: who does not keep up is let go.
type fan struct {
	mu     sync.Mutex
	subs   map[chan []byte]bool
	closed bool
}

// maxBehind is how many pieces of output someone attached may be behind.
const maxBehind = 256

func (f *fan) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.subs) == 0 {
		return len(p), nil
	}
	piece := bytes.Clone(p)
	for sub := range f.subs {
		select {
		case sub <- piece:
		default:
			f.drop(sub)
		}
	}
	return len(p), nil
}

// drop ends a subscription, if it has not ended. mu is held.
func (f *fan) drop(sub chan []byte) {
	if f.subs[sub] {
		delete(f.subs, sub)
		close(sub)
	}
}

func (f *fan) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for sub := range f.subs {
		f.drop(sub)
	}
}

func (f *fan) join() chan []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub := make(chan []byte, maxBehind)
	if f.closed {
		close(sub)
		return sub
	}
	if f.subs == nil {
		f.subs = map[chan []byte]bool{}
	}
	f.subs[sub] = true
	return sub
}

// copyTo writes what comes until the container or ctx ends.
func (f *fan) copyTo(ctx context.Context, w io.Writer, sub chan []byte) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.drop(sub)
	}()
	for {
		select {
		case piece, ok := <-sub:
			if !ok {
				return
			}
			if _, err := w.Write(piece); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
