package controller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// fault is what happens to one call.
type fault string

const (
	failBefore fault = "error before the effect"
	failAfter  fault = "error after the effect"
	dieBefore  fault = "death before the effect"
	dieAfter   fault = "death after the effect"
)

// wire is what all calls of a Reconciler go through, to AWS and to the API
// server's writes. It counts them and makes one of them go wrong.
type wire struct {
	url  string
	next http.RoundTripper

	mu    sync.Mutex
	calls []string
	at    int // of the call that goes wrong, 1 is the first; 0 means none
	fault fault
	die   context.CancelFunc
}

// aim makes the nth call from now go wrong.
func (w *wire) aim(n int, f fault, die context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls, w.at, w.fault, w.die = nil, n, f, die
}

// take starts counting anew and returns what was counted.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls, w.at = nil, 0
	return calls
}

// count is the fault of this call, if any.
func (w *wire) count(action string) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, action)
	if len(w.calls) == w.at {
		return w.fault
	}
	return ""
}

var errInjected = errors.New("injected")

// through makes a call with the fault that is its lot.
func (w *wire) through(action string, call func() error) error {
	switch f := w.count(action); f {
	case failBefore:
		return errInjected
	case dieBefore:
		w.die()
		return errInjected
	case failAfter, dieAfter:
		if err := call(); err != nil {
			return err
		}
		if f == dieAfter {
			w.die()
		}
		return errInjected
	}
	return call()
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	action := form.Get("Action")
	if action == "" {
		action = req.Header.Get("X-Amz-Target")
	}
	var resp *http.Response
	err = w.through(action, func() (err error) { resp, err = w.next.RoundTrip(req); return err })
	if err != nil && resp != nil {
		resp.Body.Close()
		resp = nil
	}
	return resp, err
}

// kube puts the writes to the API server through the wire.
func (w *wire) kube() interceptor.Funcs {
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return w.through("kube:Patch", func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return w.through("kube:PatchStatus", func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	}
}

// awsCalls leaves out the writes to Kubernetes.
func awsCalls(calls []string) []string {
	return slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return strings.HasPrefix(c, "kube:") })
}
