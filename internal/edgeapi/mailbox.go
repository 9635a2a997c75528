package edgeapi

// mailbox holds at most one value, the newest. One goroutine puts.
type mailbox[T any] chan T

func newMailbox[T any]() mailbox[T] { return make(mailbox[T], 1) }

// put replaces what has not been taken yet and never blocks.
func (m mailbox[T]) put(v T) {
	select {
	case <-m:
	default:
	}
	m <- v // room is certain: only this goroutine fills it
}
