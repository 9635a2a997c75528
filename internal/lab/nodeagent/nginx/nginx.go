// Package nginx is what runs in the lab's pods with the image nginx: an HTTP
// server whose answers tell which pod answered and whom it saw.
//
//	/          who answered and who asked, as text, or as JSON when the request
//	           accepts application/json or has ?format=json; with what a PROXY
//	           header and X-Forwarded-For say of the client
//	/healthz   "ok"
//	/hold      a line per ?interval= (default 1s) for as long as the connection
//	           lives: a long connection to watch
package nginx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

// CommandName is the subcommand of fairlead-lab that runs the server.
const CommandName = "nginx"

// Facts is what a server knows of the pod it runs in.
type Facts struct {
	Pod       string       `json:"pod"`
	Namespace string       `json:"namespace"`
	Node      string       `json:"node"`
	Zone      string       `json:"zone"`
	PodIPs    []netip.Addr `json:"podIPs"`
}

// Answer is the body of a response from /.
type Answer struct {
	Facts
	Peer         netip.AddrPort `json:"peer"`                    // the other end of the connection, as the pod sees it
	Proxied      netip.AddrPort `json:"proxied,omitzero"`        // the client, when a PROXY header tells
	ForwardedFor string         `json:"xForwardedFor,omitempty"` // the header X-Forwarded-For
	Local        netip.AddrPort `json:"local"`                   // this end
	Host         string         `json:"host"`
	Request      string         `json:"request"` // the request line
}

// Config says what the server serves.
type Config struct {
	FactsFile string    // JSON of Facts; a missing file means no facts
	Port      uint16    // on all addresses of both families
	AccessLog io.Writer // a line per request
}

// Bounds of one connection. Idle ones may stay long: that is what the lab is to
// show.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Hour
	maxHeader     = 64 << 10
	drainTimeout  = 20 * time.Second
)

// Run serves until ctx ends; then it takes no new connections, ends /hold
// streams with a last line and returns when the answers under way are out.
func Run(ctx context.Context, cfg Config) error {
	facts, err := readFacts(cfg.FactsFile)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", cfg.Port))
	if err != nil {
		return err
	}
	return Serve(ctx, l, Handler(ctx, facts, cfg.AccessLog))
}

// Serve runs a handler on a listener as Run does, and closes the listener.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ConnContext: withConn, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(withProxy(l)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return srv.Shutdown(drain)
}

func readFacts(path string) (Facts, error) {
	var f Facts
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

// Handler answers requests. /hold streams end when ctx does.
func Handler(ctx context.Context, facts Facts, accessLog io.Writer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) { hold(ctx, w, r, facts) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { tell(w, answer(r, facts), wantsJSON(r)) })
	return logged(mux, accessLog)
}

func answer(r *http.Request, facts Facts) Answer {
	a := Answer{Facts: facts, Host: r.Host, Request: fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, r.Proto)}
	a.Peer, a.Proxied = peerOf(r)
	a.ForwardedFor = r.Header.Get("X-Forwarded-For")
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		a.Local = addrPort(local.String())
	}
	return a
}

// addrPort parses an address of a connection; IPv4 addresses of a dual-stack
// socket come out as IPv4.
func addrPort(s string) netip.AddrPort {
	ap, _ := netip.ParseAddrPort(s)
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func wantsJSON(r *http.Request) bool {
	return r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json")
}

func tell(w http.ResponseWriter, a Answer, asJSON bool) {
	if asJSON {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a) // the client may be gone
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, a.text())
}

func (a Answer) text() string {
	var ips []string
	for _, ip := range a.PodIPs {
		ips = append(ips, ip.String())
	}
	lines := [][2]string{
		{"pod", a.Namespace + "/" + a.Pod}, {"node", a.Node}, {"zone", a.Zone}, {"pod IPs", strings.Join(ips, ", ")},
		{"peer", a.Peer.String()}, {"local", a.Local.String()}, {"host", a.Host}, {"request", a.Request},
	}
	if a.Proxied.IsValid() {
		lines = append(lines, [2]string{"proxied", a.Proxied.String()})
	}
	if a.ForwardedFor != "" {
		lines = append(lines, [2]string{"X-Forwarded-For", a.ForwardedFor})
	}
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%-8s %s\n", line[0]+":", line[1])
	}
	return b.String()
}

// Bounds of the interval of /hold.
const (
	minInterval     = 10 * time.Millisecond
	maxInterval     = time.Hour
	defaultInterval = time.Second
)

func hold(ctx context.Context, w http.ResponseWriter, r *http.Request, facts Facts) {
	interval, err := intervalOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := http.NewResponseController(w)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	began := time.Now()
	peer, _ := peerOf(r)
	for n := 1; ; n++ {
		fmt.Fprintf(w, "%d held %s by pod %s on %s, peer %s\n", n, time.Since(began).Round(time.Millisecond), facts.Pod, facts.Node, peer)
		if out.Flush() != nil {
			return // the client is gone
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-ctx.Done():
			fmt.Fprintf(w, "pod %s stops\n", facts.Pod)
			return
		}
	}
}

func intervalOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("interval")
	if text == "" {
		return defaultInterval, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minInterval || d > maxInterval {
		return 0, fmt.Errorf("interval %q must be a duration from %s to %s, such as 500ms", text, minInterval, maxInterval)
	}
	return d, nil
}

// logged writes a line per request when it is answered.
func logged(h http.Handler, to io.Writer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(rec, r)
		fmt.Fprintf(to, "%s %q %d %q\n", addrPort(r.RemoteAddr), fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, r.Proto), rec.status, r.UserAgent())
	})
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
