package datapath

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// relay is a listener in user space on the edge: it hands connections to a
// target, from the load balancer's address or from the client's.
func (s *site) relay(t *testing.T, at, target string, transparent bool) {
	t.Helper()
	listen := net.ListenConfig{Control: option(unix.SOL_IP, unix.IP_FREEBIND, unix.SOL_IPV6, unix.IPV6_FREEBIND)}
	var ln net.Listener
	err := netlab.In(s.prefix+"edge", func() (err error) { ln, err = listen.Listen(t.Context(), "tcp", at); return err })
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context() // ends before cleanups
	var working sync.WaitGroup
	t.Cleanup(func() { ln.Close(); working.Wait() })
	working.Go(func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			working.Go(func() { s.pass(ctx, c, at, target, transparent) })
		}
	})
}

// pass carries a connection until both sides have ended or ctx has.
func (s *site) pass(ctx context.Context, client net.Conn, at, target string, transparent bool) {
	defer client.Close()
	from := netip.AddrPortFrom(netip.MustParseAddrPort(at).Addr(), 0)
	dialer := net.Dialer{Control: option(unix.SOL_IP, unix.IP_FREEBIND, unix.SOL_IPV6, unix.IPV6_FREEBIND)}
	if transparent {
		from = client.RemoteAddr().(*net.TCPAddr).AddrPort()
		dialer.Control = option(unix.SOL_IP, unix.IP_TRANSPARENT, unix.SOL_IPV6, unix.IPV6_TRANSPARENT)
	}
	dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
	var c net.Conn
	err := netlab.In(s.prefix+"edge", func() (err error) { c, err = dialer.DialContext(ctx, "tcp", target); return err })
	if err != nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { client.Close(); c.Close() })()
	var upload sync.WaitGroup
	upload.Go(func() { _, _ = io.Copy(c, client); _ = c.(*net.TCPConn).CloseWrite() })
	_, _ = io.Copy(client, c)
	client.Close() // the target has ended; what the client still says is for nobody
	upload.Wait()
}

// option switches a socket option of either family on before a socket is bound.
func option(level4, name4, level6, name6 int) func(string, string, syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			if network == "tcp6" {
				_ = unix.SetsockoptInt(int(fd), level6, name6, 1)
			} else {
				_ = unix.SetsockoptInt(int(fd), level4, name4, 1)
			}
		})
	}
}

// mixed serves ports 81 and 82 of both addresses in user space, and port 80 by
// packets with source NAT, all by the same targets.
func mixed() Input {
	snap := snapshot()
	in := Input{Snapshot: snap, Health: healthy(snap), Now: time.Now(), Userspace: map[netip.AddrPort]bool{}}
	for i := range snap.LoadBalancers {
		snap.TargetGroups[i].PreserveClientIP = false
		b := &snap.LoadBalancers[i]
		addr := b.IPv4
		if !addr.IsValid() {
			addr = b.IPv6
		}
		for _, port := range []uint16{81, 82} {
			l := b.Listeners[0]
			l.ARN, l.Port = l.ARN+string(rune('0'+port-80)), port
			b.Listeners = append(b.Listeners, l)
			in.Userspace[netip.AddrPortFrom(addr, port)] = true
		}
	}
	return in
}

// install applies tables as an edge does.
func install(t *testing.T, d *Datapath, in Input) {
	t.Helper()
	tables := Desired(in)
	if err := errors.Join(d.Prepare(t.Context(), tables), d.Apply(t.Context(), tables)); err != nil {
		t.Fatal(err)
	}
}

func TestListenersInUserSpaceBesidePackets(t *testing.T) {
	s, d, stop := servingSite(t)
	defer stop()
	install(t, d, mixed())
	if err := d.sockets.link.Detach(); err != nil { // by someone else
		t.Fatal(err)
	}
	if err := d.reattach(); err != nil {
		t.Fatal(err)
	}
	for vip, target := range map[string]string{vip4: "198.18.0.21:8080", "[" + vip6 + "]": "[2001:db8::21]:8080"} {
		s.relay(t, vip+":81", target, false)
		s.relay(t, vip+":82", target, true)
		own := netip.MustParseAddrPort(vip + ":80").Addr()
		for range 10 {
			byPackets, bySocket, asClient := s.dial(t, "client", vip+":80"), s.dial(t, "client", vip+":81"), s.dial(t, "client", vip+":82")
			if seen := netip.MustParseAddrPort(byPackets.ask(t, "x")[1]); seen.Addr() != own || seen.Port() >= 32768 {
				t.Errorf("by packets a target sees %s, want %s and a port below the kernel's", seen, own)
			}
			if seen := netip.MustParseAddrPort(bySocket.ask(t, "x")[1]); seen.Addr() != own || seen.Port() < 32768 {
				t.Errorf("from a socket a target sees %s, want %s and a port of the kernel's", seen, own)
			}
			if seen := asClient.ask(t, "x")[1]; seen != asClient.LocalAddr().String() {
				t.Errorf("from a transparent socket a target sees %s, want the client %s", seen, asClient.LocalAddr())
			}
		}
	}
}

// Should the program be taken off the uplink, the kernel has addresses of load
// balancers that it knows no connections of, and must not say so to the clients.
func TestTheKernelResetsNoFlowOfTheProgram(t *testing.T) {
	s, d, stop := servingSite(t)
	defer stop()
	install(t, d, mixed())
	for _, vip := range []string{vip4, "[" + vip6 + "]"} {
		c := s.dial(t, "client", vip+":80")
		c.ask(t, "before")
		if err := d.at.link.Detach(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "meanwhile\n"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := c.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s without its program: %v, want silence", vip, err)
		}
		if err := d.reattach(); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.r.ReadString('\n'); err != nil {
			t.Errorf("%s after its program came back: %v", vip, err)
		}
	}
}

func TestTheKernelKeepsNothingOfListenersThatLeft(t *testing.T) {
	s := newSite(t)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	install(t, d, mixed())
	if routes, rules := s.kernelState(t); routes != 2 || rules != 2 {
		t.Errorf("%d local addresses and %d rules, want one of each family", routes, rules)
	}
	in := mixed()
	in.Userspace = nil
	install(t, d, in)
	if routes, rules := s.kernelState(t); routes != 0 || rules != 0 {
		t.Errorf("%d local addresses and %d rules are left", routes, rules)
	}
	install(t, d, mixed())
	if err := d.Detach(); err != nil {
		t.Fatal(err)
	}
	if routes, rules := s.kernelState(t); routes != 0 || rules != 0 {
		t.Errorf("%d local addresses and %d rules are left after Detach", routes, rules)
	}
}

// kernelState counts our local addresses and rules on the edge.
func (s *site) kernelState(t *testing.T) (addresses, rules int) {
	t.Helper()
	err := netlab.In(s.prefix+"edge", func() error {
		have, err := localRoutes()
		addresses = len(have)
		for _, family := range families() {
			all, err2 := netlink.RuleListFiltered(family, &netlink.Rule{Table: localTable}, netlink.RT_FILTER_TABLE)
			rules += len(all)
			err = errors.Join(err, err2)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return addresses, rules
}
