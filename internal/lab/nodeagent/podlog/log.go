// Package podlog keeps what a container writes: on disk, bounded, line by line
// with time and stream, readable while it grows.
//
// The format of a line is the one of the Kubernetes container runtime
// interface: "TIME STREAM P|F TEXT", where P marks a part of a line that goes
// on with the next one.
package podlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Bounds of what is kept of one run of a container: the segment being written
// and the one before it.
const (
	maxSegment = 4 << 20 // bytes
	maxLine    = 16 << 10
)

// Streams.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// Log is the output of one run of a container. It is safe for concurrent use.
type Log struct {
	path string // of the segment being written; the one before has .1 appended

	mu      sync.Mutex // guards what follows
	file    *os.File
	size    int64
	turn    int           // how many times segments were exchanged
	changed chan struct{} // closed and replaced on every write, and on Close
	closed  bool
}

// Create starts a log at a path and makes the directories above it.
func Create(path string) (*Log, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	return &Log{path: path, file: f, changed: make(chan struct{})}, nil
}

// Pump copies a stream of the container into the log until it ends. A stream
// that the log cannot take, such as on a full disk, is read all the same, so
// that the container does not block; the first such error is returned.
func (l *Log) Pump(stream string, from io.Reader) error {
	r := bufio.NewReaderSize(from, maxLine)
	var first error
	for {
		text, err := r.ReadSlice('\n')
		if len(text) > 0 {
			if werr := l.write(stream, text, time.Now()); first == nil {
				first = werr
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !ended(err) && first == nil {
				first = err
			}
			return first
		}
	}
}

// ended recognises the end of a stream; a terminal's is EIO, when the last
// process on it has gone.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.EIO)
}

// write appends one line, or a part of one if text does not end with a newline.
func (l *Log) write(stream string, text []byte, now time.Time) error {
	tag := "P"
	if text[len(text)-1] == '\n' {
		tag, text = "F", text[:len(text)-1]
	}
	line := fmt.Appendf(nil, "%s %s %s %s\n", now.UTC().Format(time.RFC3339Nano), stream, tag, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return os.ErrClosed
	}
	if l.size+int64(len(line)) > maxSegment {
		if err := l.rotate(); err != nil {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	l.wake()
	return err
}

// rotate makes the present segment the former one. mu is held.
func (l *Log) rotate() error {
	if err := os.Rename(l.path, former(l.path)); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	err = l.file.Close()
	l.file, l.size = f, 0
	l.turn++
	return err
}

func (l *Log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Close ends the log: readers that follow it come to an end.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.wake()
	return l.file.Close()
}

// Remove deletes a log's files.
func Remove(path string) error {
	return errors.Join(removeFile(path), removeFile(former(path)))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func former(path string) string { return path + ".1" }
