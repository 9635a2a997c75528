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

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// countingTarget answers every request and counts its open connections.
func countingTarget(t *testing.T, open *atomic.Int32) string {
	t.Helper()
	return rawTarget(t, func(r *bufio.Reader, c net.Conn) {
		open.Add(1)
		defer open.Add(-1)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
		}
	})
}

func TestPooledConnectionsAreClosed(t *testing.T) {
	for name, gone := range map[string]func(*world){
		"when they were idle for the idle timeout": func(*world) {},
		"when their target is deregistered":        func(w *world) { w.listener.Forward[0].Targets[0].DrainUntil = time.Now().Add(time.Hour) },
		"when their target has gone":               func(w *world) { w.listener.Forward[0].Targets = nil },
		"when their pool has gone":                 func(w *world) { w.listener.Forward = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var open atomic.Int32
			w := newWorld(t, func(l *proxy.Listener, _ *Options) {
				if strings.Contains(name, "idle") {
					l.IdleTimeout = 3 * time.Second
				}
			}, countingTarget(t, &open))
			c, r := w.dial()
			write(t, c, get)
			answer(t, r)
			gone(w)
			w.apply()
			waitFor(t, "the target's connection to be closed", func() bool { return open.Load() == 0 })
			waitFor(t, "the target to be forgotten", func() bool {
				w.handler.mu.Lock()
				defer w.handler.mu.Unlock()
				return len(w.handler.targets) == 0
			})
		})
	}
}

// TestClientsThatGoAwayLeaveNothingBehind ends connections at every point of a
// request; goroutines are counted by TestMain.
func TestClientsThatGoAwayLeaveNothingBehind(t *testing.T) {
	var open atomic.Int32
	w := newWorld(t, nil, countingTarget(t, &open))
	request := "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get
	var clients sync.WaitGroup
	for n := range len(request) + 1 {
		clients.Go(func() {
			c, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, request[:n])
			if n%2 == 0 {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			_ = c.Close()
		})
	}
	clients.Wait()
	waitFor(t, "the clients' connections to be closed", func() bool {
		return w.metric("fairlead_proxy_active_flow_count") == 0
	})
	idle := 0
	w.handler.mu.Lock()
	for _, target := range w.handler.targets {
		target.mu.Lock()
		idle += len(target.idle)
		if len(target.open) != len(target.idle) || target.dialing != 0 || len(target.waiting) != 0 {
			t.Errorf("%d connections open, %d of them idle, %d dialled, %d waited for", len(target.open), len(target.idle), target.dialing, len(target.waiting))
		}
		target.mu.Unlock()
	}
	w.handler.mu.Unlock()
	waitFor(t, "the target to see the same", func() bool { return int(open.Load()) == idle })
}

func TestIPv6(t *testing.T) {
	var got http.Header
	var host string
	w := newWorldAt(t, "[::1]:0", nil, httpTarget(t, func(_ http.ResponseWriter, r *http.Request) { got, host = r.Header, r.Host }))
	w.send("GET / HTTP/1.0\r\n\r\n")
	if got.Get("X-Forwarded-For") != "::1" || host != w.addr {
		t.Errorf("the target saw %v and host %q, want ::1 and %s", got, host, w.addr)
	}
}

func TestManyRequestsAtOnceGetTheirOwnAnswers(t *testing.T) {
	serve := func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(rw, "%s %s", r.URL.Path, body)
	}
	w := newWorld(t, func(_ *proxy.Listener, o *Options) { o.TargetConnections = 3 }, httpTarget(t, serve), httpTarget(t, serve))
	var clients sync.WaitGroup
	for n := range 20 {
		c, r := w.dial()
		clients.Go(func() {
			for i := range 50 {
				body := strings.Repeat("x", i*37*(n%5))
				if _, err := fmt.Fprintf(c, "PUT /%d/%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, i, len(body), body); err != nil {
					t.Error(err)
					return
				}
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				if want := fmt.Sprintf("/%d/%d %s", n, i, body); err != nil || string(got) != want {
					t.Errorf("got %.20q, %v; want %.20q", got, err, want)
					return
				}
			}
		})
	}
	clients.Wait()
}
