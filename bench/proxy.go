package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

const (
	proxyAim    = 1.0 // ours over the better of the two peers
	tlsPort     = 443
	proxyRounds = 8
)

// proxyHops are TCP and TLS proxies with one certificate for all, each on a
// machine of its own, with their defaults but for bounds of connections.
func proxyHops() ([]hop, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	target := targetAddress(0)
	idle := netip.AddrPortFrom(target.Addr(), idlePort)
	served, err := json.Marshal([]servedListener{
		{Port: listenPort, Target: target}, {Port: tlsPort, Target: target, Certificate: "DIR/both.pem"}, {Port: idlePort, Target: idle},
	})
	if err != nil {
		return nil, err
	}
	at := func(host int) string { return hostAddress(host).String() }
	return []hop{
		{name: "fairlead", ours: true, host: 4, address: at(4), program: []string{self, serveProxyCommand, "FILE"}, config: string(served)},
		{name: "haproxy_tcp", host: 7, address: at(7), program: []string{"haproxy", "-db", "-f", "FILE"},
			config: fmt.Sprintf("global\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"+
				"listen lb\n bind :%d\n bind :%d ssl crt DIR/both.pem\n server target %s\n", listenPort, tlsPort, target)},
		{name: "nginx_stream", host: 8, address: at(8), program: nginx(),
			config: fmt.Sprintf("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nuser root;\npid DIR/stream.pid;\nerror_log DIR/stream.log;\nworker_processes auto;\nevents { worker_connections 8000; }\n"+
				"stream { server { listen %d; proxy_pass %s; } server { listen %d ssl; ssl_certificate DIR/both.pem; ssl_certificate_key DIR/both.pem; ssl_protocols TLSv1.2 TLSv1.3; proxy_pass %s; } }\n",
				listenPort, target, tlsPort, target)},
	}, nil
}

// writeProxyFiles puts into dir what the proxies and the target serve.
func writeProxyFiles(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return errors.Join(os.WriteFile(filepath.Join(dir, "both.pem"), both, 0o600), writeLarge(dir))
}

// proxyLoad is a way to use the proxies, and what of the result counts.
type proxyLoad struct {
	name   string
	scheme string
	path   string
	figure figure
	load   load
}

func proxyLoads() []proxyLoad {
	short := load{seconds: 2, connections: 32, args: []string{"-H", "Connection: close"}}
	long := load{seconds: 2, connections: 4, args: []string{"--timeout", "30s"}} // large answers take long on a busy machine
	return []proxyLoad{
		{"proxy.tcp.connections", "http", "/", rate(), short},
		{"proxy.tcp.requests", "http", "/", rate(), load{seconds: 2, connections: 32}},
		{"proxy.tcp.bytes", "http", "/large", bytesRate(), long},
		{"proxy.tls.handshakes", "https", "/", rate(), short},
		{"proxy.tls.bytes", "https", "/large", bytesRate(), long},
	}
}

// at is the hop as the load sees it.
func (l proxyLoad) at(h hop) hop {
	port := listenPort
	if l.scheme == "https" {
		port = tlsPort
	}
	h.address = fmt.Sprintf("%s://%s:%d%s", l.scheme, h.address, port, l.path)
	return h
}

// proxies measures TCP and TLS listeners beside HAProxy and nginx, and what idle
// connections cost.
func proxies(ctx context.Context, _ programs) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hops, err := proxyHops()
	if err != nil {
		return nil, err
	}
	if err := writeProxyFiles(dir); err != nil {
		return nil, err
	}
	s := newSegment("proxy", dir, 1, 1, hops)
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx, hops); err != nil {
		return nil, err
	}
	idle, err := s.idleConnections(ctx, hops[0])
	if err != nil {
		return nil, fmt.Errorf("idle connections: %w", err)
	}
	for _, l := range proxyLoads() {
		r, err := s.proxyRows(ctx, l, hops)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r...)
	}
	return append(rows, idle...), nil
}

// proxyRows loads all hops in turn and sets ours beside each peer and beside the
// better one of each round.
func (s *segment) proxyRows(ctx context.Context, l proxyLoad, hops []hop) ([]Row, error) {
	results, err := s.rounds(proxyRounds, l.name, hops, func(h hop) (result, error) { return s.wrk(ctx, l.at(h), l.load) })
	if err != nil {
		return nil, err
	}
	values := l.figure.values(results)
	ours := values[hops[0].name]
	row := paired(Row{Name: l.name, Unit: l.figure.unit}, ours, better(hops[1:], values), "the better of both")
	if l.name != "proxy.tcp.requests" {
		row = row.atLeastOfPeer(proxyAim)
	}
	rows := []Row{row}
	for _, h := range hops[1:] {
		rows = append(rows, paired(Row{Name: l.name + "." + h.name, Unit: l.figure.unit}, ours, values[h.name], h.name))
	}
	return rows, nil
}
