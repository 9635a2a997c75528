package proxy

import (
	"sync"
	"sync/atomic"
)

// batch is room for much at a time: for what is read, and for the records that
// are made of it and leave together. The kernel then passes on whole segments of
// 64 KiB, and less often.
type batch struct {
	plain  [64 << 10]byte
	sealed [68 << 10]byte
}

// maxBatches is how many connections may have one at a time. Slow readers keep
// theirs, so that there has to be a bound; without one, bytes go record by record.
const maxBatches = 128

// batches lends batches to connections while bytes are on their way.
type batches struct {
	free sync.Pool
	lent atomic.Int64
}

// get returns nil when there is none.
func (b *batches) get() *batch {
	if b.lent.Add(1) > maxBatches {
		b.lent.Add(-1)
		return nil
	}
	if one, ok := b.free.Get().(*batch); ok {
		return one
	}
	return new(batch)
}

func (b *batches) put(one *batch) {
	b.free.Put(one)
	b.lent.Add(-1)
}
