package nginx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var facts = Facts{Pod: "web-1", Namespace: "default", Node: "node-1", Zone: "us-west-2a", PodIPs: []netip.Addr{netip.MustParseAddr("198.18.17.2")}}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// serve runs the server on loopback until the test ends or stop is called.
func serve(t *testing.T) (addr string, log *lines, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &lines{}
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, Handler(ctx, facts, log)) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("the server ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return l.Addr().String(), log, stop
}

func TestAnswersOnOneConnection(t *testing.T) {
	addr, log, stop := serve(t)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	me := conn.LocalAddr().String()
	r := bufio.NewReader(conn)
	ask := func(request string) (int, string) {
		t.Helper()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	want := fmt.Sprintf("pod:     default/web-1\nnode:    node-1\nzone:    us-west-2a\npod IPs: 198.18.17.2\npeer:    %s\nlocal:   %s\nhost:    lb.example\nrequest: GET /path?q=1 HTTP/1.1\n", me, addr)
	_, got := ask("GET /path?q=1 HTTP/1.1\r\nHost: lb.example\r\n\r\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	for _, request := range []string{"GET /?format=json HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n"} {
		var a Answer
		_, body := ask(request)
		if err := json.Unmarshal([]byte(body), &a); err != nil || a.Peer.String() != me || a.Pod != "web-1" || a.Host != "x" {
			t.Errorf("%q: got %s, error %v", request, body, err)
		}
	}
	if _, got := ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); got != "ok\n" {
		t.Errorf("healthz says %q", got)
	}
	if status, got := ask("GET /hold?interval=1 HTTP/1.1\r\nHost: x\r\n\r\n"); status != 400 || !strings.Contains(got, "500ms") {
		t.Errorf("a bad interval gives %d %q", status, got)
	}
	stop()
	if !strings.Contains(log.buf.String(), me+` "GET /path?q=1 HTTP/1.1" 200 `) {
		t.Errorf("access log is %q", log.buf.String())
	}
}

func TestHoldWritesUntilTheServerStops(t *testing.T) {
	addr, _, stop := serve(t)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/hold?interval=10ms")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for n := 1; n <= 3; n++ {
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, fmt.Sprintf("%d held ", n)) || !strings.Contains(line, "web-1 on node-1") {
			t.Fatalf("line %d is %q, error %v", n, line, err)
		}
	}
	go stop()
	rest, err := io.ReadAll(r)
	if err != nil || !strings.HasSuffix(string(rest), "pod web-1 stops\n") {
		t.Errorf("the stream ended with %q, error %v", rest, err)
	}
}

func TestFactsComeFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pod.json")
	if got, err := readFacts(path); err != nil || got.Pod != "" {
		t.Errorf("without a file: %+v, error %v", got, err)
	}
	b, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readFacts(path)
	if diff := cmp.Diff(facts, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFacts(path); err == nil {
		t.Error("a broken file is no error")
	}
}
