// Package kubeletapi serves the part of the kubelet's API that the API server
// calls for people: logs, exec, attach and port-forward, beside /pods and
// /healthz.
//
// Callers prove who they are by a client certificate; whoever holds one of the
// cluster's CA may do all. In a lab these are its own API server and its
// administrators.
package kubeletapi

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podlog"
)

// ErrNotFound is returned by a Backend for pods and containers that it does not
// have.
var ErrNotFound = errors.New("not found")

// Backend is the node behind the API.
type Backend interface {
	Pods() []corev1.Pod
	// PodUID returns the UID of a running pod, or ErrNotFound.
	PodUID(namespace, name string) (string, error)
	// Logs returns the log of a container's present or former run.
	Logs(namespace, pod, container string, previous bool) (*podlog.Log, error)
	remotecommand.Executor
	remotecommand.Attacher
	portforward.PortForwarder
}

// Config is where the API is served and whom it lets in.
type Config struct {
	Listen       string
	ClientCAFile string
	CertFile     string
	KeyFile      string
	Logger       *slog.Logger
}

// Server is the API being served.
type Server struct {
	Addr net.Addr
	http *http.Server
}

// Close ends the API, but not streams that have begun: they end with their
// containers.
func (s *Server) Close() error { return s.http.Close() }

// Serve starts the API and returns once it listens. failed is called if it ends
// by itself.
func Serve(cfg Config, b Backend, failed func(error)) (*Server, error) {
	tlsConfig, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("serve the kubelet API: %w", err)
	}
	srv := &http.Server{
		Handler: Handler(b), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		// SPDY takes over an HTTP/1.1 connection; HTTP/2 cannot be taken over.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go func() {
		if err := srv.Serve(tls.NewListener(l, tlsConfig)); !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("serve the kubelet API: %w", err))
		}
	}()
	return &Server{Addr: l.Addr(), http: srv}, nil
}

func tlsConfig(cfg Config) (*tls.Config, error) {
	ca, err := os.ReadFile(cfg.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("read client CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("client CA %s holds no certificate", cfg.ClientCAFile)
	}
	cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read serving certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}, nil
}

// Handler routes the API's requests to a backend.
func Handler(b Backend) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /pods", func(w http.ResponseWriter, _ *http.Request) { writePods(w, b.Pods()) })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) { serveLogs(w, r, b) })
	for _, method := range []string{"GET", "POST"} {
		mux.HandleFunc(method+" /exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) { serveExec(w, r, b) })
		mux.HandleFunc(method+" /attach/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) { serveAttach(w, r, b) })
		mux.HandleFunc(method+" /portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) { servePortForward(w, r, b) })
	}
	return mux
}

func writePods(w http.ResponseWriter, pods []corev1.Pod) {
	list := corev1.PodList{Items: pods}
	list.Kind, list.APIVersion = "PodList", "v1"
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // the client may be gone
}

// Times of streams: how long an idle one lives, and how long the client may
// take to open all of a request's.
const (
	idleTimeout     = 4 * time.Hour
	creationTimeout = remotecommand.DefaultStreamCreationTimeout
)

// refuse answers with the status that fits an error.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if errors.Is(err, ErrNotFound) {
		status = http.StatusNotFound
	}
	http.Error(w, err.Error(), status)
}

func serveExec(w http.ResponseWriter, r *http.Request, b Backend) {
	uid, opts, err := stream(r, b)
	if err != nil {
		refuse(w, err)
		return
	}
	argv := r.URL.Query()["command"]
	if len(argv) == 0 {
		refuse(w, errors.New("the request has no command"))
		return
	}
	remotecommand.ServeExec(w, r, b, r.PathValue("pod"), uid, r.PathValue("container"), argv, opts,
		idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

func serveAttach(w http.ResponseWriter, r *http.Request, b Backend) {
	uid, opts, err := stream(r, b)
	if err != nil {
		refuse(w, err)
		return
	}
	remotecommand.ServeAttach(w, r, b, r.PathValue("pod"), uid, r.PathValue("container"), opts,
		idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

func stream(r *http.Request, b Backend) (string, *remotecommand.Options, error) {
	uid, err := b.PodUID(r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		return "", nil, err
	}
	opts, err := remotecommand.NewOptions(r)
	return uid, opts, err
}

func servePortForward(w http.ResponseWriter, r *http.Request, b Backend) {
	uid, err := b.PodUID(r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		refuse(w, err)
		return
	}
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		refuse(w, err)
		return
	}
	portforward.ServePortForward(w, r, b, r.PathValue("pod"), uid, opts, idleTimeout, creationTimeout, portforward.SupportedProtocols)
}

func serveLogs(w http.ResponseWriter, r *http.Request, b Backend) {
	opts, previous, err := logOptions(r, time.Now())
	if err != nil {
		refuse(w, err)
		return
	}
	log, err := b.Logs(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), previous)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var out io.Writer = w
	if opts.Follow {
		f := flusher{w, http.NewResponseController(w)}
		_ = f.control.Flush() // headers first: nothing may come for long
		out = f
	}
	// The header is out: an error can only end the body.
	_ = log.Read(r.Context(), opts, out)
}

// flusher sends every line as it comes.
type flusher struct {
	io.Writer
	control *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

// logOptions reads PodLogOptions from a request's query.
func logOptions(r *http.Request, now time.Time) (o podlog.Options, previous bool, err error) {
	q := r.URL.Query()
	o.Tail = -1
	var errs []error
	parse := func(name string, into func(string) error) {
		if text := q.Get(name); text != "" {
			if err := into(text); err != nil {
				errs = append(errs, fmt.Errorf("%s %q: %w", name, text, err))
			}
		}
	}
	boolean := func(to *bool) func(string) error {
		return func(s string) (err error) { *to, err = strconv.ParseBool(s); return }
	}
	number := func(to *int64) func(string) error {
		return func(s string) (err error) { *to, err = strconv.ParseInt(s, 10, 64); return }
	}
	var sinceSeconds int64
	parse("follow", boolean(&o.Follow))
	parse("previous", boolean(&previous))
	parse("timestamps", boolean(&o.Timestamps))
	parse("tailLines", number(&o.Tail))
	parse("limitBytes", number(&o.Limit))
	parse("sinceSeconds", number(&sinceSeconds))
	parse("sinceTime", func(s string) (err error) { o.Since, err = time.Parse(time.RFC3339, s); return })
	parse("stream", func(s string) error { return streamName(s, &o) })
	if sinceSeconds > 0 {
		o.Since = now.Add(-time.Duration(sinceSeconds) * time.Second)
	}
	return o, previous, errors.Join(errs...)
}

func streamName(s string, o *podlog.Options) error {
	switch s {
	case corev1.LogStreamAll:
	case corev1.LogStreamStdout:
		o.Stream = podlog.Stdout
	case corev1.LogStreamStderr:
		o.Stream = podlog.Stderr
	default:
		return errors.New("must be All, Stdout or Stderr")
	}
	return nil
}
