package kubeletapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podlog"
	"github.com/fairlead-lb/fairlead/internal/lab/pki"
)

// oneLog is a node with one pod that has one container with a log. Its streams
// are tested with a real cluster.
type oneLog struct{ log *podlog.Log }

func (b oneLog) Pods() []corev1.Pod {
	return []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}}}
}

func (b oneLog) PodUID(namespace, name string) (string, error) {
	if namespace != "n" || name != "p" {
		return "", fmt.Errorf("pod %s/%s: %w", namespace, name, ErrNotFound)
	}
	return "u", nil
}

func (b oneLog) Logs(namespace, pod, container string, previous bool) (*podlog.Log, error) {
	if _, err := b.PodUID(namespace, pod); err != nil {
		return nil, err
	}
	if container != "c" || previous {
		return nil, errors.New("no such run")
	}
	return b.log, nil
}

func (b oneLog) ExecInContainer(context.Context, string, string, string, []string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommand.TerminalSize, time.Duration) error {
	return errors.New("not in this test")
}

func (b oneLog) AttachContainer(context.Context, string, string, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommand.TerminalSize) error {
	return errors.New("not in this test")
}

func (b oneLog) PortForward(context.Context, string, string, int32, io.ReadWriteCloser) error {
	return errors.New("not in this test")
}

func backend(t *testing.T) oneLog {
	t.Helper()
	log, err := podlog.Create(filepath.Join(t.TempDir(), "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Pump(podlog.Stdout, strings.NewReader("one\ntwo\nthree\n")); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return oneLog{log}
}

func TestRequests(t *testing.T) {
	h := Handler(backend(t))
	for name, test := range map[string]struct {
		method, path string
		status       int
		body         string // a part of it
	}{
		"healthz":                          {"GET", "/healthz", 200, "ok"},
		"pods":                             {"GET", "/pods", 200, `"kind":"PodList"`},
		"a log":                            {"GET", "/containerLogs/n/p/c", 200, "one\ntwo\nthree\n"},
		"the end of a log":                 {"GET", "/containerLogs/n/p/c?tailLines=1", 200, "three\n"},
		"following a log that has ended":   {"GET", "/containerLogs/n/p/c?follow=true", 200, "three\n"},
		"a log of a pod that is not there": {"GET", "/containerLogs/n/x/c", 404, "not found"},
		"a former log that is not there":   {"GET", "/containerLogs/n/p/c?previous=true", 400, "no such run"},
		"all bad options at once":          {"GET", "/containerLogs/n/p/c?tailLines=x&follow=y", 400, "tailLines \"x\""},
		"a bad time":                       {"GET", "/containerLogs/n/p/c?sinceTime=noon", 400, "sinceTime \"noon\""},
		"a stream that there is not":       {"GET", "/containerLogs/n/p/c?stream=Stdin", 400, "All, Stdout or Stderr"},
		"exec in a pod that is not there":  {"POST", "/exec/n/x/c?output=1&command=ls", 404, "not found"},
		"exec without streams":             {"POST", "/exec/n/p/c?command=ls", 400, "at least 1 of"},
		"exec without a command":           {"POST", "/exec/n/p/c?output=1", 400, "no command"},
		"forwarding to no pod":             {"POST", "/portForward/n/x", 404, "not found"},
		"something else":                   {"GET", "/metrics", 404, ""},
		"a log by the wrong method":        {"DELETE", "/containerLogs/n/p/c", 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(test.method, test.path, nil))
			if rec.Code != test.status || !strings.Contains(rec.Body.String(), test.body) {
				t.Errorf("got %d %q, want %d %q", rec.Code, rec.Body, test.status, test.body)
			}
		})
	}
}

func TestLogOptions(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := httptest.NewRequest("GET", "/?follow=true&previous=true&timestamps=true&tailLines=5&limitBytes=6&sinceSeconds=10&stream=Stderr", nil)
	got, previous, err := logOptions(r, now)
	want := podlog.Options{Follow: true, Timestamps: true, Tail: 5, Limit: 6, Since: now.Add(-10 * time.Second), Stream: podlog.Stderr}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || !previous {
		t.Errorf("previous %t, error %v (-want +got):\n%s", previous, err, diff)
	}
	got, previous, err = logOptions(httptest.NewRequest("GET", "/", nil), now)
	if diff := cmp.Diff(podlog.Options{Tail: -1}, got); diff != "" || err != nil || previous {
		t.Errorf("without options: previous %t, error %v (-want +got):\n%s", previous, err, diff)
	}
}

// TestOnlyHoldersOfACertificateComeIn serves TLS as nodes do.
func TestOnlyHoldersOfACertificateComeIn(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	ca, stranger := authority(t), authority(t)
	serving, err := ca.Issue(pki.Subject{Name: "node", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"ca": ca.Certificate, "crt": serving.Certificate, "key": serving.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv, err := Serve(Config{
		Listen: "127.0.0.1:0", ClientCAFile: filepath.Join(dir, "ca"), CertFile: filepath.Join(dir, "crt"), KeyFile: filepath.Join(dir, "key"),
		Logger: slog.New(slog.DiscardHandler),
	}, backend(t), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	url := "https://" + srv.Addr.String() + "/healthz"
	if err := get(url, ca, ca); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if get(url, ca, nil) == nil {
		t.Error("without a certificate the API answers")
	}
	if get(url, ca, stranger) == nil {
		t.Error("with a stranger's certificate the API answers")
	}
}

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	ca, err := pki.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// get asks with a client certificate by the given authority, or with none.
func get(url string, server, client *pki.Authority) error {
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AppendCertsFromPEM(server.Certificate)
	if client != nil {
		id, err := client.Issue(pki.Subject{Name: "api"}, time.Now())
		if err != nil {
			return err
		}
		cert, err := tls.X509KeyPair(id.Certificate, id.Key)
		if err != nil {
			return err
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
