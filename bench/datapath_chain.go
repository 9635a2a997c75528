package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// hop is one way for requests to get from a client to the target. Each has a
// client and a machine of its own on the segment, so that nothing has to be set
// up anew between two measurements. Machines have the offloads that the kernel
// gives them, but for those with XDP: to them frames come as from a wire.
type hop struct {
	name    string
	ours    bool
	aim     float64 // ours over this one, requests a second; 0: none
	host    int     // of its machine; the client's is ten more
	address string  // that clients connect to
	xdp     bool    // both ends of the machine's cable have XDP programs, as ours must
	forward bool    // the machine routes, the target answers through it
	program []string
	config  string // of the program; FILE in its arguments stands for the path
}

const chainTarget = 100

func hops() []hop {
	target := fmt.Sprintf("198.18.0.%d:%d", chainTarget, targetPort)
	at := func(host int) string { return fmt.Sprintf("198.18.0.%d:%d", host, listenPort) }
	return []hop{
		{name: "fairlead", ours: true, xdp: true, host: 4, address: fmt.Sprintf("%s:%d", vip4, listenPort)},
		{name: "kernel_routing", aim: 1.05, host: 5, address: target, forward: true},
		{name: "kernel_routing_behind_xdp", host: 9, address: target, forward: true, xdp: true},
		{name: "nftables_dnat", aim: 1.25, host: 6, address: at(6), forward: true, program: []string{"nft", "-f", "FILE"},
			config: fmt.Sprintf("table ip nat {\n chain pre {\n  type nat hook prerouting priority dstnat;\n  ip daddr 198.18.0.6 tcp dport %d dnat to %s\n }\n}\n", listenPort, target)},
		{name: "haproxy_tcp", aim: 2.3, host: 7, address: at(7), program: []string{"haproxy", "-db", "-f", "FILE"},
			config: fmt.Sprintf("global\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\nlisten lb\n bind :%d\n server target %s\n", listenPort, target)},
		{name: "nginx_stream", host: 8, address: at(8), program: nginx(),
			config: fmt.Sprintf("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nuser root;\npid DIR/stream.pid;\nerror_log DIR/stream.log;\nworker_processes auto;\nevents { worker_connections 8000; }\nstream { server { listen %d; proxy_pass %s; } }\n", listenPort, target)},
	}
}

func nginx() []string { return []string{"nginx", "-c", "FILE", "-g", "daemon off;"} }

// webServer is the target: it answers from memory.
func webServer() hop {
	return hop{name: "target", host: chainTarget, program: nginx(),
		config: fmt.Sprintf("user root;\npid DIR/target.pid;\nerror_log DIR/target.log;\nworker_processes 1;\nevents { worker_connections 8000; }\n"+
			"http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; server { listen %d reuseport backlog=4096; location / { return 200 \"hello\\n\"; } } }\n", targetPort)}
}

// segment is the network of a chain: everything on one bridge, as in a VPC's subnet.
type segment struct {
	prefix   string
	dir      string
	network  netlab.Topology
	launcher *netlab.Launcher
	servers  []command
}

func (s *segment) machine(h hop) string { return s.prefix + strings.ReplaceAll(h.name, "_", "-") }
func (s *segment) client(h hop) string  { return s.machine(h) + "-client" }

func newSegment(dir string) *segment {
	s := &segment{prefix: fmt.Sprintf("flchain%d-", os.Getpid()), dir: dir, launcher: netlab.NewLauncher()}
	bridge := netlab.Namespace{Name: s.prefix + "bridge", Bridges: []string{"br0"}}
	target := netlab.Namespace{Name: s.machine(webServer())}
	s.network.Namespaces = append(s.network.Namespaces, bridge)
	s.join(target.Name, "target", chainTarget, hop{})
	for _, h := range hops() {
		via := netip.MustParseAddr(fmt.Sprintf("198.18.0.%d", h.host))
		client := netlab.Namespace{Name: s.client(h), Sysctls: []netlab.Sysctl{{Key: "net/ipv4/ip_local_port_range", Value: "1024 65535"}}}
		machine := netlab.Namespace{Name: s.machine(h), Sysctls: client.Sysctls}
		if h.forward {
			machine.Sysctls = append(forwarding(), machine.Sysctls...)
			client.Routes = append(client.Routes, netlab.Route{To: netip.MustParsePrefix(fmt.Sprintf("198.18.0.%d/32", chainTarget)), Via: via})
		}
		if h.forward || h.ours {
			target.Routes = append(target.Routes, netlab.Route{To: netip.MustParsePrefix(fmt.Sprintf("198.18.0.%d/32", h.host+10)), Via: via})
		}
		s.network.Namespaces = append(s.network.Namespaces, machine, client)
		s.join(machine.Name, fmt.Sprintf("m%d", h.host), h.host, h)
		s.join(client.Name, fmt.Sprintf("c%d", h.host), h.host+10, hop{})
	}
	s.network.Namespaces = append(s.network.Namespaces, target)
	return s
}

// forwarding lets a machine send packets back to the segment that they came from.
func forwarding() []netlab.Sysctl {
	return []netlab.Sysctl{
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv4/conf/all/send_redirects", Value: "0"}, {Key: "net/ipv4/conf/default/send_redirects", Value: "0"},
	}
}

// join connects a namespace to the bridge.
func (s *segment) join(namespace, port string, host int, h hop) {
	s.network.Cables = append(s.network.Cables, netlab.Cable{
		A: netlab.Port{Namespace: s.prefix + "bridge", Name: port, Bridge: "br0", FacesXDP: h.xdp},
		B: netlab.Port{Namespace: namespace, Name: "eth0", Addresses: onSegment(host)[:1], FacesXDP: h.xdp && !h.ours},
	})
}

// start runs a machine's program. One that configures the kernel has ended when
// start returns, others accept connections.
func (s *segment) start(ctx context.Context, h hop) error {
	file := filepath.Join(s.dir, h.name+".conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(h.config, "DIR", s.dir)), 0o600); err != nil {
		return err
	}
	path, err := netlab.LookPath(h.program[0])
	if err != nil {
		return fmt.Errorf("find a peer: %w; next: scripts/install-packages.sh bench", err)
	}
	args := append([]string{}, h.program[1:]...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "FILE", file)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.launcher.Start(cmd, s.machine(h)); err != nil {
		return err
	}
	if h.program[0] == "nft" {
		return cmd.Wait()
	}
	s.servers = append(s.servers, command{cmd})
	return s.await(ctx, h)
}

// await returns when the program of a machine accepts connections.
func (s *segment) await(ctx context.Context, h hop) error {
	port := listenPort
	if h.host == chainTarget {
		port = targetPort
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		var c net.Conn
		c, err := netlab.Dial(ctx, s.machine(h), "tcp", fmt.Sprintf("198.18.0.%d:%d", h.host, port))
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not listen: %w", h.name, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *segment) close() error {
	for _, p := range s.servers {
		p.Stop()
	}
	s.launcher.Close()
	return deleteNetwork(s.network)
}

// chain measures what users see: requests through each hop, round by round.
func chain(ctx context.Context, _ programs) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := newSegment(dir)
	defer func() { err = errors.Join(err, s.close()) }()
	if err := netlab.Apply(s.network); err != nil {
		return nil, err
	}
	if err := s.start(ctx, webServer()); err != nil {
		return nil, err
	}
	for _, h := range hops() {
		if h.program == nil {
			continue
		}
		if err := s.start(ctx, h); err != nil {
			return nil, err
		}
	}
	e, err := openEdge(ctx, s.machine(hops()[0]), 0, snapshotOf([]netip.Addr{netip.MustParseAddr(fmt.Sprintf("198.18.0.%d", chainTarget))}))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	return s.compare(ctx)
}
