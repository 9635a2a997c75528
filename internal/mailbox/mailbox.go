// Package mailbox hands values between goroutines when only the newest counts:
// the writer never waits and the reader is never more than one value behind.
package mailbox

// Newest holds at most one value, the newest that was put and not yet taken.
// Receive from C. It may be shared by any number of goroutines.
type Newest[T any] struct {
	C chan T
}

// New returns an empty mailbox.
func New[T any]() Newest[T] { return Newest[T]{make(chan T, 1)} }

// Put replaces what has not been taken yet. It never blocks.
func (m Newest[T]) Put(v T) {
	for {
		select {
		case m.C <- v:
			return
		default:
		}
		select {
		case <-m.C:
		default:
		}
	}
}
