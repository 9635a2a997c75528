package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

// errNoSupervisor says that nobody keeps the lab running.
var errNoSupervisor = errors.New("the lab's supervisor is not running")

// requestTimeout bounds a request to the supervisor; the longest are nodes.
const requestTimeout = nodeTimeout + 30*time.Second

// refusal is how the supervisor says no.
type refusal struct {
	Error string `json:"error"`
}

// serveControl takes requests on a socket that only root can open.
func (h *host) serveControl() error {
	if err := os.Remove(h.dir.ControlSocket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", h.dir.ControlSocket())
	unix.Umask(old)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", answer(func(r *http.Request) (any, error) { return h.report(r.Context()), nil }))
	mux.HandleFunc("POST /components/{name}/restart", answer(func(r *http.Request) (any, error) {
		return nil, h.sup.Restart(r.Context(), r.PathValue("name"), r.FormValue("kill") == "true")
	}))
	mux.HandleFunc("POST /nodes", answer(func(r *http.Request) (any, error) { return h.addNode(r.Context(), r.FormValue("zone")) }))
	mux.HandleFunc("DELETE /nodes/{name}", answer(func(r *http.Request) (any, error) {
		return nil, h.removeNode(r.Context(), r.PathValue("name"))
	}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: dialTimeout, MaxHeaderBytes: 64 << 10}
	h.listeners = append(h.listeners, l)
	h.wg.Go(func() {
		_ = server.Serve(l) // returns when the listener is closed
		server.Close()
	})
	return nil
}

// answer turns a function into a handler that speaks JSON.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		result, err := f(r.WithContext(ctx))
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			status := http.StatusInternalServerError
			if _, ok := errors.AsType[invalidError](err); ok {
				status = http.StatusBadRequest
			}
			w.WriteHeader(status)
			result = refusal{err.Error()}
		}
		_ = json.NewEncoder(w).Encode(result) // the client has gone
	}
}

// controlClient asks a supervisor.
type controlClient struct {
	socket string
}

func (l *Lab) client() controlClient { return controlClient{l.dir.ControlSocket()} }

// call is a request to the supervisor.
type call struct {
	method, path string
	form         url.Values // its arguments; nil for none
}

// do makes a call and decodes its answer, unless result is nil.
func (c controlClient) do(ctx context.Context, to call, result any) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.socket)
	}}
	defer transport.CloseIdleConnections()
	u := url.URL{Scheme: "http", Host: "supervisor", Path: to.path, RawQuery: to.form.Encode()}
	req, err := http.NewRequestWithContext(ctx, to.method, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return dialError(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("read the supervisor's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var r refusal
		if json.Unmarshal(body, &r) != nil || r.Error == "" {
			r.Error = resp.Status
		}
		return errors.New(r.Error)
	}
	if result == nil {
		return nil
	}
	return json.NewDecoder(bytes.NewReader(body)).Decode(result)
}

// dialError tells a supervisor that is not there from one that breaks off.
func dialError(err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return &cli.Error{What: "ask the lab's supervisor", Err: err, Hint: "run it as the user who started the lab, usually root"}
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED),
		errors.Is(err, unix.ECONNRESET), errors.Is(err, io.EOF): // the last two: it has just ended
		return &cli.Error{What: "ask the lab's supervisor", Err: errNoSupervisor, Hint: "remove what is left with 'fairlead-lab down', then start again"}
	}
	return fmt.Errorf("ask the lab's supervisor: %w", err)
}

func (c controlClient) status(ctx context.Context) (r Report, err error) {
	err = c.do(ctx, call{http.MethodGet, "/status", nil}, &r)
	return r, err
}

func (c controlClient) restart(ctx context.Context, name string, kill bool) error {
	form := url.Values{}
	if kill {
		form.Set("kill", "true")
	}
	return c.do(ctx, call{http.MethodPost, "/components/" + url.PathEscape(name) + "/restart", form}, nil)
}

func (c controlClient) addNode(ctx context.Context, zone string) (n layout.NodeSpec, err error) {
	err = c.do(ctx, call{http.MethodPost, "/nodes", url.Values{"zone": {zone}}}, &n)
	return n, err
}

func (c controlClient) removeNode(ctx context.Context, name string) error {
	return c.do(ctx, call{http.MethodDelete, "/nodes/" + url.PathEscape(name), nil}, nil)
}
