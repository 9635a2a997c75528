package podlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options select what is read of a log, as PodLogOptions do.
type Options struct {
	Follow     bool
	Timestamps bool
	Since      time.Time // zero: from the beginning
	Tail       int64     // last lines only; negative: all
	Limit      int64     // bytes; 0 or less: none
	Stream     string    // Stdout or Stderr only; empty: both
}

// Read writes the log to w: what is there, and with Follow what comes, until
// the log is closed or ctx ends.
func (l *Log) Read(ctx context.Context, o Options, w io.Writer) error {
	p := newPrinter(o, w)
	segments, turn, err := l.open()
	defer func() { closeAll(segments) }()
	if err != nil {
		return err
	}
	for _, s := range segments {
		if err := p.read(s); err != nil {
			return p.ended(err)
		}
	}
	if err := p.flushTail(); err != nil || !o.Follow {
		return p.ended(err)
	}
	return p.ended(l.follow(ctx, p, &segments, turn))
}

// open opens the segments, the former first if there is one.
func (l *Log) open() ([]*segment, int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*segment
	if old, err := openSegment(former(l.path)); err == nil {
		out = append(out, old)
	}
	present, err := openSegment(l.path)
	if err != nil {
		return out, l.turn, err
	}
	return append(out, present), l.turn, nil
}

// follow prints what is written from now on. A segment that was exchanged is
// read to its end through the descriptor that is still open.
func (l *Log) follow(ctx context.Context, p *printer, segments *[]*segment, turn int) error {
	for {
		changed, now, closed := l.state()
		present := (*segments)[len(*segments)-1]
		if err := p.read(present); err != nil {
			return err
		}
		if now != turn {
			next, err := openSegment(l.path)
			if err != nil {
				return err
			}
			closeAll(*segments)
			*segments, turn = []*segment{next}, now
			continue
		}
		if closed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *Log) state() (changed <-chan struct{}, turn int, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed, l.turn, l.closed
}

// segment is an open file and the part of its last line that has no end yet.
type segment struct {
	file *os.File
	r    *bufio.Reader
	rest []byte
}

func openSegment(path string) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &segment{file: f, r: bufio.NewReaderSize(f, 64<<10)}, nil
}

func closeAll(list []*segment) {
	for _, s := range list {
		s.file.Close()
	}
}

// line returns the next whole line, or io.EOF when there is none yet.
func (s *segment) line() ([]byte, error) {
	part, err := s.r.ReadBytes('\n')
	s.rest = append(s.rest, part...)
	if err != nil {
		return nil, err
	}
	line := s.rest
	s.rest = nil
	return line, nil
}

// printer selects and prints lines.
type printer struct {
	o      Options
	w      io.Writer
	left   int64
	tail   [][]byte // ring of the last lines while they are collected
	next   int
	inLine map[string]bool // streams whose last entry was a part of a line
}

// maxTail bounds the ring; a log has no more lines than that in its two
// segments.
const maxTail = 1 << 18

func newPrinter(o Options, w io.Writer) *printer {
	p := &printer{o: o, w: w, left: -1, inLine: map[string]bool{}}
	if o.Limit > 0 {
		p.left = o.Limit
	}
	if o.Tail >= 0 {
		p.tail = make([][]byte, 0, min(o.Tail, maxTail))
	}
	return p
}

var errLimit = errors.New("limit reached")

// ended turns reaching the limit into a normal end.
func (p *printer) ended(err error) error {
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

// read takes in all whole lines that a segment has.
func (p *printer) read(s *segment) error {
	for {
		line, err := s.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.take(line); err != nil {
			return err
		}
	}
}

func (p *printer) take(line []byte) error {
	e, err := parse(line)
	if err != nil {
		return err
	}
	if e.at.Before(p.o.Since) || p.o.Stream != "" && p.o.Stream != e.stream {
		return nil
	}
	text := p.format(e)
	if p.tail == nil {
		return p.print(text)
	}
	p.keep(text)
	return nil
}

func (p *printer) format(e entry) []byte {
	var out []byte
	if p.o.Timestamps && !p.inLine[e.stream] {
		out = append(e.at.UTC().AppendFormat(nil, time.RFC3339Nano), ' ')
	}
	out = append(out, e.text...)
	if p.inLine[e.stream] = e.partial; !e.partial {
		out = append(out, '\n')
	}
	return out
}

// keep puts a line into the ring of the last ones.
func (p *printer) keep(text []byte) {
	switch {
	case cap(p.tail) == 0:
	case len(p.tail) < cap(p.tail):
		p.tail = append(p.tail, text)
	default:
		p.tail[p.next] = text
		p.next = (p.next + 1) % len(p.tail)
	}
}

// flushTail prints the ring and ends collecting.
func (p *printer) flushTail() error {
	ring, at := p.tail, p.next
	p.tail = nil
	for i := range ring {
		if err := p.print(ring[(at+i)%len(ring)]); err != nil {
			return err
		}
	}
	return nil
}

func (p *printer) print(text []byte) error {
	if p.left >= 0 && int64(len(text)) >= p.left {
		text = text[:p.left]
		if _, err := p.w.Write(text); err != nil {
			return err
		}
		return errLimit
	}
	if p.left > 0 {
		p.left -= int64(len(text))
	}
	_, err := p.w.Write(text)
	return err
}

// entry is one line of a log file.
type entry struct {
	at      time.Time
	stream  string
	partial bool
	text    []byte
}

func parse(line []byte) (entry, error) {
	parts := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte(" "), 4)
	if len(parts) != 4 {
		return entry{}, fmt.Errorf("log line %.80q has no time, stream and tag", line)
	}
	at, err := time.Parse(time.RFC3339Nano, string(parts[0]))
	if err != nil {
		return entry{}, fmt.Errorf("log line %.80q: %w", line, err)
	}
	return entry{at: at, stream: string(parts[1]), partial: string(parts[2]) == "P", text: parts[3]}, nil
}
