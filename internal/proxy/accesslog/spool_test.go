package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bucket is a Deliverer that remembers what it got.
type bucket struct {
	mu    sync.Mutex
	files map[string]string
	fail  bool
	tries int
}

func (b *bucket) Deliver(_ context.Context, name, key string, content *os.File) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.fail {
		return errors.New("the bucket is not there")
	}
	data, err := io.ReadAll(content)
	b.files[name+"/"+key] = string(data)
	return err
}

func (b *bucket) all() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all strings.Builder
	for _, content := range b.files {
		all.WriteString(content)
	}
	return all.String()
}

func (b *bucket) set(fail bool) { b.mu.Lock(); defer b.mu.Unlock(); b.fail = fail }

func open(t *testing.T, o Options) *Spool {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a spool until the function that it returns is called.
func run(s *Spool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	return func() { cancel(); <-ended }
}

func entry(n int) *Entry {
	return &Entry{Time: time.Now(), Method: "GET", URL: fmt.Sprintf("http://h:80/%d", n), Version: "HTTP/1.1", Status: 200}
}

func TestFilesAreDeliveredWhenTheirIntervalIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bucket{files: map[string]string{}}
		s := open(t, Options{Dir: t.TempDir(), Deliver: b})
		stop := run(s)
		defer stop()
		s.Log(destination(), entry(1))
		time.Sleep(2 * time.Minute)
		s.Log(destination(), entry(2))
		synctest.Wait()
		if b.all() != "" {
			t.Errorf("delivered before the interval was over: %q", b.all())
		}
		time.Sleep(3*time.Minute + 2*time.Second)
		synctest.Wait()
		if got := b.all(); strings.Count(got, "\n") != 2 || len(b.files) != 1 {
			t.Errorf("got %d files with %q", len(b.files), got)
		}
		for name := range b.files {
			if want := "my-loadbalancer-logs/my-app/AWSLogs/123456789012/elasticloadbalancing/us-west-2/2000/01/01/123456789012_elasticloadbalancing_us-west-2_my-loadbalancer_20000101T0005Z_172.16.1.192_"; !strings.HasPrefix(name, want) {
				t.Errorf("got the name %s, want %s…", name, want)
			}
		}
		s.Log(destination(), entry(3))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if len(b.files) != 2 || len(s.all()) != 0 {
			t.Errorf("after the next interval: %d files, %d logs open", len(b.files), len(s.all()))
		}
	})
}

func TestDeliveriesAreTriedUntilTheySucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bucket{files: map[string]string{}, fail: true}
		dir := t.TempDir()
		s := open(t, Options{Dir: dir, Deliver: b})
		stop := run(s)
		defer stop()
		s.Log(destination(), entry(1))
		time.Sleep(time.Hour)
		synctest.Wait()
		if b.tries < 10 || b.tries > 40 {
			t.Errorf("%d tries in an hour", b.tries)
		}
		b.set(false)
		time.Sleep(maxRetry + time.Second)
		synctest.Wait()
		if strings.Count(b.all(), "\n") != 1 {
			t.Errorf("got %q", b.all())
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the spool: %v, %v", left, err)
		}
	})
}

func TestWhatARestartLeavesIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bucket{files: map[string]string{}}
		dir := t.TempDir()
		first := open(t, Options{Dir: dir, Deliver: b})
		stop := run(first)
		var want strings.Builder
		for n := range 100 {
			e := entry(n)
			first.Log(destination(), e)
			want.Write(e.Append(nil, "my-loadbalancer"))
		}
		stop()
		if b.all() != "" {
			t.Errorf("the end of the process delivered %q", b.all())
		}
		stop = run(open(t, Options{Dir: dir, Deliver: b}))
		defer stop()
		synctest.Wait()
		if diff := cmp.Diff(want.String(), b.all()); diff != "" {
			t.Errorf("delivered after the restart (-want +got):\n%s", diff)
		}
	})
}

// TestAFileThatAnotherProcessWritesIsLeftAlone as long as that lives.
func TestAFileThatAnotherProcessWritesIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bucket{files: map[string]string{}}
		dir := t.TempDir()
		old := open(t, Options{Dir: dir, Deliver: b})
		stopOld := run(old)
		old.Log(destination(), entry(1))
		time.Sleep(time.Second)
		stop := run(open(t, Options{Dir: dir, Deliver: b}))
		defer stop()
		time.Sleep(time.Second)
		old.Log(destination(), entry(2))
		synctest.Wait()
		if b.all() != "" {
			t.Errorf("delivered while it was written: %q", b.all())
		}
		stopOld()
		time.Sleep(rescan + time.Second)
		synctest.Wait()
		if strings.Count(b.all(), "\n") != 2 {
			t.Errorf("got %q", b.all())
		}
	})
}

func TestALineThatACrashBrokeOffIsCut(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"whole":         {"one\ntwo\n", "one\ntwo\n"},
		"broken":        {"one\ntw", "one\n"},
		"nothing else":  {"tw", ""},
		"empty":         {"", ""},
		"far back":      {"one\n" + strings.Repeat("x", 200_000), "one\n"},
		"just at a cut": {"one\n" + strings.Repeat("x", 64<<10), "one\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString(c.in); err != nil {
				t.Fatal(err)
			}
			if err := cutLine(f); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(f); err != nil || string(got) != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestTheOldestFilesMakeRoomForNewerOnes(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"b/old.log", "b/new.log"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", 99)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(i+1), 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	b := &bucket{files: map[string]string{}}
	s := open(t, Options{Dir: dir, Deliver: b, MaxBytes: 150})
	if err := s.deliverAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.files["b/new.log"]; !ok || len(b.files) != 1 {
		t.Errorf("delivered %v, want b/new.log only", b.files)
	}
}

func TestDirectoryGetsWholeFiles(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(t.TempDir(), "spooled")
	for _, content := range []string{"one\n", "one\ntwo\n"} { // the second time replaces the first
		if err := os.WriteFile(source, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(source)
		if err != nil {
			t.Fatal(err)
		}
		if err := Directory(root).Deliver(context.Background(), "bucket", "a/b.log", f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got, err := os.ReadFile(filepath.Join(root, "bucket", "a", "b.log")); err != nil || string(got) != content {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if all, _ := os.ReadDir(filepath.Join(root, "bucket", "a")); len(all) != 1 {
		t.Errorf("left beside it: %v", all)
	}
}

func TestS3GetsASignedObject(t *testing.T) {
	var path, body, signed string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		path, body, signed = r.Method+" "+r.URL.EscapedPath(), string(data), r.Header.Get("Authorization")
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, "<Code>NoSuchBucket</Code>")
	}))
	defer server.Close()
	s := &S3{Endpoint: server.URL, Region: "us-west-2", Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""), Client: server.Client()}
	source := filepath.Join(t.TempDir(), "spooled")
	if err := os.WriteFile(source, []byte("line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Deliver(context.Background(), "logs", "AWSLogs/a b.log", f); err != nil {
		t.Fatal(err)
	}
	if path != "PUT /logs/AWSLogs/a%20b.log" || body != "line\n" || !strings.Contains(signed, "AKID/") || !strings.Contains(signed, "/us-west-2/s3/aws4_request") {
		t.Errorf("got %s with %q signed %q", path, body, signed)
	}
	status = http.StatusNotFound
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(context.Background(), "logs", "x", f); err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("got %v, want the service's own words", err)
	}
}
