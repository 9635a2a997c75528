package podlog

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(seconds int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, seconds, 0, time.UTC)
}

func newLog(t *testing.T) *Log {
	t.Helper()
	l, err := Create(filepath.Join(t.TempDir(), "c", "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func put(t *testing.T, l *Log, stream, text string, now time.Time) {
	t.Helper()
	if err := l.write(stream, []byte(text), now); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, l *Log, o Options) string {
	t.Helper()
	var b strings.Builder
	if err := l.Read(t.Context(), o, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadSelects(t *testing.T) {
	l := newLog(t)
	put(t, l, Stdout, "one\n", at(1))
	put(t, l, Stderr, "two\n", at(2))
	put(t, l, Stdout, "thr", at(3))
	put(t, l, Stdout, "ee\n", at(3))
	put(t, l, Stdout, "\n", at(4))
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"everything":              {Options{Tail: -1}, "one\ntwo\nthree\n\n"},
		"one stream":              {Options{Tail: -1, Stream: Stderr}, "two\n"},
		"since a time":            {Options{Tail: -1, Since: at(3)}, "three\n\n"},
		"the last lines":          {Options{Tail: 1}, "\n"},
		"more lines than are":     {Options{Tail: 100}, "one\ntwo\nthree\n\n"},
		"no lines":                {Options{Tail: 0}, ""},
		"so many bytes":           {Options{Tail: -1, Limit: 6}, "one\ntw"},
		"times, once a line":      {Options{Tail: -1, Timestamps: true, Since: at(3)}, "2026-01-02T03:04:03Z three\n2026-01-02T03:04:04Z \n"},
		"a limit beyond the end":  {Options{Tail: -1, Limit: 1000}, "one\ntwo\nthree\n\n"},
		"since after the end":     {Options{Tail: -1, Since: at(50)}, ""},
		"the last of one stream":  {Options{Tail: 1, Stream: Stderr}, "two\n"},
		"the limit of last lines": {Options{Tail: 100, Limit: 4}, "one\n"},
	} {
		if diff := cmp.Diff(test.want, read(t, l, test.o)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPumpKeepsLinesWhole(t *testing.T) {
	l := newLog(t)
	long := strings.Repeat("x", 3*maxLine+5)
	in := "short\n" + long + "\nno newline at the end"
	if err := l.Pump(Stdout, strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, l, Options{Tail: -1}); got != in {
		t.Errorf("got %d bytes, want the %d that were written", len(got), len(in))
	}
}

func TestFollowShowsWhatComesAndEndsWithTheLog(t *testing.T) {
	l := newLog(t)
	put(t, l, Stdout, "before\n", at(1))
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- l.Read(context.Background(), Options{Follow: true, Tail: 1}, w)
		w.Close()
	}()
	buf := make([]byte, 100)
	for i := range 3 {
		n, err := r.Read(buf)
		want := []string{"before\n", "line 1\n", "line 2\n"}[i]
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("read %q, error %v; want %q", buf[:n], err, want)
		}
		put(t, l, Stdout, fmt.Sprintf("line %d\n", i+1), at(2))
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("following ended with %v", err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	l := newLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Read(ctx, Options{Follow: true, Tail: -1}, io.Discard); err != nil {
		t.Error(err)
	}
}

// TestLogIsBoundedAndFollowersMissNothing writes several times what is kept
// while a follower reads along.
func TestLogIsBoundedAndFollowersMissNothing(t *testing.T) {
	l := newLog(t)
	const lines = 1200
	text := strings.Repeat("y", 10<<10) + "\n"
	var got int
	var follower sync.WaitGroup
	read := make(chan struct{}, lines)
	follower.Go(func() {
		if err := l.Read(context.Background(), Options{Follow: true, Tail: -1}, counter{&got, read}); err != nil {
			t.Error(err)
		}
	})
	for range lines {
		put(t, l, Stdout, text, at(1))
		<-read
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	follower.Wait()
	if got != lines {
		t.Errorf("the follower read %d lines, want %d", got, lines)
	}
	entries, err := os.ReadDir(filepath.Dir(l.path))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if len(entries) != 2 || size > 2*maxSegment {
		t.Errorf("%d files with %d bytes are kept, want two of at most %d each", len(entries), size, maxSegment)
	}
	if err := Remove(l.path); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(l.path)); len(entries) > 0 {
		t.Errorf("%d files are left after removal", len(entries))
	}
}

type counter struct {
	n    *int
	read chan<- struct{}
}

func (c counter) Write(p []byte) (int, error) {
	*c.n++
	c.read <- struct{}{}
	return len(p), nil
}

func TestClosedLogTakesNoMore(t *testing.T) {
	l := newLog(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Pump(Stdout, strings.NewReader("late\n")); err == nil {
		t.Error("a closed log took a line")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("2026-01-02T03:04:05Z stdout F text\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parse(line)
		if err == nil && e.stream == "" && len(line) == 0 {
			t.Error("an empty line is an entry")
		}
	})
}
