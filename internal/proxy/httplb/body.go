package httplb

import (
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy/http1"
)

// body is how much of a stream is a message's body, and how it is passed on.
type body struct {
	chunked bool
	dechunk bool  // pass on the data only
	toEnd   bool  // of the connection
	left    int64 // neither chunked nor toEnd
	chunks  http1.Chunked
	ended   bool
	last    *atomic.Bool // nil, or set when the last byte has come
	bytes   int64        // of body passed on
}

func requestBody(r *http1.Request) body {
	return body{chunked: r.Chunked, left: max(r.Length, 0), ended: !r.HasBody()}
}

func responseBody(res *http1.Response, req *http1.Request) body {
	b := body{chunked: res.Chunked, dechunk: res.Chunked && req.Minor == 0, left: max(res.Length, 0)}
	b.toEnd = !res.Chunked && res.Length < 0
	b.ended = res.Bodyless(req) || !res.Chunked && res.Length == 0
	return b
}

// take takes what belongs to the body from the beginning of p: n bytes, of which
// out is passed on. It moves data within p when it dechunks.
func (b *body) take(p []byte) (n int, out []byte, err error) {
	switch {
	case b.ended:
		return 0, nil, nil
	case b.toEnd:
		n, out = len(p), p
	case !b.chunked:
		n = int(min(b.left, int64(len(p))))
		b.left -= int64(n)
		b.ended, out = b.left == 0, p[:n]
	case b.dechunk:
		n, out, err = b.takeData(p)
		b.ended = b.chunks.Done()
	default:
		n, err = b.chunks.Scan(p)
		b.ended, out = b.chunks.Done(), p[:n]
	}
	b.bytes += int64(len(out))
	return n, out, err
}

func (b *body) takeData(p []byte) (n int, out []byte, err error) {
	out = p[:0]
	for n < len(p) && !b.chunks.Done() {
		took, data, err := b.chunks.Next(p[n:])
		if err != nil {
			return n, out, err
		}
		if data {
			out = append(out, p[n:n+took]...) // never ahead of what is read
		}
		n += took
	}
	return n, out, nil
}

// copyError says whose fault it is that a body did not get through.
type copyError struct {
	source, sink error // one of them
}

// pump copies the rest of a body. It sets b.last before it sends the last piece:
// whoever gets an answer to that finds it set.
func (x *exchange) pump(b *body, from, to *stream) copyError {
	for {
		n, out, err := b.take(from.data())
		if b.last != nil && b.ended {
			b.last.Store(true)
		}
		if len(out) > 0 {
			if err := to.write(out, x.view.IdleTimeout); err != nil {
				return copyError{sink: err}
			}
			x.busy.Store(time.Now().UnixNano())
		}
		from.discard(n)
		if err != nil || b.ended {
			return copyError{source: err}
		}
		if err := x.fillFrom(from); err != nil {
			return copyError{source: err}
		}
	}
}
