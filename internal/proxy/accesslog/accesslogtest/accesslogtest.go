// Package accesslogtest keeps access logs where tests read them.
package accesslogtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
)

// Log is a spool that delivers nothing: what is written stays.
type Log struct {
	*accesslog.Spool
	dir string
}

// Open makes a log in a directory of the test's.
func Open(t *testing.T) *Log {
	t.Helper()
	dir := t.TempDir()
	spool, err := accesslog.Open(accesslog.Options{Dir: dir, Deliver: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	return &Log{spool, dir}
}

// Expect writes out what there is, which ends the log, and holds its lines
// against regular expressions, one each.
func (l *Log) Expect(t *testing.T, wants ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.Run(ctx)
	lines := strings.Split(strings.TrimSpace(l.text(t)), "\n")
	if len(lines) != len(wants) {
		t.Fatalf("got %d lines, want %d: %q", len(lines), len(wants), lines)
	}
	for i, want := range wants {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d:\n got %s\nwant %s", i, lines[i], want)
		}
	}
}

// text is the contents of all files.
func (l *Log) text(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(l.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

type nowhere struct{}

func (nowhere) Deliver(context.Context, string, string, *os.File) error {
	return errors.New("nothing is delivered here")
}
