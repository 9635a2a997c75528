package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// recorder stands between a controller and the engine: it makes every call as
// slow as AWS's are, and writes it down.
type recorder struct {
	URL string

	latency time.Duration
	server  *http.Server

	mu    sync.Mutex
	open  int // calls under way
	calls []call
}

// call is one answered call.
type call struct {
	action     string
	start, end time.Time // when it came in, when it was answered
}

// changes says whether the call may change something.
func (c call) changes() bool {
	return !strings.HasPrefix(c.action, "Describe") && !strings.HasPrefix(c.action, "Get")
}

// newRecorder passes calls on to a handler of the engine's.
func newRecorder(engine string, latency time.Duration) (*recorder, error) {
	target, err := url.Parse(engine)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{URL: "http://" + ln.Addr().String(), latency: latency}
	// The signature covers the Host header, so it goes on as it came.
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Host = p.In.Host }}
	r.server = &http.Server{Handler: r.recording(proxy), ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(ln) }() // ends with close
	return r, nil
}

func (r *recorder) recording(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		start := r.begin()
		defer r.end(action(req, body), start)
		time.Sleep(r.latency)
		next.ServeHTTP(w, req)
	})
}

// action is the call's name in either protocol.
func action(req *http.Request, body []byte) string {
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "malformed"
	}
	return form.Get("Action")
}

func (r *recorder) begin() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	return time.Now()
}

func (r *recorder) end(action string, start time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	r.calls = append(r.calls, call{action, start, time.Now()})
}

// take starts anew and returns what was recorded.
func (r *recorder) take() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// last is when the last call was answered; busy says that one is under way.
func (r *recorder) last() (end time.Time, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		end = later(end, c.end)
	}
	return end, r.open > 0
}

// count is how often an action was called so far.
func (r *recorder) count(action string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.calls {
		if c.action == action {
			n++
		}
	}
	return n
}

// first is when the first call of an action came in; zero when none did.
func (r *recorder) first(action string) (start time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if c.action == action && (start.IsZero() || c.start.Before(start)) {
			start = c.start
		}
	}
	return start
}

func (r *recorder) close() error { return r.server.Shutdown(context.Background()) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// actions lists calls by name with their numbers, for people.
func actions(calls []call) string {
	n := map[string]int{}
	for _, c := range calls {
		n[c.action]++
	}
	var names []string
	for name := range n {
		names = append(names, name)
	}
	slices.Sort(names)
	return joinCounts(names, n)
}
