package node

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

var clients = map[string]struct{ ns, addr string }{
	"IPv4 client behind a router": {"client", vip4 + ":80"},
	"IPv6 client behind a router": {"client", "[" + vip6 + "]:80"},
	"IPv4 client on the segment":  {"near", vip4 + ":80"},
	"IPv6 client on the segment":  {"near", "[" + vip6 + "]:80"},
}

func TestRepliesReturnThroughTheEdge(t *testing.T) {
	n := newNetwork(t)
	n.echo(t)
	if conn, err := n.dial(t, "client", "tcp", vip4+":80", time.Second); err == nil {
		conn.Close()
		t.Fatal("a connection works without the helper: the test proves nothing")
	}
	n.helper(t, pinDir(t))
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			t.Run("TCP", func(t *testing.T) {
				say(t, n.connect(t, c.ns, c.addr), strings.Repeat("x", 1<<20))
			})
			t.Run("UDP", func(t *testing.T) { n.datagrams(t, c.ns, c.addr, 10) })
			t.Run("UDP in fragments", func(t *testing.T) { n.datagrams(t, c.ns, c.addr, 9000) })
		})
	}
}

// datagrams sends a few of a size and wants each back with the sender's address.
func (n network) datagrams(t *testing.T, ns, addr string, size int) {
	t.Helper()
	conn, err := n.dial(t, ns, "udp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("x", size) + conn.LocalAddr().String()
	for i := range 3 {
		if _, err := conn.Write([]byte(want[:size])); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1<<16)
		read, err := conn.Read(got)
		if err != nil || string(got[:read]) != want {
			t.Fatalf("datagram %d: %d bytes back, want %d (%v)", i, read, len(want), err)
		}
	}
}

// Under policy Cluster the node that a flow arrives at may pass it on to another
// with its own address; replies come back to it and leave by the same uplink.
func TestRepliesThatAnotherNodeSendsReturnThroughTheEdge(t *testing.T) {
	n := newNetwork(t)
	n.nft(t, "edge", "ip daddr "+vip4+" tcp dport 81 dnat ip to "+node4+":30081")
	n.nft(t, "edge", "ip6 daddr "+vip6+" tcp dport 81 dnat ip6 to ["+node6+"]:30081")
	n.nft(t, "target", "ip daddr "+node4+" tcp dport 30081 dnat ip to "+near4+":8080")
	n.nft(t, "target", "ip6 daddr "+node6+" tcp dport 30081 dnat ip6 to ["+near6+"]:8080")
	n.exec(t, "target", "nft", "add chain inet test out { type nat hook postrouting priority 100; }; add rule inet test out tcp dport 8080 masquerade")
	n.echoIn(t, "near")
	n.helper(t, pinDir(t))
	for addr, sees := range map[string]string{vip4 + ":81": node4, "[" + vip6 + "]:81": node6} {
		conn, err := n.dial(t, "client", "tcp", addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		greeting, err := bufio.NewReader(io.LimitReader(conn, 64)).ReadString('\n')
		if err != nil || !strings.Contains(greeting, sees) {
			t.Fatalf("the pod sees %q (%v), want the node's address %s", greeting, err, sees)
		}
		say(t, conn, "through two nodes")
	}
}

func TestHelperFollowsAnInterfaceThatComesBack(t *testing.T) {
	n := newNetwork(t)
	n.echo(t)
	_, log := n.helperWithLog(t, pinDir(t))
	n.exec(t, "target", "ip", "link", "del", "eth0")
	if err := netlab.Apply(n.topology); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "attached to the interface that came back")
	say(t, n.connect(t, "client", vip4+":80"), "hello again")
}

func TestErrorsAboutAFlowReturnThroughTheEdge(t *testing.T) {
	n := newNetwork(t) // nothing listens in the pod: it answers port unreachable
	n.helper(t, pinDir(t))
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			conn, err := n.dial(t, c.ns, "udp", c.addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("anyone?")); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 16)); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("error = %v, want %v from the pod's ICMP message", err, unix.ECONNREFUSED)
			}
		})
	}
}

func TestFlowsOutliveTheProcessAndAreAdopted(t *testing.T) {
	n := newNetwork(t)
	n.echo(t)
	pins := pinDir(t)
	stop := n.helper(t, pins)
	conn := n.connect(t, "client", vip4+":80")
	say(t, conn, "with the helper")
	stop()
	say(t, conn, "without a process")
	say(t, n.connect(t, "near", vip4+":80"), "a new flow without a process")
	stop = n.helper(t, pins)
	say(t, conn, "after the restart")
	if got := n.attached(t); got != 2 {
		t.Errorf("%d programs attached after a restart, want 2", got)
	}
	stop()
	if err := Detach(pins); err != nil {
		t.Fatal(err)
	}
	if got := n.attached(t); got != 0 {
		t.Errorf("%d programs attached after Detach, want none", got)
	}
	if _, err := os.Stat(pins); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pins after Detach: %v", err)
	}
}

// attached counts the programs on the target's uplink.
func (n network) attached(t *testing.T) (count int) {
	t.Helper()
	err := netlab.In(n.prefix+"target", func() error {
		iface, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		for _, hook := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			found, err := link.QueryPrograms(link.QueryOptions{Target: iface.Index, Attach: hook})
			if err != nil {
				return err
			}
			count += len(found.Programs)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func TestFlowFollowsItsEdgeToAnotherMAC(t *testing.T) {
	n := newNetwork(t)
	n.echo(t)
	n.helper(t, pinDir(t))
	conn := n.connect(t, "client", vip4+":80")
	say(t, conn, "before")
	n.exec(t, "edge", "ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
	n.exec(t, "edge", "ip", "route", "replace", "default", "via", "198.18.0.1")
	n.exec(t, "router", "ip", "neigh", "flush", "all")
	say(t, conn, "after")
}

func TestTrafficThatPassesNoEdgeIsNotRemembered(t *testing.T) {
	n := newNetwork(t)
	n.echo(t)
	pins := pinDir(t)
	n.helper(t, pins)
	for _, c := range []struct{ ns, addr string }{
		{"client", node4 + ":30080"}, {"client", "[" + node6 + "]:30080"},
	} {
		say(t, n.connect(t, c.ns, c.addr), "straight to the node port")
	}
	for _, name := range []string{bpfMapNodeNewV1, bpfMapNodeFlowsV1} {
		if got := flows(t, pins, name); len(got) > 0 {
			t.Errorf("%s holds flows that pass no edge: %v", name, got)
		}
	}
}

// flows returns what a pinned map of flows holds.
func flows(t *testing.T, pins, name string) []bpfFlowKey {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(pins, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var keys []bpfFlowKey
	var key bpfFlowKey
	var value bpfFlowValue
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		keys = append(keys, key)
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestClosedConnectionIsForgotten(t *testing.T) {
	ends := map[string]func(*net.TCPConn){
		"by FIN": func(c *net.TCPConn) { c.CloseWrite(); io.Copy(io.Discard, c) },
		"by RST": func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.echo(t)
			pins := pinDir(t)
			n.helper(t, pins)
			conn := n.connect(t, "client", vip4+":80")
			say(t, conn, "hello")
			if got := flows(t, pins, bpfMapNodeFlowsV1); len(got) != 1 {
				t.Fatalf("with one open connection, %d are remembered: %v", len(got), got)
			}
			end(conn.(*net.TCPConn))
			for deadline := time.Now().Add(patience); len(flows(t, pins, bpfMapNodeFlowsV1)) > 0; {
				if time.Now().After(deadline) {
					t.Fatal("the flow is still remembered")
				}
			}
		})
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	pins := pinDir(t)
	quiet := slog.New(slog.DiscardHandler)
	if _, err := Open(Config{Interface: "lo", PinDir: pins, Log: quiet}); err == nil || !strings.Contains(err.Error(), "no MAC address") {
		t.Errorf("interface without a MAC address: %v", err)
	}
	if _, err := Open(Config{Interface: "absent0", PinDir: pins, Log: quiet}); err == nil || !strings.Contains(err.Error(), "absent0") {
		t.Errorf("interface that does not exist: %v", err)
	}
}
