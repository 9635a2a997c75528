package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxAnswer bounds what is read of a probe's answer.
const maxAnswer = 10 << 10

// Target is the container that is probed.
type Target struct {
	Host  string // address of the pod
	Ports []corev1.ContainerPort
	// Exec runs a command in the container. It returns the exit code and the
	// head of its output.
	Exec func(ctx context.Context, argv []string) (code int, output string, err error)
}

// Run probes once. A nil error is a success; ctx bounds the time.
func Run(ctx context.Context, h corev1.ProbeHandler, t Target) error {
	switch {
	case h.Exec != nil:
		return runExec(ctx, h.Exec.Command, t)
	case h.HTTPGet != nil:
		return Get(ctx, h.HTTPGet, t)
	case h.TCPSocket != nil:
		return dial(ctx, h.TCPSocket, t)
	case h.GRPC != nil:
		return check(ctx, h.GRPC, t)
	}
	return errors.New("the probe has no handler")
}

func runExec(ctx context.Context, argv []string, t Target) error {
	code, out, err := t.Exec(ctx, argv)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("command %q timed out", argv)
	case err != nil:
		return err
	case code != 0:
		return fmt.Errorf("command %q exited with code %d: %s", argv, code, strings.TrimSpace(out))
	}
	return nil
}

// Get sends one HTTP request; any status from 200 to 399 is a success.
func Get(ctx context.Context, g *corev1.HTTPGetAction, t Target) error {
	req, err := request(ctx, g, t)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // as the kubelet: pods have certificates of their own making
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: sameHost}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("HTTP probe failed with statuscode: %d: %.200s", resp.StatusCode, body)
	}
	return nil
}

// maxRedirects is how many redirects a probe follows.
const maxRedirects = 10

// sameHost follows redirects within a host only, as the kubelet does: one that
// leads elsewhere is the answer itself, and a success.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	return nil
}

func request(ctx context.Context, g *corev1.HTTPGetAction, t Target) (*http.Request, error) {
	port, err := portNumber(g.Port, t)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(g.Path) // the path may carry a query
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", g.Path, err)
	}
	u.Scheme = strings.ToLower(string(g.Scheme))
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	u.Host = net.JoinHostPort(hostOr(g.Host, t), strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "kube-probe/fairlead-lab")
	req.Header.Set("Accept", "*/*")
	for _, h := range g.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
		} else {
			req.Header.Add(h.Name, h.Value)
		}
	}
	return req, nil
}

func dial(ctx context.Context, s *corev1.TCPSocketAction, t Target) error {
	port, err := portNumber(s.Port, t)
	if err != nil {
		return err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(hostOr(s.Host, t), strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

func check(ctx context.Context, g *corev1.GRPCAction, t Target) error {
	addr := "passthrough:///" + net.JoinHostPort(t.Host, strconv.Itoa(int(g.Port)))
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	req := &healthpb.HealthCheckRequest{}
	if g.Service != nil {
		req.Service = *g.Service
	}
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, req)
	if err != nil {
		return err
	}
	if resp.Status != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("service %q is %s", req.Service, resp.Status)
	}
	return nil
}

func hostOr(host string, t Target) string {
	if host != "" {
		return host
	}
	return t.Host
}

// portNumber resolves the name of a container's port.
func portNumber(p intstr.IntOrString, t Target) (int, error) {
	if p.Type == intstr.Int {
		return p.IntValue(), nil
	}
	for _, have := range t.Ports {
		if have.Name == p.StrVal {
			return int(have.ContainerPort), nil
		}
	}
	n, err := strconv.Atoi(p.StrVal)
	if err != nil {
		return 0, fmt.Errorf("the container has no port named %q", p.StrVal)
	}
	return n, nil
}
