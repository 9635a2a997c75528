package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// hop is one way for requests to get from clients to targets. Each has clients
// and a machine of its own on the segment, so that nothing has to be set up anew
// between two measurements. Machines have the offloads that the kernel gives
// them, but for those with XDP: to them frames come as from a wire.
type hop struct {
	name    string
	ours    bool
	aim     float64 // ours over this one, requests a second; 0: none
	tailAim float64 // the most of ours over this one, 99th percentile; 0: none
	host    int     // of its machine, from firstMachine
	address string  // that clients connect to; empty: those of the targets, each client another
	xdp     bool    // both ends of the machine's cable have XDP programs, as ours must
	forward bool    // the machine routes, targets answer through it
	tcpOnly bool
	program []string
	config  string // of the program; FILE in its arguments stands for the path
}

// segment is a network with everything on one bridge, as in a VPC's subnet.
type segment struct {
	prefix   string
	dir      string
	clients  int // of each hop
	targets  int
	network  netlab.Topology
	launcher *netlab.Launcher
	servers  []command
}

// Hosts of the segment. Machines have up to ten numbers, clients follow.
const (
	firstMachine = 4
	firstClient  = 20
	mostClients  = 8 // of a hop
	chainTarget  = 100
)

func (s *segment) machine(h hop) string       { return s.prefix + strings.ReplaceAll(h.name, "_", "-") }
func (s *segment) client(h hop, i int) string { return fmt.Sprintf("%s-client%d", s.machine(h), i) }

func clientHost(h hop, i int) int { return firstClient + mostClients*(h.host-firstMachine) + i }

// address is where a client of a hop connects to.
func (s *segment) address(h hop, client int) string {
	if h.address != "" {
		return h.address
	}
	return targetAddress(client % s.targets).String()
}

func targetAddress(i int) netip.AddrPort {
	return netip.AddrPortFrom(hostAddress(chainTarget+i), targetPort)
}

func hostAddress(host int) netip.Addr { return onSegment(host)[0].Addr() }

// onHost is a port of a host's address, to connect to.
func onHost(host int, port uint16) string {
	return netip.AddrPortFrom(hostAddress(host), port).String()
}

// newSegment has the machine and the clients of each hop, and targets.
func newSegment(name, dir string, clients, targets int, hops []hop) *segment {
	s := &segment{prefix: fmt.Sprintf("fl%s%d-", name, os.Getpid()), dir: dir, clients: clients, targets: targets, launcher: netlab.NewLauncher()}
	s.network.Namespaces = []netlab.Namespace{{Name: s.prefix + "bridge", Bridges: []string{"br0"}}}
	for i := range targets {
		s.add(netlab.Namespace{Name: s.machine(webServer(i))}, fmt.Sprintf("t%d", i), chainTarget+i, hop{})
	}
	for _, h := range hops {
		s.addHop(h)
	}
	return s
}

func (s *segment) addHop(h hop) {
	machine := netlab.Namespace{Name: s.machine(h), Sysctls: manyPorts()}
	if h.forward {
		machine.Sysctls = append(machine.Sysctls, forwarding()...)
	}
	s.add(machine, fmt.Sprintf("m%d", h.host), h.host, h)
	for i := range s.clients {
		host := clientHost(h, i)
		client := netlab.Namespace{Name: s.client(h, i), Sysctls: manyPorts()}
		if h.forward {
			client.Routes = s.routes(chainTarget, s.targets, h)
		}
		s.add(client, fmt.Sprintf("c%d", host), host, hop{})
	}
	if !h.forward && !h.ours {
		return
	}
	for i := range s.targets {
		target := &s.network.Namespaces[1+i] // the first is the bridge's
		target.Routes = append(target.Routes, s.routes(clientHost(h, 0), s.clients, h)...)
	}
}

// routes to some hosts lead through a hop.
func (s *segment) routes(first, count int, h hop) []netlab.Route {
	var routes []netlab.Route
	for i := range count {
		routes = append(routes, netlab.Route{To: netip.PrefixFrom(hostAddress(first+i), 32), Via: hostAddress(h.host)})
	}
	return routes
}

func manyPorts() []netlab.Sysctl {
	return []netlab.Sysctl{{Key: "net/ipv4/ip_local_port_range", Value: "1024 65535"}}
}

// forwarding lets a machine send packets back to the segment that they came from.
func forwarding() []netlab.Sysctl {
	return []netlab.Sysctl{
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv4/conf/all/send_redirects", Value: "0"}, {Key: "net/ipv4/conf/default/send_redirects", Value: "0"},
	}
}

// add connects a namespace to the bridge.
func (s *segment) add(namespace netlab.Namespace, port string, host int, h hop) {
	s.network.Namespaces = append(s.network.Namespaces, namespace)
	s.network.Cables = append(s.network.Cables, netlab.Cable{
		A: netlab.Port{Namespace: s.prefix + "bridge", Name: port, Bridge: "br0", FacesXDP: h.xdp},
		B: netlab.Port{Namespace: namespace.Name, Name: "eth0", Addresses: onSegment(host)[:1], FacesXDP: h.xdp && !h.ours},
	})
}

// open makes the network and starts what the targets and the hops' machines run.
func (s *segment) open(ctx context.Context, hops []hop) error {
	if err := netlab.Apply(s.network); err != nil {
		return err
	}
	for i := range s.targets {
		if err := s.start(ctx, webServer(i)); err != nil {
			return err
		}
	}
	for _, h := range hops {
		if h.program == nil {
			continue
		}
		if err := s.start(ctx, h); err != nil {
			return err
		}
	}
	return nil
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
	cmd.SysProcAttr = diesWithParent()
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
	address := onHost(h.host, listenPort)
	if h.host >= chainTarget {
		address = onHost(h.host, targetPort)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := netlab.Dial(ctx, s.machine(h), "tcp", address)
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
