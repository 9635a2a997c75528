package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

const httpAim = 0.6 // ours over the better of the two peers, requests a second

// httpHops are the HTTP proxies that append X-Forwarded-For and keep connections
// to the target, each on a machine of its own.
func httpHops() ([]hop, error) {
	target := targetAddress(0)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	served, err := json.Marshal([]servedListener{{Port: listenPort, Target: target, Protocol: lb.HTTP}})
	if err != nil {
		return nil, err
	}
	return []hop{
		{name: "fairlead", ours: true, host: 4, address: onHost(4, listenPort), program: []string{self, serveProxyCommand, "FILE"}, config: string(served)},
		{name: "haproxy_http", host: 7, address: onHost(7, listenPort), program: []string{"haproxy", "-db", "-f", "FILE"},
			config: fmt.Sprintf("global\n maxconn 8000\ndefaults\n mode http\n option forwardfor\n http-reuse always\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"+
				"listen lb\n bind :%d\n server target %s\n", listenPort, target)},
		{name: "nginx_http", host: 8, address: onHost(8, listenPort), program: nginx(),
			config: fmt.Sprintf("user root;\npid DIR/http.pid;\nerror_log DIR/http.log;\nworker_processes auto;\nevents { worker_connections 8000; }\n"+
				"http { access_log off; keepalive_requests 1000000000;\n upstream lb { server %s; keepalive 256; keepalive_requests 1000000000; }\n"+
				" server { listen %d; location / { proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_pass http://lb; } } }\n", target, listenPort)},
	}, nil
}

// proxyHTTP measures requests through an HTTP listener and through its peers.
func proxyHTTP(ctx context.Context, _ programs) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hops, err := httpHops()
	if err != nil {
		return nil, err
	}
	s := newSegment("http", dir, 1, 1, hops)
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx, hops); err != nil {
		return nil, err
	}
	for _, l := range []load{keepAlive(), connections()} {
		results, err := s.rounds(chainRounds, l.name, hops, func(h hop) (result, error) { return s.wrk(ctx, h, l) })
		if err != nil {
			return nil, err
		}
		rows = append(rows, httpRows(l, hops, results)...)
	}
	return rows, nil
}

// httpRows sets our results beside each peer's, and the rate beside the better
// peer's of each round: ratios of pairs, since what disturbs a round disturbs all.
func httpRows(l load, hops []hop, results map[string][]result) []Row {
	var rows []Row
	for _, f := range timesAndRate() {
		values := f.values(results)
		name := "proxy.http." + l.name + "." + f.name
		for _, h := range hops[1:] {
			rows = append(rows, paired(Row{Name: name + "." + h.name, Unit: f.unit}, values[hops[0].name], values[h.name], h.name))
		}
		if f.name == "rate" {
			row := paired(Row{Name: name, Unit: f.unit}, values[hops[0].name], better(hops[1:], values), "the better of both")
			if l.name == "keepalive" {
				row = row.atLeastOfPeer(httpAim)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// better is the highest value of each round.
func better(peers []hop, values map[string][]float64) []float64 {
	best := slices.Clone(values[peers[0].name])
	for _, h := range peers[1:] {
		for i, v := range values[h.name] {
			best[i] = max(best[i], v)
		}
	}
	return best
}
