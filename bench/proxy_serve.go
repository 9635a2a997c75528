package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/httplb"
)

// serveProxyCommand makes this program the proxy that is measured: a process of
// its own, as its peers are.
const serveProxyCommand = "serve-proxy"

// servedListener is a listener of the measured proxy, on all addresses.
type servedListener struct {
	Port        uint16         `json:"port"`
	Target      netip.AddrPort `json:"target"`
	Certificate string         `json:"certificate"` // file with certificate and key; empty: no TLS
	Protocol    lb.Protocol    `json:"protocol"`    // empty: TCP, or TLS with a certificate
}

// serveProxy serves what the file says until ctx ends.
func serveProxy(ctx context.Context, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var served []servedListener
	if err := json.Unmarshal(data, &served); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	var cfg proxy.Config
	for _, s := range served {
		l, err := s.listener()
		if err != nil {
			return err
		}
		cfg.Listeners = append(cfg.Listeners, l)
	}
	handler, err := httplb.New(httplb.Options{})
	if err != nil {
		return err
	}
	defer handler.Close()
	loops := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(loops + 1) // as the edge does
	server, err := proxy.New(proxy.Options{Loops: loops, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), HTTP: handler})
	if err != nil {
		return err
	}
	if err := server.Apply(ctx, cfg); err != nil {
		return err
	}
	if err := server.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s servedListener) listener() (proxy.Listener, error) {
	l := proxy.Listener{
		Balancer: "bench", Protocol: lb.TCP, IdleTimeout: 350 * time.Second,
		Address: netip.AddrPortFrom(netip.IPv4Unspecified(), s.Port),
		Forward: []proxy.Pool{{Key: "bench", Protocol: lb.TCP, Targets: []proxy.Target{{ID: "target", Addr: s.Target, Eligible: true, Healthy: true}}}},
	}
	if s.Protocol == lb.HTTP {
		l.Protocol, l.Forward[0].Protocol, l.Forward[0].Balance = lb.HTTP, lb.HTTP, proxy.LeastOutstanding
	}
	if s.Certificate == "" {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(s.Certificate, s.Certificate)
	if err != nil {
		return l, err
	}
	policy, _, err := proxy.PredefinedPolicy("ELBSecurityPolicy-TLS13-1-2-2021-06")
	l.Protocol, l.TLS = lb.TLS, &proxy.ServerTLS{Certificates: []tls.Certificate{cert}, Policy: policy}
	return l, err
}
