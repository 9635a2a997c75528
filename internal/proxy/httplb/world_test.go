package httplb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// TestMain finds goroutines that any of the tests left.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const balancer = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/web"

// world is a load balancer on loopback.
type world struct {
	t        *testing.T
	registry *prometheus.Registry
	handler  *Handler
	server   *proxy.Server
	listener proxy.Listener
	addr     string
	stop     func()
}

// newWorld serves one HTTP listener; change may alter what it is made of.
func newWorld(t *testing.T, change func(*proxy.Listener, *Options), targets ...string) *world {
	t.Helper()
	return newWorldAt(t, "127.0.0.1:0", change, targets...)
}

func newWorldAt(t *testing.T, at string, change func(*proxy.Listener, *Options), targets ...string) *world {
	t.Helper()
	socket, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, registry: prometheus.NewRegistry(), addr: socket.Addr().String()}
	w.listener = proxy.Listener{
		Balancer: balancer, Address: netip.MustParseAddrPort(w.addr), Protocol: lb.HTTP, IdleTimeout: time.Minute,
		Forward: []proxy.Pool{{Key: "web:80", Protocol: lb.HTTP, Balance: proxy.LeastOutstanding, DrainTermination: true}},
	}
	for i, at := range targets {
		w.listener.Forward[0].Targets = append(w.listener.Forward[0].Targets, proxy.Target{
			ID: "i-" + string(rune('a'+i)), Addr: netip.MustParseAddrPort(at), Eligible: true, Healthy: true,
		})
	}
	options := Options{Metrics: w.registry}
	if change != nil {
		change(&w.listener, &options)
	}
	if w.handler, err = New(options); err != nil {
		t.Fatal(err)
	}
	w.server, err = proxy.New(proxy.Options{
		HTTP: w.handler, Metrics: w.registry, DrainTimeout: 10 * time.Second,
		Listen: func(context.Context, netip.AddrPort) (*net.TCPListener, error) { return socket.(*net.TCPListener), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.apply()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = w.server.Run(ctx); close(ended) }()
	w.stop = func() {
		cancel()
		<-ended
		w.handler.Close()
	}
	t.Cleanup(w.stop)
	return w
}

// apply puts a copy of the listener in force: the test goes on changing its own.
func (w *world) apply() {
	w.t.Helper()
	l := w.listener
	l.Forward = slices.Clone(l.Forward)
	for i := range l.Forward {
		l.Forward[i].Targets = slices.Clone(l.Forward[i].Targets)
	}
	if err := w.server.Apply(context.Background(), proxy.Config{Listeners: []proxy.Listener{l}}); err != nil {
		w.t.Fatal(err)
	}
}

// httpTarget is an HTTP server that ends with the test.
func httpTarget(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// refusing is an address that nobody else can get and that refuses connections:
// a socket that is bound but does not listen.
func refusing(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*unix.SockaddrInet4).Port)
}

// rawTarget answers each connection as script says.
func rawTarget(t *testing.T, script func(*bufio.Reader, net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done := make(chan struct{}, 64)
		n := 0
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			n++
			go func() {
				script(bufio.NewReader(c), c)
				_ = c.Close()
				done <- struct{}{}
			}()
		}
		for range n {
			<-done
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}

// readHead reads up to the empty line.
func readHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}

// dial connects as a client.
func (w *world) dial() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		w.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// send sends bytes on a connection of its own and returns all that comes back.
func (w *world) send(raw string) string {
	w.t.Helper()
	c, r := w.dial()
	if _, err := io.WriteString(c, raw); err != nil {
		w.t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatalf("read what came back after %q: %v", all, err)
	}
	return string(all)
}

// metric adds up a metric's samples whose labels include those given; of a
// histogram, how many there are.
func (w *world) metric(name string, labels ...string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			all := ""
			for _, l := range m.GetLabel() {
				all += l.GetName() + "=" + l.GetValue() + " "
			}
			match := true
			for _, want := range labels {
				match = match && strings.Contains(all, want)
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
