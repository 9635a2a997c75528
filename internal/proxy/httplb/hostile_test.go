package httplb

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// corpus reads http1's requests: what becomes of them in which mode is told
// there by their verdicts.
func corpus(t *testing.T) (verdicts, requests []string) {
	t.Helper()
	data, err := os.ReadFile("../http1/testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		raw, err := strconv.Unquote(f[2])
		if err != nil {
			t.Fatal(err)
		}
		verdicts, requests = append(verdicts, f[0]), append(requests, raw)
	}
	return verdicts, requests
}

func TestTheCorpusInEachDesyncMitigationMode(t *testing.T) {
	verdicts, requests := corpus(t)
	for _, mode := range []string{"monitor", "defensive", "strictest"} {
		t.Run(mode, func(t *testing.T) {
			var served, smuggled atomic.Int32
			w := newWorld(t, func(l *proxy.Listener, _ *Options) { l.DesyncMode = mode },
				httpTarget(t, func(rw http.ResponseWriter, r *http.Request) {
					served.Add(1)
					if r.URL.Path == "/smuggled" {
						smuggled.Add(1)
					}
					_, _ = io.Copy(io.Discard, r.Body)
				}))
			nonCompliant := 0.0
			for i, request := range requests {
				served.Store(0)
				before := w.metric("fairlead_proxy_httpcode_elb_total")
				answers := w.exchange(request)
				refused := w.metric("fairlead_proxy_httpcode_elb_total") > before // by us, not by the target
				want := refusal(verdicts[i], mode)
				if len(answers) == 0 || refused != (want != "") || refused && answers[0] != want {
					t.Errorf("%q: got %q, refused %v; want %q", request, answers, refused, want)
				}
				if refused && served.Load() > 0 {
					t.Errorf("%q was refused and reached the target", request)
				}
				if verdicts[i] == "Ambiguous" && mode == "defensive" && len(answers) > 1 {
					t.Errorf("%q: the connection was used again, got %q", request, answers)
				}
				if verdicts[i] != "Compliant" {
					nonCompliant++
				}
			}
			if mode != "monitor" && smuggled.Load() > 0 {
				t.Errorf("%d requests were smuggled", smuggled.Load())
			}
			if got := w.metric("fairlead_proxy_desync_mitigation_mode_non_compliant_request_count_total"); got < nonCompliant {
				t.Errorf("DesyncMitigationMode_NonCompliant_Request_Count is %v, want %v at least", got, nonCompliant)
			}
		})
	}
}

// refusal is the status that a mode refuses a verdict with; empty: it does not.
func refusal(verdict, mode string) string {
	switch {
	case len(verdict) == len("400"):
		return verdict
	case verdict != "Compliant" && mode == "strictest":
		return "400"
	}
	return ""
}

// exchange sends bytes and an end, and returns the statuses of the answers.
func (w *world) exchange(raw string) (statuses []string) {
	w.t.Helper()
	c, r := w.dial()
	write(w.t, c, raw)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		w.t.Fatal(err)
	}
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			w.t.Fatalf("%q: %v", raw, err)
		}
		statuses = append(statuses, strconv.Itoa(res.StatusCode))
	}
}

func TestClientsThatDoNotFinish(t *testing.T) {
	for name, c := range map[string]struct {
		raw    string
		half   bool // the client ends its side
		status string
	}{
		"a head that trickles":                {"GET / HTTP/1.1\r\nHost: h\r\n", false, "408"},
		"a head that ends early":              {"GET / HTTP/1.1\r\nHost: h\r\n", true, "408"},
		"a body that ends early":              {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc", true, "408"},
		"a body that stops":                   {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc", false, "408"},
		"a chunk that ends early":             {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true, "408"},
		"a chunk that is none":                {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeX", false, "400"},
		"TLS garbage":                         {"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", false, "400"},
		"a head larger than any":              {"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 70_000), false, "400"},
		"a target larger than any":            {"GET /" + strings.Repeat("x", 70_000), false, "400"},
		"a method that does not end":          {strings.Repeat("X", 1000), false, "405"},
		"more fields than any":                {"GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 1000) + "\r\n", false, "400"},
		"a half-closed client gets an answer": {get, true, "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idle := func(l *proxy.Listener, _ *Options) {
				if c.status == "408" {
					l.IdleTimeout = time.Second
				}
			}
			w := newWorld(t, idle,
				httpTarget(t, func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
			client, r := w.dial()
			write(t, client, c.raw)
			if c.half {
				if err := client.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			all, err := io.ReadAll(r)
			if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 "+c.status+" ") {
				t.Errorf("got %q, %v; want %s", all, err, c.status)
			}
			if got := w.metric("fairlead_proxy_httpcode_elb_total", "class=4XX"); c.status[0] == '4' && got != 1 {
				t.Errorf("HTTPCode_ELB_4XX is %v, want 1", got)
			}
		})
	}
}

// TestSlowLoris sends a head a byte at a time, each well within the idle
// timeout: the head as a whole has its own.
func TestSlowLoris(t *testing.T) {
	w := newWorld(t, func(_ *proxy.Listener, o *Options) { o.HeadTimeout = time.Second }, httpTarget(t, hello))
	c, r := w.dial()
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, b := range []byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 10_000)) {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	res, _ := answer(t, r)
	close(stop)
	<-ended
	if res.StatusCode != 408 || !res.Close {
		t.Errorf("got %v, close %v", res.Status, res.Close)
	}
}

func TestIdleClientsAreClosedWithoutAWord(t *testing.T) {
	w := newWorld(t, func(l *proxy.Listener, _ *Options) { l.IdleTimeout = 3 * time.Second }, httpTarget(t, hello))
	c, r := w.dial()
	write(t, c, get)
	answer(t, r)
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestTargetsThatLie(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   string // all that the client gets must begin and end so
		ends   string
	}{
		"no HTTP":                          {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 502 ", "\r\n\r\n"},
		"garbage that does not end":        {strings.Repeat("x", 100_000), "HTTP/1.1 502 ", "\r\n\r\n"},
		"a head that breaks off":           {"HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 502 ", "\r\n\r\n"},
		"nothing":                          {"", "HTTP/1.1 504 ", "\r\n\r\n"},
		"two lengths":                      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 502 ", "\r\n\r\n"},
		"an upgrade that nobody asked for": {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 502 ", "\r\n\r\n"},
		"interim answers without end":      {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), "HTTP/1.1 100 ", "\r\n\r\n"},
		"more than its length":             {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX: poison\r\n\r\n", "HTTP/1.1 200 ", "\r\n\r\nok"},
		"more than 204 has":                {"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nmore", "HTTP/1.1 204 ", "\r\n\r\n"},
		"no length":                        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", "HTTP/1.1 200 ", "until the end"},
		"chunks and a length":              {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.1 200 ", "2\r\nok\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, rawTarget(t, func(r *bufio.Reader, conn net.Conn) {
				if _, err := readHead(r); err == nil {
					_, _ = io.WriteString(conn, c.answer)
				}
			}))
			got := w.send(getLast)
			if !strings.HasPrefix(got, c.want) || !strings.HasSuffix(got, c.ends) || strings.Contains(got, "poison") {
				t.Errorf("got %q, want %q … %q", got, c.want, c.ends)
			}
		})
	}
}

// TestAnswersThatBreakOffDoNotLookWhole also holds for those whose end only the
// connection's end tells.
func TestAnswersThatBreakOffDoNotLookWhole(t *testing.T) {
	for name, head := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\npart",
		"reset":  "HTTP/1.1 200 OK\r\n\r\npart",
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan struct{})
			w := newWorld(t, nil, rawTarget(t, func(r *bufio.Reader, conn net.Conn) {
				if _, err := readHead(r); err != nil {
					return
				}
				_, _ = io.WriteString(conn, head)
				<-heard
				_ = conn.(*net.TCPConn).SetLinger(0)
			}))
			c, r := w.dial()
			write(t, c, get)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			part := make([]byte, len("part"))
			if _, err := io.ReadFull(res.Body, part); err != nil {
				t.Fatal(err)
			}
			close(heard)
			if rest, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("got %q and no error", rest)
			}
		})
	}
}

// TestWhatATargetSaysUnaskedIsNobodysAnswer: the surplus comes when the
// connection is in the pool already.
func TestWhatATargetSaysUnaskedIsNobodysAnswer(t *testing.T) {
	surplus, said := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	w := newWorld(t, nil, rawTarget(t, func(r *bufio.Reader, conn net.Conn) {
		for {
			if _, err := readHead(r); err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")
			if once.CompareAndSwap(false, true) {
				<-surplus
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
				close(said)
			}
		}
	}))
	c, r := w.dial()
	write(t, c, get)
	answer(t, r)
	close(surplus)
	<-said
	write(t, c, get)
	if _, got := answer(t, r); got != "right" {
		t.Errorf("got %q", got)
	}
}

// TestARequestIsSentAgainOnlyIfThatIsSafe uses targets that close a connection
// when they get the second request on it.
func TestARequestIsSentAgainOnlyIfThatIsSafe(t *testing.T) {
	for request, want := range map[string]struct {
		status int
		copies int32 // that targets got
	}{
		get: {200, 2},
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc":  {200, 2},
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc": {504, 1},
	} {
		t.Run(request[:4], func(t *testing.T) {
			var copies atomic.Int32
			w := newWorld(t, nil, rawTarget(t, func(r *bufio.Reader, conn net.Conn) {
				for n := 0; ; n++ {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if req.URL.Path == "/" {
						copies.Add(1)
					}
					if n == 1 {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}))
			c, r := w.dial()
			write(t, c, strings.Replace(get, " / ", " /first ", 1))
			answer(t, r)
			write(t, c, request)
			if res, _ := answer(t, r); res.StatusCode != want.status || copies.Load() != want.copies {
				t.Errorf("got %v, %d copies; want %d, %d", res.Status, copies.Load(), want.status, want.copies)
			}
		})
	}
}

func TestARequestIsNotSentAgainAfterAnInterimAnswer(t *testing.T) {
	var copies atomic.Int32
	w := newWorld(t, nil, rawTarget(t, func(r *bufio.Reader, conn net.Conn) {
		for {
			head, err := readHead(r)
			if err != nil {
				return
			}
			if !strings.HasPrefix(head, "GET /first ") {
				copies.Add(1)
				_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	c, r := w.dial()
	write(t, c, strings.Replace(get, " / ", " /first ", 1))
	answer(t, r)
	write(t, c, get)
	if got, err := readHead(r); err != nil || !strings.HasPrefix(got, "HTTP/1.1 103 ") {
		t.Errorf("got %q, %v", got, err)
	}
	if res, _ := answer(t, r); res.StatusCode != 504 || copies.Load() != 1 {
		t.Errorf("got %v after %d copies; want 504 after 1", res.Status, copies.Load())
	}
}

func TestTargetsSlowerThanTheIdleTimeoutAre504(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, func(l *proxy.Listener, _ *Options) { l.IdleTimeout = 3 * time.Second },
		rawTarget(t, func(r *bufio.Reader, _ net.Conn) {
			_, _ = readHead(r)
			<-release
		}))
	defer close(release)
	c, r := w.dial()
	write(t, c, get)
	if res, _ := answer(t, r); res.StatusCode != 504 {
		t.Errorf("got %v", res.Status)
	}
}

// TestTargetsMayAnswerBeforeTheBodyHasCome, and the connection ends then.
func TestTargetsMayAnswerBeforeTheBodyHasCome(t *testing.T) {
	w := newWorld(t, nil, rawTarget(t, func(r *bufio.Reader, conn net.Conn) {
		_, _ = readHead(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}))
	c, r := w.dial()
	write(t, c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
	if res, _ := answer(t, r); res.StatusCode != 413 || !res.Close {
		t.Errorf("got %v, close %v", res.Status, res.Close)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("then got %q, %v", rest, err)
	}
}
