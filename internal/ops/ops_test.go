package ops

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEndpoints(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "fairlead_test_total", Help: "A test."})
	registry.MustRegister(counter)
	counter.Add(3)
	var notReady error
	endpoints := Endpoints{
		Metrics: registry,
		Ready:   func() error { return notReady },
		State:   func() any { return map[string]int{"revision": 7} },
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, endpoints.Handler()) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	want := func(path string, code int, part string) {
		t.Helper()
		response, err := client.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != code || !strings.Contains(string(body), part) {
			t.Errorf("GET %s = %d %q (%v), want %d with %q", path, response.StatusCode, body, err, code, part)
		}
	}
	want("/healthz", 200, "ok")
	want("/readyz", 200, "ok")
	want("/metrics", 200, "fairlead_test_total 3")
	want("/state", 200, `"revision": 7`)
	want("/other", 404, "")
	notReady = errors.New("no snapshot yet")
	want("/readyz", 503, "no snapshot yet")
	want("/healthz", 200, "ok")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestWithoutAddressThereAreNoEndpoints(t *testing.T) {
	ln, err := Listen("")
	if ln != nil || err != nil {
		t.Fatalf("Listen = %v, %v", ln, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, ln, nil); err != nil {
		t.Errorf("Serve = %v", err)
	}
}
