// Package audit remembers who called what: every call of the API as a line of
// JSON in a file, and the newest ones in memory.
//
// Invariants: no secret is in a line, because wire.Record has none; the files
// are bounded by rotation, the memory by a ring; a disk that takes nothing stops
// no call, it is reported once until it takes lines again.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Entry is a call and how it ended.
type Entry struct {
	Time         time.Time `json:"time"`
	RequestID    string    `json:"requestId"`
	Caller       string    `json:"caller,omitempty"` // ARN; empty when nobody was proved
	AccessKeyID  string    `json:"accessKeyId,omitempty"`
	SourceIP     string    `json:"sourceIp,omitempty"`
	UserAgent    string    `json:"userAgent,omitempty"`
	Service      string    `json:"service,omitempty"`
	Action       string    `json:"action,omitempty"`
	Resources    []string  `json:"resources,omitempty"` // ARNs
	Status       int       `json:"status"`              // of HTTP; 0 when no answer was sent
	ErrorCode    string    `json:"errorCode,omitempty"` // empty on success
	Milliseconds float64   `json:"milliseconds"`
}

func entryOf(r wire.Record) Entry {
	e := Entry{
		Time: r.Start.UTC(), RequestID: r.RequestID, Caller: r.Caller.ARN, AccessKeyID: r.Caller.AccessKeyID, UserAgent: r.UserAgent,
		Service: r.Service, Action: r.Action, Resources: r.Resources, Status: r.Status, ErrorCode: r.ErrorCode,
		Milliseconds: float64(r.Duration.Microseconds()) / 1000,
	}
	if r.SourceIP.IsValid() {
		e.SourceIP = r.SourceIP.String()
	}
	return e
}

// Config is what a Log needs.
type Config struct {
	Path     string // of the newest file; older ones are Path.1, Path.2, …
	MaxBytes int64  // of a file
	Files    int    // how many there are at most
	Logger   *slog.Logger
}

// kept is how many entries are in memory.
const kept = 1000

// Log takes entries. It is safe for use from many goroutines.
type Log struct {
	Config
	mu      sync.Mutex
	file    *os.File
	size    int64
	failing bool
	ring    [kept]Entry
	count   int // entries ever taken; the next one's place is count modulo kept
}

// Open opens the newest file, or makes it, readable by its owner alone.
func Open(c Config) (*Log, error) {
	if c.MaxBytes < 1 || c.Files < 1 {
		return nil, fmt.Errorf("audit log of %d files of %d bytes: both must be at least 1", c.Files, c.MaxBytes)
	}
	l := &Log{Config: c}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return l, nil
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Record takes a call.
func (l *Log) Record(r wire.Record) {
	e := entryOf(r)
	line, err := json.Marshal(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.count%kept] = e
	l.count++
	if err == nil {
		err = l.write(append(line, '\n'))
	}
	if err != nil && !l.failing {
		l.Logger.Error("calls are missing in the audit log until it can be written again", "path", l.Path, "error", err)
	}
	l.failing = err != nil
}

func (l *Log) write(line []byte) error {
	if l.file == nil || l.size > 0 && l.size+int64(len(line)) > l.MaxBytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return err
}

// rotate makes the newest file the second newest, and so on; the oldest goes.
func (l *Log) rotate() error {
	if l.file != nil {
		err := l.file.Close()
		l.file = nil
		if err != nil {
			return err
		}
		if err := l.shift(); err != nil {
			return err
		}
	}
	return l.open()
}

func (l *Log) shift() error {
	if err := remove(l.name(l.Files - 1)); err != nil {
		return err
	}
	for i := l.Files - 2; i >= 0; i-- {
		if err := os.Rename(l.name(i), l.name(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// name is the path of a file: 0 is the newest.
func (l *Log) name(i int) string {
	if i == 0 {
		return l.Path
	}
	return l.Path + "." + strconv.Itoa(i)
}

// Recent returns the newest entries, at most n of them, newest first.
func (l *Log) Recent(n int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Entry{}
	for i := l.count - 1; i >= 0 && i >= l.count-kept && len(out) < n; i-- {
		out = append(out, l.ring[i%kept])
	}
	return out
}

// Close closes the file. Entries that come later are kept in memory alone.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
