package httplb

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func hello(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") }

const get = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
const getLast = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"

// answer reads one answer of the load balancer.
func answer(t *testing.T, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("the answer broke off after %q: %v", body, err)
	}
	return res, string(body)
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func TestRequestReachesTheTargetWithForwardedHeaders(t *testing.T) {
	var got http.Header
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		got = r.Header
		hello(rw, r)
	}))
	all := w.send("GET / HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\r\n")
	if !strings.HasPrefix(all, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(all, "\r\n\r\nhello") {
		t.Errorf("got %q", all)
	}
	want := http.Header{"X-Forwarded-For": {"1.2.3.4, 127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {w.addr[strings.LastIndexByte(w.addr, ':')+1:]}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers at the target (-want +got):\n%s", diff)
	}
}

func TestConnectionsAreKeptOnBothSides(t *testing.T) {
	peers := map[string]bool{}
	var mu sync.Mutex
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		peers[r.RemoteAddr] = true
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(rw, "%s %s", r.Method, body)
	}))
	c, r := w.dial()
	for i := range 5 {
		body := strings.Repeat("x", i*10_000)
		write(t, c, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if _, got := answer(t, r); got != "POST "+body {
			t.Fatalf("got %d bytes, want %d", len(got), len("POST "+body))
		}
	}
	write(t, c, get+get) // pipelined
	for range 2 {
		if _, got := answer(t, r); got != "GET " {
			t.Errorf("got %q", got)
		}
	}
	if len(peers) != 1 {
		t.Errorf("the target saw %d connections, want 1", len(peers))
	}
	if got := w.metric("fairlead_proxy_request_count_total"); got != 7 {
		t.Errorf("RequestCount is %v, want 7", got)
	}
	if got := w.metric("fairlead_proxy_httpcode_backend_total", "class=2XX"); got != 7 {
		t.Errorf("HTTPCode_Backend_2XX is %v, want 7", got)
	}
	if got := w.metric("fairlead_proxy_latency_seconds"); got != 7 {
		t.Errorf("Latency has %v samples, want 7", got)
	}
}

func TestChunkedBodiesPassInBothDirections(t *testing.T) {
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(rw).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		for {
			piece := make([]byte, 1000)
			n, err := r.Body.Read(piece)
			_, _ = rw.Write(piece[:n])
			rw.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	}))
	want := strings.Repeat("0123456789abcdef", 4096)
	c, r := w.dial()
	write(t, c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	go func() {
		for range 4 {
			_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", len(want), want)
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	}()
	if _, got := answer(t, r); got != strings.Repeat(want, 4) {
		t.Fatalf("got %d bytes, want %d", len(got), 4*len(want))
	}
}

func TestHTTP10ClientsGetNoChunks(t *testing.T) {
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(rw, strings.Repeat("x", 3000))
			rw.(http.Flusher).Flush()
		}
	}))
	all := w.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	head, body, _ := strings.Cut(all, "\r\n\r\n")
	if strings.Contains(head, "chunked") || !strings.Contains(head, "Connection: close") || body != strings.Repeat("x", 9000) {
		t.Errorf("got %q and %d bytes", head, len(body))
	}
}

func TestHTTP10KeepAlive(t *testing.T) {
	w := newWorld(t, nil, httpTarget(t, hello))
	c, r := w.dial()
	for range 2 {
		write(t, c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if res, got := answer(t, r); got != "hello" || res.Header.Get("Connection") != "keep-alive" {
			t.Errorf("got %q with %v", got, res.Header)
		}
	}
}

func TestContinueComesFromTheTarget(t *testing.T) {
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			rw.WriteHeader(http.StatusExpectationFailed)
			return
		}
		_, _ = io.Copy(rw, r.Body)
	}))
	c, r := w.dial()
	write(t, c, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if got, err := readHead(r); err != nil || got != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	write(t, c, "body")
	if _, got := answer(t, r); got != "body" {
		t.Errorf("got %q", got)
	}
	write(t, c, "PUT /refused HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if res, _ := answer(t, r); res.StatusCode != http.StatusExpectationFailed || !res.Close {
		t.Errorf("got %v, close %v", res.Status, res.Close)
	}
}

func TestUpgradesAreNotPassedOn(t *testing.T) {
	var upgrade string
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		upgrade = r.Header.Get("Upgrade") + r.Header.Get("Connection")
		hello(rw, r)
	}))
	c, r := w.dial()
	write(t, c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	if res, _ := answer(t, r); res.StatusCode != 200 || upgrade != "" {
		t.Errorf("got %v, the target got %q", res.Status, upgrade)
	}
}

func TestHeadAnswersHaveNoBody(t *testing.T) {
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Length", "1000") }))
	c, r := w.dial()
	for range 2 {
		write(t, c, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
		head, err := readHead(r)
		if err != nil || !strings.Contains(head, "Content-Length: 1000\r\n") {
			t.Fatalf("got %q, %v", head, err)
		}
	}
}

func TestRequestsGoToTheTargetWithTheFewestOutstanding(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	served := map[string]int{}
	serve := func(name string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			served[name]++
			mu.Unlock()
			if r.URL.Path == "/slow" {
				<-release
			}
			_, _ = io.WriteString(rw, name)
		}
	}
	w := newWorld(t, nil, httpTarget(t, serve("a")), httpTarget(t, serve("b")))
	slow, slowAnswer := w.dial()
	write(t, slow, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	busy := ""
	waitFor(t, "the slow request to arrive", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for name := range served {
			busy = name
		}
		return busy != ""
	})
	c, r := w.dial()
	for range 10 {
		write(t, c, get)
		if _, got := answer(t, r); got == busy {
			t.Errorf("a request went to %s, which has one outstanding", got)
		}
	}
	close(release)
	answer(t, slowAnswer)
}

// waitFor waits for something that another goroutine does.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestTargetsThatCannotBeConnectedToArePassedOver(t *testing.T) {
	w := newWorld(t, nil, refusing(t), httpTarget(t, hello))
	c, r := w.dial()
	for range 4 {
		write(t, c, get)
		if res, _ := answer(t, r); res.StatusCode != 200 {
			t.Errorf("got %v", res.Status)
		}
	}
	if got := w.metric("fairlead_proxy_backend_connection_errors_total"); got == 0 {
		t.Error("BackendConnectionErrors is 0")
	}
}

func TestNobodyToServeIs503(t *testing.T) {
	for name, targets := range map[string][]string{"no targets": nil, "a target that refuses connections": {refusing(t)}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, targets...)
			c, r := w.dial()
			for range 2 { // the connection is kept
				write(t, c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
				if res, _ := answer(t, r); res.StatusCode != 503 {
					t.Errorf("got %v", res.Status)
				}
			}
			if got := w.metric("fairlead_proxy_httpcode_elb_total", "class=5XX"); got != 2 {
				t.Errorf("HTTPCode_ELB_5XX is %v, want 2", got)
			}
		})
	}
}

func TestMoreThanTargetsTakeWaitInTheSurgeQueueAndSpillOver(t *testing.T) {
	release := make(chan struct{})
	var arrived atomic.Int32
	w := newWorld(t, func(_ *proxy.Listener, o *Options) { o.TargetConnections, o.SurgeQueue = 1, 2 },
		httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
			arrived.Add(1)
			<-release
			hello(rw, r)
		}))
	var readers []*bufio.Reader
	for i := range 3 { // one is served, two wait
		c, r := w.dial()
		write(t, c, get)
		readers = append(readers, r)
		waitFor(t, "the queue to grow", func() bool {
			return arrived.Load() == 1 && w.metric("fairlead_proxy_surge_queue_length") == float64(i)
		})
	}
	c, r := w.dial()
	write(t, c, get)
	if res, _ := answer(t, r); res.StatusCode != 503 {
		t.Errorf("the fourth got %v, want 503", res.Status)
	}
	if got := w.metric("fairlead_proxy_spillover_count_total"); got != 1 {
		t.Errorf("SpilloverCount is %v, want 1", got)
	}
	close(release)
	for i, r := range readers {
		if res, _ := answer(t, r); res.StatusCode != 200 {
			t.Errorf("request %d got %v", i, res.Status)
		}
	}
	if got := w.metric("fairlead_proxy_surge_queue_length"); got != 0 {
		t.Errorf("SurgeQueueLength is %v at the end", got)
	}
}

func TestRetiredListenersFinishRequestsAndCloseTheRest(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{})
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-release
		}
		hello(rw, r)
	}))
	idle, idleAnswer := w.dial()
	write(t, idle, get)
	answer(t, idleAnswer)
	busy, busyAnswer := w.dial()
	write(t, busy, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-arrived
	stopped := make(chan struct{})
	go func() { w.stop(); close(stopped) }()
	if _, err := idleAnswer.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: got %v, want EOF", err)
	}
	close(release)
	if res, body := answer(t, busyAnswer); body != "hello" || !res.Close {
		t.Errorf("the request under way: got %q, close %v", body, res.Close)
	}
	<-stopped
}

func TestDeregisteredTargetsFinishRequestsUntilTheirDrainTimeIsOver(t *testing.T) {
	arrived := make(chan struct{}, 2)
	release := make(chan struct{})
	w := newWorld(t, nil, httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			hello(rw, r)
			return
		}
		arrived <- struct{}{}
		<-release
	}))
	defer close(release)
	c, r := w.dial()
	write(t, c, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-arrived
	w.listener.Forward[0].Targets[0].Eligible = false
	w.listener.Forward[0].Targets[0].DrainUntil = time.Now().Add(time.Hour)
	w.apply()
	other, otherAnswer := w.dial()
	write(t, other, get)
	if res, _ := answer(t, otherAnswer); res.StatusCode != 503 {
		t.Errorf("a new request: got %v, want 503", res.Status)
	}
	w.listener.Forward[0].Targets[0].DrainUntil = time.Now().Add(-time.Second)
	w.apply()
	if res, _ := answer(t, r); res.StatusCode != 504 {
		t.Errorf("the request that outlived the drain time: got %v, want 504", res.Status)
	}
}
