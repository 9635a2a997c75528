package supervisor

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxLogSize is the size at which a log becomes the older half and a new one
// begins; a component's logs take twice as much at most.
const maxLogSize = 4 << 20

// rotatingLog is a log file of bounded size. It may hold secrets: the engine
// prints the key that it makes at its first start.
type rotatingLog struct {
	path string
	max  int64

	mu   sync.Mutex
	f    *os.File
	size int64
}

// OpenLog opens a log as components have one, to be appended to.
func OpenLog(path string) (io.WriteCloser, error) { return openLog(path, maxLogSize) }

func openLog(path string, limit int64) (*rotatingLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &rotatingLog{path: path, max: limit}
	return l, l.open()
}

func (l *rotatingLog) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	l.f, l.size = f, info.Size()
	return nil
}

func (l *rotatingLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(p)) > l.max {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *rotatingLog) rotate() error {
	l.f.Close()
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return l.open()
}

func (l *rotatingLog) Close() error { return l.f.Close() }

// tailBytes is more than enough for the lines that anyone wants to see.
const tailBytes = 64 << 10

// Tail returns the last lines of a log.
func Tail(path string, lines int) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
		if _, err := f.Seek(0, io.SeekStart); err != nil { // shorter than that
			return nil, fmt.Errorf("read log: %w", err)
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, 2*tailBytes))
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	all := strings.Split(string(bytes.TrimRight(data, "\n")), "\n")
	return all[max(0, len(all)-lines):], nil
}
