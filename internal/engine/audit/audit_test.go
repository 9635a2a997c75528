package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

func record(action string) wire.Record {
	return wire.Record{
		Call:   wire.Call{RequestID: "r", Service: "ec2", Action: action, SourceIP: netip.MustParseAddr("198.18.0.9"), UserAgent: "aws"},
		Caller: wire.Caller{ARN: "arn:aws:iam::000000000000:user/ann", AccessKeyID: "AKIA"}, Resources: []string{"arn:x"},
		Status: 403, ErrorCode: "UnauthorizedOperation", Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Duration: 1500 * time.Microsecond,
	}
}

func open(t *testing.T, c Config) *Log {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestACallIsALineOfJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, Config{Path: path, MaxBytes: 1 << 20, Files: 2})
	l.Record(record("CreateVpc"))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"time": "2026-01-02T03:04:05Z", "requestId": "r", "caller": "arn:aws:iam::000000000000:user/ann", "accessKeyId": "AKIA", "sourceIp": "198.18.0.9",
		"userAgent": "aws", "service": "ec2", "action": "CreateVpc", "resources": []any{"arn:x"}, "status": 403.0, "errorCode": "UnauthorizedOperation", "milliseconds": 1.5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestFilesAreBoundedAndKeepTheNewestCallsAlsoOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const maxBytes, files = 1000, 3
	for i := range 40 {
		l := open(t, Config{Path: path, MaxBytes: maxBytes, Files: files}) // a restart for every call
		l.Record(record(fmt.Sprintf("Action%02d", i)))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	found, err := filepath.Glob(path + "*")
	if err != nil || len(found) != files {
		t.Errorf("files %q, %v; want %d", found, err, files)
	}
	var all strings.Builder
	for _, name := range []string{path + ".2", path + ".1", path} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > maxBytes {
			t.Errorf("%s has %d bytes", name, len(data))
		}
		all.Write(data)
	}
	lines := strings.Split(strings.TrimSpace(all.String()), "\n")
	for i, line := range lines {
		if want := fmt.Sprintf("Action%02d", 40-len(lines)+i); !strings.Contains(line, want) {
			t.Errorf("line %d is %s, want %s", i, line, want)
		}
	}
}

func TestTheNewestCallsAreInMemory(t *testing.T) {
	l := open(t, Config{Path: filepath.Join(t.TempDir(), "a"), MaxBytes: 1 << 30, Files: 1})
	for i := range kept + 10 {
		l.Record(record(fmt.Sprint(i)))
	}
	got := l.Recent(kept * 2)
	if len(got) != kept || got[0].Action != fmt.Sprint(kept+9) || got[kept-1].Action != "10" {
		t.Errorf("%d entries from %s to %s", len(got), got[0].Action, got[len(got)-1].Action)
	}
	if got := l.Recent(1); len(got) != 1 {
		t.Errorf("Recent(1) has %d entries", len(got))
	}
}

func TestADiskThatTakesNothingIsReportedOnceAndStopsNoCall(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, Config{Path: path, MaxBytes: 1, Files: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	l.Record(record("first"))
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	l.Record(record("second"))
	l.mu.Lock()
	failing := l.failing
	l.mu.Unlock()
	if !failing || strings.Count(log.String(), "audit log") != 1 || len(l.Recent(10)) != 2 {
		t.Errorf("failing %t, %d in memory, logged:\n%s", failing, len(l.Recent(10)), log.String())
	}
}
