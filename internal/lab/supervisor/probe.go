package supervisor

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	probeInterval = 50 * time.Millisecond // no process tells when it serves
	probeTimeout  = 2 * time.Second
)

// awaitProbe closes serving when the probe succeeds, and gives up with ctx.
func awaitProbe(ctx context.Context, namespace string, p component.Probe, serving chan<- struct{}) {
	client := httpClient(namespace)
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		if ask(ctx, client, namespace, p) == nil {
			close(serving)
			return
		}
		select {
		case <-time.After(probeInterval):
		case <-ctx.Done():
		}
	}
}

// Ask probes a component once.
func Ask(ctx context.Context, namespace string, p component.Probe) error {
	client := httpClient(namespace)
	defer client.CloseIdleConnections()
	return ask(ctx, client, namespace, p)
}

func ask(ctx context.Context, client *http.Client, namespace string, p component.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	switch {
	case p.URL != "":
		return askHTTP(ctx, client, p.URL)
	case p.TCP != "":
		conn, err := netlab.Dial(ctx, namespace, "tcp", p.TCP)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return nil
}

func askHTTP(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 512))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers %s: %.200s", url, resp.Status, body)
	}
	return nil
}

// httpClient connects from within a namespace. Several components show
// certificates that they made themselves; what is asked is no secret and who
// answers in the lab's own namespace is no stranger.
func httpClient(namespace string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return netlab.Dial(ctx, namespace, network, address)
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: 1,
	}}
}
