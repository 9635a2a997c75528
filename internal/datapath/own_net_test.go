package datapath

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// An edge's machine with a pod behind it, reached as a node's pods are: the
// machine answers for it on the segment and forwards.
const (
	ownMachine4, ownMachine6 = "198.18.0.4", "2001:db8::4"
	pod4, pod6               = "198.18.5.2", "2001:db8:5::2"
	patience                 = time.Minute // for what must come about
)

// addPod puts a pod behind the edge's machine.
func (s *site) addPod(t *testing.T) {
	t.Helper()
	port := func(ns, name string, addrs ...string) netlab.Port {
		p := netlab.Port{Namespace: s.prefix + ns, Name: name}
		for _, a := range addrs {
			p.Addresses = append(p.Addresses, netip.MustParsePrefix(a))
		}
		return p
	}
	via := func(to, via string) netlab.Route {
		return netlab.Route{To: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via)}
	}
	err := netlab.Apply(netlab.Topology{
		Namespaces: []netlab.Namespace{
			{Name: s.prefix + "pod", Routes: []netlab.Route{via("0.0.0.0/0", "198.18.5.1"), via("::/0", "2001:db8:5::1")}},
			{Name: s.prefix + "edge", Sysctls: []netlab.Sysctl{
				{Key: "net/ipv4/ip_forward", Value: "1"}, {Key: "net/ipv6/conf/all/forwarding", Value: "1"},
				{Key: "net/ipv4/conf/eth0/proxy_arp", Value: "1"},
			}},
			{Name: s.prefix + "t1", Routes: []netlab.Route{via("198.18.5.0/24", ownMachine4), via("2001:db8:5::/64", ownMachine6)}},
		},
		Cables: []netlab.Cable{{A: port("edge", "pod", "198.18.5.1/24", "2001:db8:5::1/64"), B: port("pod", "eth0", pod4+"/24", pod6+"/64")}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// serveEcho answers each line with the name, the client's address and the line.
func (s *site) serveEcho(t *testing.T, ns string, port int) {
	t.Helper()
	var l net.Listener
	err := netlab.In(s.prefix+ns, func() (err error) { l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); return err })
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards open
	var open []net.Conn
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	wg.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				r := bufio.NewReader(c)
				for line, err := r.ReadString('\n'); err == nil; line, err = r.ReadString('\n') {
					fmt.Fprintf(c, "%s %s %s", ns, c.RemoteAddr(), line)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open { // the client's FIN may never come any more
			c.Close()
		}
	})
}

// targets is the snapshot with other targets: those of either family.
func targets(v4, v6 []string) lb.ZoneSnapshot {
	snap := snapshot()
	for i, addrs := range [][]string{v4, v6} {
		g := &snap.TargetGroups[i]
		g.Targets = nil
		for j, a := range addrs {
			g.Targets = append(g.Targets, lb.ZonalTarget{ID: fmt.Sprintf("i-%d", j), Port: 8080, Addr: netip.MustParseAddr(a)})
		}
	}
	return snap
}

func vips() []string { return []string{vip4 + ":80", "[" + vip6 + "]:80"} }

// converse dials each address and wants long lines back from the target, which
// sees the client's own address, or with nat the load balancer's.
func (s *site) converse(t *testing.T, from, target string, nat bool) []*conn {
	t.Helper()
	var out []*conn
	for _, address := range vips() {
		c := s.dial(t, from, address)
		out = append(out, c)
		line := strings.Repeat("x", 200_000)
		for range 3 {
			words := c.ask(t, line)
			want := c.LocalAddr().String()
			if nat {
				want = words[1]
				vip, _ := netip.ParseAddrPort(address)
				if seen, err := netip.ParseAddrPort(want); err != nil || seen.Addr() != vip.Addr() {
					t.Errorf("%s to %s: the target saw %s, want the load balancer's address", from, address, want)
				}
			}
			if words[0] != target || words[1] != want || words[2] != line {
				t.Fatalf("%s to %s: answered by %s, who saw %s, with %d bytes; want %s, %s, %d", from, address, words[0], words[1], len(words[2]), target, want, len(line))
			}
		}
	}
	return out
}

func inModes(t *testing.T, f func(t *testing.T, mode Mode)) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(string(mode), func(t *testing.T) { f(t, mode) })
	}
}

// succeed wants connections of a host, and new ones, served without a process, and
// by the next one, which it begins and which ends with the test.
func (s *site) succeed(t *testing.T, mode Mode, from string, conns []*conn) *Datapath {
	t.Helper()
	for _, c := range append(conns, s.dial(t, from, vip4+":80"), s.dial(t, from, "["+vip6+"]:80")) {
		c.ask(t, "without a process")
	}
	d, stop := s.openAs(t, mode)
	t.Cleanup(stop)
	for _, c := range conns {
		c.ask(t, "adopted")
	}
	return d
}

func TestTheEdgesOwnMachineIsATarget(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		s := newSite(t)
		s.checkSent(t, "client")
		s.checkReceived(t, "edge")
		s.serveEcho(t, "edge", 8080)
		d, stop := s.openAs(t, mode)
		s.cleanup(t)
		apply(t, d, targets([]string{ownMachine4}, []string{ownMachine6}), healthy(targets([]string{ownMachine4}, []string{ownMachine6})))
		conns := s.converse(t, "client", "edge", false)
		q := Query{Protocol: lb.TCP, From: netip.MustParseAddrPort("198.18.0.10:9"), To: netip.MustParseAddrPort(vip4 + ":80"), SYN: true}
		if trace, stages := ask(t, s, q); trace.Reason != "sent_to_target" || !strings.Contains(stages["target"], "next hop this machine") {
			t.Errorf("trace: %s, %q; want sent_to_target with this machine as next hop", trace.Reason, stages)
		}
		stop()
		d = s.succeed(t, mode, "client", conns)
		explain(t, d)
	})
}

func TestTheEdgesOwnMachineIsAClient(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		s := newSite(t)
		s.checkSent(t, "t1")
		s.serveEcho(t, "t1", 8080)
		d, stop := s.openAs(t, mode)
		s.cleanup(t)
		snap := targets([]string{"198.18.0.21"}, []string{"2001:db8::21"})
		apply(t, d, snap, healthy(snap))
		conns := s.converse(t, "edge", "t1", false)
		stop()
		d = s.succeed(t, mode, "edge", conns)
		for i := range snap.TargetGroups {
			snap.TargetGroups[i].PreserveClientIP = false
		}
		apply(t, d, snap, healthy(snap))
		s.converse(t, "edge", "t1", true)
		explain(t, d)
	})
}

func TestTheEdgesOwnMachineReachesItselfThroughTheLoadBalancer(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		s := newSite(t)
		s.serveEcho(t, "edge", 8080)
		d, stop := s.openAs(t, mode)
		s.cleanup(t)
		snap := targets([]string{ownMachine4}, []string{ownMachine6})
		apply(t, d, snap, healthy(snap))
		conns := s.converse(t, "edge", "edge", true)
		stop()
		for _, c := range conns {
			c.ask(t, "without a process")
		}
	})
}

// What kube-proxy does with a node port lies between the two hooks.
func TestPodsBehindTheEdgesMachineAreTargetsAndClients(t *testing.T) {
	s := newSite(t)
	s.addPod(t)
	s.serveEcho(t, "pod", 8080)
	s.serveEcho(t, "t1", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := targets([]string{pod4}, []string{pod6})
	apply(t, d, snap, healthy(snap))
	s.converse(t, "client", "pod", false)
	s.converse(t, "edge", "pod", true)
	s.converse(t, "pod", "pod", true)

	snap = targets([]string{ownMachine4}, []string{ownMachine6})
	for i := range snap.TargetGroups {
		snap.TargetGroups[i].Targets[0].Port = 30080
	}
	rules := "table inet nat { chain in { type nat hook prerouting priority -100; ip daddr " + ownMachine4 + " tcp dport 30080 dnat ip to " + pod4 + ":8080; ip6 daddr " +
		ownMachine6 + " tcp dport 30080 dnat ip6 to [" + pod6 + "]:8080; }; }"
	s.exec(t, "edge", rules, "nft", "-f", "-")
	apply(t, d, snap, healthy(snap))
	s.converse(t, "client", "pod", false)
	s.converse(t, "edge", "pod", true)

	snap = targets([]string{"198.18.0.21"}, []string{"2001:db8::21"})
	apply(t, d, snap, healthy(snap))
	s.converse(t, "pod", "t1", false)
	explain(t, d)
}

// overUDP has the snapshot's listeners and groups serve UDP.
func overUDP(snap lb.ZoneSnapshot) lb.ZoneSnapshot {
	for i := range snap.LoadBalancers {
		snap.LoadBalancers[i].Listeners[0].Protocol = lb.UDP
		snap.TargetGroups[i].Protocol = lb.UDP
	}
	return snap
}

func TestDatagramsFromAndToTheEdgesOwnMachine(t *testing.T) {
	s := newSite(t)
	s.echoDatagrams(t, "edge", 8080)
	s.echoDatagrams(t, "t1", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	for _, tc := range []struct{ from, v4, v6 string }{
		{"client", ownMachine4, ownMachine6}, {"edge", "198.18.0.21", "2001:db8::21"}, {"edge", ownMachine4, ownMachine6},
	} {
		snap := overUDP(targets([]string{tc.v4}, []string{tc.v6}))
		apply(t, d, snap, healthy(snap))
		for _, vip := range vips() {
			for _, size := range []int{1, 1473, 60000} {
				s.datagram(t, tc.from, vip, size)
			}
		}
	}
	explain(t, d)
}

// datagram wants a datagram echoed. A neighbour may have to be found first, and
// fragments do not wait for that.
func (s *site) datagram(t *testing.T, from, to string, size int) {
	t.Helper()
	sent, got := make([]byte, size), make([]byte, 1<<16)
	_, _ = rand.Read(sent)
	c, err := netlab.Dial(t.Context(), s.prefix+from, "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := 0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err = c.Write(sent); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, err = c.Read(got); err == nil {
			break
		}
	}
	if err != nil || !bytes.Equal(sent, got[:n]) {
		t.Errorf("%s to %s: %d bytes were answered by %d others, error %v", from, to, size, n, err)
	}
}

// Resets of the edge's own to a client on its machine, and ICMP errors of a target
// there to a client elsewhere and the reverse.
func TestErrorsReachClientsOfTheEdgesOwnMachine(t *testing.T) {
	s := newSite(t)
	s.serveEcho(t, "t1", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := targets([]string{"198.18.0.21"}, []string{"2001:db8::21"})
	apply(t, d, snap, healthy(snap))
	conns := s.converse(t, "edge", "t1", false)
	unhealthy := healthy(snap)
	for key := range unhealthy {
		unhealthy[key] = lb.Unhealthy
	}
	for i := range snap.TargetGroups { // those left keep the groups from failing open
		snap.TargetGroups[i].Targets = append(snap.TargetGroups[i].Targets, targets([]string{"198.18.0.22"}, []string{"2001:db8::22"}).TargetGroups[i].Targets...)
		other := &snap.TargetGroups[i].Targets[1]
		other.ID = "i-other"
		unhealthy[lb.TargetKey{TargetGroupARN: snap.TargetGroups[i].ARN, ID: other.ID, Port: other.Port}] = lb.Healthy
	}
	apply(t, d, snap, unhealthy)
	for _, c := range conns {
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintln(c, "anyone there?")
		if _, err := c.r.ReadString('\n'); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%s: read = %v, want connection reset", c.RemoteAddr(), err)
		}
	}
	apply(t, d, targets(nil, nil), nil)
	for _, vip := range vips() {
		if c, err := netlab.Dial(t.Context(), s.prefix+"edge", "tcp", vip); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("dial %s without targets: %v, %v; want connection refused", vip, c, err)
		}
	}
	for _, tc := range []struct{ from, v4, v6 string }{{"client", ownMachine4, ownMachine6}, {"edge", "198.18.0.21", "2001:db8::21"}, {"edge", ownMachine4, ownMachine6}} {
		snap := overUDP(targets([]string{tc.v4}, []string{tc.v6}))
		apply(t, d, snap, healthy(snap))
		for _, vip := range vips() {
			s.refused(t, tc.from, vip)
		}
	}
	explain(t, d)
}

// refused wants a datagram answered by an ICMP error.
func (s *site) refused(t *testing.T, from, to string) {
	t.Helper()
	c, err := netlab.Dial(t.Context(), s.prefix+from, "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err = c.Write([]byte("hello")); err == nil {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			_, err = c.Read(make([]byte, 10))
		}
		if errors.Is(err, unix.ECONNREFUSED) {
			return
		}
	}
	t.Errorf("%s to %s: %v, want port unreachable", from, to, err)
}

func TestTheProgramAtEgressComesBack(t *testing.T) {
	s := newSite(t)
	s.serveEcho(t, "edge", 8080)
	d, stop := s.open(t)
	s.cleanup(t)
	defer stop()
	snap := targets([]string{ownMachine4}, []string{ownMachine6})
	apply(t, d, snap, healthy(snap))
	conns := s.converse(t, "client", "edge", false)
	d.bringBack(t, &d.out.pinnedLink)
	for _, c := range conns {
		c.ask(t, "after")
	}
}
