package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// hops are ours, kernel routing without a load balancer, and the peers.
func hops(targets int) []hop {
	each := func(format string) (lines string) {
		for i := range targets {
			lines += fmt.Sprintf(format, i, targetAddress(i))
		}
		return lines
	}
	return []hop{
		{name: "fairlead", ours: true, xdp: true, host: 4, address: fmt.Sprintf("%s:%d", vip4, listenPort)},
		{name: "kernel_routing", aim: 1.05, tailAim: 1, host: 5, forward: true},
		{name: "kernel_routing_behind_xdp", host: 9, forward: true, xdp: true},
		{name: "nftables_dnat", aim: 1.25, host: 6, address: onHost(6, listenPort), forward: true, program: []string{"nft", "-f", "FILE"}, config: nftables(targets)},
		{name: "haproxy_tcp", aim: 2.3, host: 7, address: onHost(7, listenPort), tcpOnly: true, program: []string{"haproxy", "-db", "-f", "FILE"},
			config: fmt.Sprintf("global\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\nlisten lb\n bind :%d\n%s", listenPort, each(" server target%d %s\n"))},
		{name: "nginx_stream", host: 8, address: onHost(8, listenPort), program: nginx(),
			config: fmt.Sprintf("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nuser root;\npid DIR/stream.pid;\nerror_log DIR/stream.log;\nworker_processes auto;\nevents { worker_connections 8000; }\n"+
				"stream {\n upstream targets {\n%s }\n server { listen %d; proxy_pass targets; } server { listen %d udp reuseport; proxy_pass targets; } }\n",
				each(" server %[2]s;\n"), listenPort, listenPort)},
	}
}

// nftables gives each new flow to the next target.
func nftables(targets int) string {
	var elements []string
	for i := range targets {
		elements = append(elements, fmt.Sprintf("%d : %s", i, targetAddress(i).Addr()))
	}
	return fmt.Sprintf("table ip nat {\n chain pre {\n  type nat hook prerouting priority dstnat;\n"+
		"  ip daddr %s meta l4proto { tcp, udp } th dport %d dnat to numgen inc mod %d map { %s } : %d\n }\n}\n",
		hostAddress(6), listenPort, targets, strings.Join(elements, ", "), targetPort)
}

func nginx() []string { return []string{"nginx", "-c", "FILE", "-g", "daemon off;"} }

// webServer is a target: it answers from memory, and sends a large file.
func webServer(i int) hop {
	name := fmt.Sprintf("target%d", i)
	return hop{name: name, host: chainTarget + i, program: nginx(),
		config: fmt.Sprintf("user root;\npid DIR/%s.pid;\nerror_log DIR/%s.log;\nworker_processes 1;\nevents { worker_connections 8000; }\n"+
			"http { access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 600s; server { listen %d reuseport backlog=4096;"+
			" location / { return 200 \"hello\\n\"; } location = /large { root DIR; } } }\n", name, name, targetPort)}
}

// chain measures what a client sees of each hop to a target.
func chain(ctx context.Context, _ programs) ([]Row, error) { return throughHops(ctx, "chain", 1, 1) }

// fan measures what eight clients see of each hop to four targets.
func fan(ctx context.Context, _ programs) ([]Row, error) {
	return throughHops(ctx, "fan", mostClients, 4)
}

func throughHops(ctx context.Context, name string, clients, targets int) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := writeLarge(dir); err != nil {
		return nil, err
	}
	hops := hops(targets)
	s := newSegment(name, dir, clients, targets, hops)
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx, hops); err != nil {
		return nil, err
	}
	echoes, err := s.serveEchoes()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, echoes.close()) }()
	e, err := openEdge(ctx, s.machine(hops[0]), 0, snapshotOf(s.targetAddresses()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	return s.compare(ctx, "datapath."+name+".", hops)
}

func (s *segment) targetAddresses() []netip.Addr {
	var all []netip.Addr
	for i := range s.targets {
		all = append(all, targetAddress(i).Addr())
	}
	return all
}
