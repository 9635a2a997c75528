package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/netlab"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

// network is a segment with an edge, a target with a pod behind it and a
// neighbour, and a client behind a router:
//
//	client ── router ── sw ── edge, target ── pod, neighbour
//
// The edge is a plain Linux router that translates VIP:80 to the target's node
// port (nftables), so connections work only when replies pass it as well. The
// target translates the node port to its pod, as kube-proxy does.
type network struct {
	prefix   string
	topology netlab.Topology
}

const (
	vip4, vip6       = "198.18.16.200", "2001:db8:0:1::200"
	node4, node6     = "198.18.16.16", "2001:db8:0:1::10"
	client4, client6 = "203.0.113.10", "3fff:0:0:2::10"
	near4, near6     = "198.18.16.17", "2001:db8:0:1::11"
)

func newNetwork(t *testing.T) network {
	t.Helper()
	p := netlabtest.Prefix(t)
	port := func(ns, name string, addrs ...string) netlab.Port {
		p := netlab.Port{Namespace: p + ns, Name: name}
		for _, s := range addrs {
			p.Addresses = append(p.Addresses, netip.MustParsePrefix(s))
		}
		return p
	}
	bridged := func(name string) netlab.Port { return netlab.Port{Namespace: p + "sw", Name: name, Bridge: "br0"} }
	via := func(s4, s6 string) []netlab.Route {
		return []netlab.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(s4)},
			{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr(s6)},
		}
	}
	routing := []netlab.Sysctl{
		{Key: "net/ipv4/ip_forward", Value: "1"},
		{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
		{Key: "net/ipv6/conf/default/forwarding", Value: "1"},
		{Key: "net/ipv4/conf/all/send_redirects", Value: "0"},
		{Key: "net/ipv4/conf/default/send_redirects", Value: "0"},
	}
	vpc := via("198.18.0.1", "2001:db8::1")
	n := network{p, netlab.Topology{
		Namespaces: []netlab.Namespace{
			{Name: p + "sw", Bridges: []string{"br0"}},
			{Name: p + "router", Sysctls: routing},
			{Name: p + "client", Routes: via("203.0.113.1", "3fff:0:0:2::1")},
			{Name: p + "edge", Sysctls: routing, Routes: vpc},
			{Name: p + "target", Sysctls: routing, Routes: vpc},
			{Name: p + "pod", Routes: via("198.18.17.1", "2001:db8:0:1:1::1")},
			{Name: p + "near", Routes: vpc},
		},
		Cables: []netlab.Cable{
			{A: bridged("router"), B: port("router", "eth0", "198.18.0.1/16", "2001:db8::1/32")},
			{A: port("router", "out", "203.0.113.1/24", "3fff:0:0:2::1/64"), B: port("client", "eth0", client4+"/24", client6+"/64")},
			{A: bridged("edge"), B: port("edge", "eth0", "198.18.16.4/16", "2001:db8:0:1::4/32", vip4+"/32", vip6+"/128")},
			{A: bridged("target"), B: port("target", "eth0", node4+"/16", node6+"/32")},
			{A: port("target", "pod0", "198.18.17.1/24", "2001:db8:0:1:1::1/80"), B: port("pod", "eth0", "198.18.17.2/24", "2001:db8:0:1:1::2/80")},
			{A: bridged("near"), B: port("near", "eth0", near4+"/16", near6+"/32")},
		},
	}}
	if err := netlab.Apply(n.topology); err != nil {
		t.Fatal(err)
	}
	for _, proto := range []string{"tcp", "udp"} {
		n.nft(t, "edge", "ip daddr "+vip4+" "+proto+" dport 80 dnat ip to "+node4+":30080")
		n.nft(t, "edge", "ip6 daddr "+vip6+" "+proto+" dport 80 dnat ip6 to ["+node6+"]:30080")
		n.nft(t, "target", "ip daddr "+node4+" "+proto+" dport 30080 dnat ip to 198.18.17.2:8080")
		n.nft(t, "target", "ip6 daddr "+node6+" "+proto+" dport 30080 dnat ip6 to [2001:db8:0:1:1::2]:8080")
	}
	return n
}

// nft adds a rule for packets that come into the namespace.
func (n network) nft(t *testing.T, ns, rule string) {
	t.Helper()
	n.exec(t, ns, "nft", "add table inet test; add chain inet test in { type nat hook prerouting priority -100; }; add rule inet test in "+rule)
}

func (n network) exec(t *testing.T, ns string, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	err := netlab.In(n.prefix+ns, func() error {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	if err != nil {
		t.Fatalf("%s: %v: %v\n%s", ns, argv, err, out.String())
	}
	return out.String()
}

// helper runs the node helper on the target until stop or the test's end.
func (n network) helper(t *testing.T, pinDir string) (stop func()) {
	t.Helper()
	stop, _ = n.helperWithLog(t, pinDir)
	return stop
}

func (n network) helperWithLog(t *testing.T, pinDir string) (stop func(), log messages) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log, done := make(messages, 100), make(chan error, 1)
	go func() {
		done <- netlab.In(n.prefix+"target", func() error {
			h, err := Open(Config{Interface: "eth0", PinDir: pinDir, MaxFlows: 1024, Log: slog.New(log)})
			if err != nil {
				return err
			}
			return errors.Join(h.Run(ctx), h.Close())
		})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	}
	t.Cleanup(stop)
	log.wait(t, "replies go back")
	return stop, log
}

// messages is a log to wait on.
type messages chan string

func (m messages) wait(t *testing.T, prefix string) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case message := <-m:
			if strings.HasPrefix(message, prefix) {
				return
			}
		case <-late:
			t.Fatalf("the helper does not log %q", prefix)
		}
	}
}

func (m messages) Enabled(context.Context, slog.Level) bool { return true }
func (m messages) WithAttrs([]slog.Attr) slog.Handler       { return m }
func (m messages) WithGroup(string) slog.Handler            { return m }
func (m messages) Handle(_ context.Context, r slog.Record) error {
	m <- r.Message
	return nil
}

// pinDir returns a place for pins that is gone when the test is over.
func pinDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pins")
	t.Cleanup(func() {
		if err := Detach(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// echo answers on port 8080 with the peer's address and then with
// whatever it is sent.
func (n network) echo(t *testing.T) { t.Helper(); n.echoIn(t, "pod") }

func (n network) echoIn(t *testing.T, ns string) {
	t.Helper()
	var tcp net.Listener
	var udp *net.UDPConn
	err := netlab.In(n.prefix+ns, func() (err error) {
		if tcp, err = net.Listen("tcp", ":8080"); err == nil {
			udp, err = net.ListenUDP("udp", &net.UDPAddr{Port: 8080})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); udp.Close() })
	go func() {
		for conn, err := tcp.Accept(); err == nil; conn, err = tcp.Accept() {
			go func() {
				defer conn.Close()
				io.WriteString(conn, conn.RemoteAddr().String()+"\n")
				io.Copy(conn, conn)
			}()
		}
	}()
	go func() {
		buf := make([]byte, 1<<16)
		for size, peer, err := udp.ReadFrom(buf); err == nil; size, peer, err = udp.ReadFrom(buf) {
			udp.WriteTo(append(buf[:size:size], peer.String()...), peer)
		}
	}()
}

const patience = time.Minute // for a connection that must come about

func (n network) dial(t *testing.T, ns, network, addr string, timeout time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	conn, err := netlab.Dial(ctx, n.prefix+ns, network, addr)
	if err == nil {
		conn.SetDeadline(time.Now().Add(timeout))
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// connect opens a TCP connection and proves that the pod sees the client.
func (n network) connect(t *testing.T, ns, addr string) net.Conn {
	t.Helper()
	conn, err := n.dial(t, ns, "tcp", addr, patience)
	if err != nil {
		t.Fatalf("%s: %v", ns, err)
	}
	want := conn.LocalAddr().String() + "\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("the pod greets with %q (%v), want the client's own address %q", got, err, want)
	}
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("echo of %d bytes: %v, equal %v", len(text), err, string(got) == text)
	}
}
