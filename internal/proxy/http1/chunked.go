package http1

// Chunked follows a chunked body (RFC 9112 section 7.1) from piece to piece. It
// takes no liberties: CRLF only, hexadecimal sizes of up to 15 digits, trailers
// that are fields. What it let pass may be sent on byte for byte.
type Chunked struct {
	state  chunkState
	left   int64 // bytes of data left in the chunk
	digits int
	line   int // bytes of framing since the last data
	name   int // bytes of a trailer's name
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkPadding
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	chunkEndLF
	chunkDone
)

const (
	maxChunkDigits = 15
	maxChunkLine   = 4 << 10 // bytes of a size with its extensions
	maxTrailers    = 16 << 10
)

// Done says that the body has ended.
func (c *Chunked) Done() bool { return c.state == chunkDone }

// Next takes a run of framing or of data from the beginning of b: n bytes, all
// of one sort. It returns a *Refusal for what is no chunked body.
func (c *Chunked) Next(b []byte) (n int, data bool, err error) {
	if c.state == chunkData && len(b) > 0 {
		n = int(min(c.left, int64(len(b))))
		if c.left -= int64(n); c.left == 0 {
			c.state, c.line = chunkDataCR, 0
		}
		return n, true, nil
	}
	for n < len(b) && c.state != chunkData && c.state != chunkDone {
		if err := c.framing(b[n]); err != nil {
			return n, false, err
		}
		n++
	}
	return n, false, nil
}

// Scan takes as much of b as belongs to the body.
func (c *Chunked) Scan(b []byte) (n int, err error) {
	for n < len(b) && !c.Done() {
		took, _, err := c.Next(b[n:])
		n += took
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (c *Chunked) framing(b byte) error {
	c.line++
	limit := maxChunkLine
	if c.state >= trailerStart {
		limit = maxTrailers
	}
	if c.line > limit {
		return malformed("chunk framing is too long")
	}
	if c.state >= trailerStart {
		return c.trailer(b)
	}
	switch c.state {
	case chunkSize:
		return c.size(b)
	case chunkPadding:
		return c.padding(b)
	case chunkExtension:
		if b == '\r' {
			c.state = chunkSizeLF
		} else if b < ' ' && b != '\t' || b == 0x7f {
			return malformed("a control character in a chunk extension")
		}
	case chunkSizeLF:
		return c.sizeEnd(b)
	case chunkDataCR:
		return c.expect(b, '\r', chunkDataLF)
	case chunkDataLF:
		c.digits = 0
		return c.expect(b, '\n', chunkSize)
	}
	return nil
}

func (c *Chunked) size(b byte) error {
	digit := hexValue(b)
	switch {
	case digit >= 0:
		if c.digits++; c.digits > maxChunkDigits {
			return malformed("a chunk size out of range")
		}
		c.left = c.left<<4 | int64(digit)
	case c.digits == 0:
		return malformed("a chunk without size")
	default:
		return c.padding(b)
	}
	return nil
}

// padding is what may follow a size: white space, which old servers fill sizes
// up with, and extensions.
func (c *Chunked) padding(b byte) error {
	switch {
	case isSpace(b):
		c.state = chunkPadding
	case b == '\r':
		c.state = chunkSizeLF
	case b == ';':
		c.state = chunkExtension
	default:
		return malformed("a chunk size that is none")
	}
	return nil
}

func (c *Chunked) sizeEnd(b byte) error {
	if c.left == 0 {
		c.line = 0
		return c.expect(b, '\n', trailerStart)
	}
	return c.expect(b, '\n', chunkData)
}

// trailer takes the fields after the last chunk. They are passed on, so they
// must be fields.
func (c *Chunked) trailer(b byte) error {
	switch c.state {
	case trailerStart:
		if b == '\r' {
			c.state = chunkEndLF
			return nil
		}
		c.name = 0
		c.state = trailerName
		return c.trailerName(b)
	case trailerName:
		return c.trailerName(b)
	case trailerValue:
		if b == '\r' {
			c.state = trailerLF
		} else if b < ' ' && b != '\t' || b == 0x7f {
			return malformed("a control character in a trailer")
		}
		return nil
	case trailerLF:
		return c.expect(b, '\n', trailerStart)
	default:
		return c.expect(b, '\n', chunkDone)
	}
}

func (c *Chunked) trailerName(b byte) error {
	switch {
	case tchar[b]:
		c.name++
		return nil
	case b == ':' && c.name > 0:
		c.state = trailerValue
		return nil
	}
	return malformed("a trailer that is no field")
}

func (c *Chunked) expect(b, want byte, next chunkState) error {
	if b != want {
		return malformed("chunk framing without CRLF")
	}
	c.state = next
	return nil
}

func hexValue(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
