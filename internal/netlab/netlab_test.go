package netlab_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/netlab"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

// routed is a host behind a router behind a switch: a, b on the bridge, c
// outside.
func routed(prefix string) netlab.Topology {
	sw, router, a, b, c := prefix+"sw", prefix+"r", prefix+"a", prefix+"b", prefix+"c"
	port := func(ns, name string, addrs ...string) netlab.Port {
		p := netlab.Port{Namespace: ns, Name: name}
		for _, s := range addrs {
			p.Addresses = append(p.Addresses, netip.MustParsePrefix(s))
		}
		return p
	}
	bridged := func(name string) netlab.Port { return netlab.Port{Namespace: sw, Name: name, Bridge: "br0"} }
	edge := bridged("b")
	edge.FacesXDP = true
	mac := port(a, "eth0", "198.18.0.2/16", "2001:db8::2/32")
	mac.MAC = "02:fa:c6:12:00:02"
	mac.Sysctls = []netlab.Sysctl{{Key: "net/ipv4/conf/eth0/proxy_arp", Value: "1"}}
	via := func(s4, s6 string) []netlab.Route {
		return []netlab.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(s4)},
			{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr(s6)},
		}
	}
	return netlab.Topology{
		Namespaces: []netlab.Namespace{
			{Name: sw, Bridges: []string{"br0"}},
			{Name: router, Sysctls: []netlab.Sysctl{
				{Key: "net/ipv4/ip_forward", Value: "1"},
				{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
				{Key: "net/no/such/setting", Value: "1", Optional: true},
			}},
			{Name: a, Routes: append(via("198.18.0.1", "2001:db8::1"), netlab.Route{To: netip.MustParsePrefix("10.9.0.0/16")})},
			{Name: b, Routes: via("198.18.0.1", "2001:db8::1")},
			{Name: c, Routes: via("192.0.2.1", "3fff:0:0:2::1")},
		},
		Cables: []netlab.Cable{
			{A: bridged("r"), B: port(router, "eth0", "198.18.0.1/16", "2001:db8::1/32")},
			{A: bridged("a"), B: mac},
			{A: edge, B: port(b, "eth0", "198.18.0.3/16", "2001:db8::3/32")},
			{A: port(router, "c", "192.0.2.1/24", "3fff:0:0:2::1/64"), B: port(c, "eth0", "192.0.2.10/24", "3fff:0:0:2::10/64")},
		},
	}
}

func apply(t *testing.T, topo netlab.Topology) {
	t.Helper()
	if err := netlab.Apply(topo); err != nil {
		t.Fatal(err)
	}
}

// greet proves that from can reach address, where a listener in to waits.
func greet(t *testing.T, from, to, address string) {
	t.Helper()
	var l net.Listener
	if err := netlab.In(to, func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.WriteString(conn, conn.RemoteAddr().String())
			conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := netlab.Dial(ctx, from, "tcp", address)
	if err != nil {
		t.Fatalf("dial %s from %s: %v", address, from, err)
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := conn.LocalAddr().String(); string(got) != want {
		t.Errorf("listener at %s saw %s, want %s", address, got, want)
	}
}

func TestAppliedTopologyCarriesBothFamiliesAcrossSwitchAndRouter(t *testing.T) {
	p := netlabtest.Prefix(t)
	apply(t, routed(p))
	for _, address := range []string{"198.18.0.3:80", "[2001:db8::3]:80"} {
		greet(t, p+"a", p+"b", address)
		greet(t, p+"c", p+"b", address)
	}
}

// links describes all links and addresses of a namespace but for what the
// kernel numbers by itself.
func output(t *testing.T, name string, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := netlab.Start(cmd, name, nil); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out.String())
	}
	return out.String()
}

func TestApplyAgainChangesNothing(t *testing.T) {
	p := netlabtest.Prefix(t)
	apply(t, routed(p))
	for _, ns := range []string{"sw", "r", "a", "b", "c"} {
		awaitLinks(t, p+ns)
	}
	state := func() (s []string) {
		for _, ns := range []string{"sw", "r", "a", "b", "c"} {
			for _, argv := range [][]string{{"ip", "-br", "link"}, {"ip", "-br", "addr"}, {"ip", "route"}, {"ip", "-6", "route"}} {
				s = append(s, output(t, p+ns, argv...))
			}
		}
		return s
	}
	before := state()
	apply(t, routed(p))
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("a second Apply changed the network (-first +second):\n%s", diff)
	}
}

// awaitLinks waits for what the kernel does by itself some time after a link is
// up at both ends: the link operates, and has its link-local address.
func awaitLinks(t *testing.T, name string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		links := output(t, name, "ip", "-br", "addr")
		waiting := 0
		for line := range strings.Lines(links) {
			if f := strings.Fields(line); f[0] != "lo" && (f[1] != "UP" || !strings.Contains(line, " fe80::")) {
				waiting++
			}
		}
		if waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("links of %s do not come up:\n%s", name, links)
		}
	}
}

func TestApplyRepairsABrokenCable(t *testing.T) {
	p := netlabtest.Prefix(t)
	apply(t, routed(p))
	output(t, p+"b", "ip", "link", "del", "eth0")
	output(t, p+"b", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "stray")
	apply(t, routed(p))
	greet(t, p+"a", p+"b", "198.18.0.3:80")
}

func TestApplySetsWhatPortsAreDescribedWith(t *testing.T) {
	p := netlabtest.Prefix(t)
	apply(t, routed(p))
	for _, c := range []struct {
		ns   string
		argv []string
		want string
	}{
		{"a", []string{"ip", "link", "show", "eth0"}, "02:fa:c6:12:00:02"},
		{"a", []string{"cat", "/proc/sys/net/ipv4/conf/eth0/proxy_arp"}, "1\n"},
		{"a", []string{"ip", "route", "show", "10.9.0.0/16"}, "unreachable 10.9.0.0/16"},
		{"a", []string{"ip", "-6", "addr", "show", "dev", "eth0", "scope", "global"}, "nodad"},
		{"a", []string{"ip", "link", "show", "lo"}, "LOWER_UP"},
		{"sw", []string{"ethtool", "-k", "b"}, "tx-checksumming: off"},
		{"sw", []string{"ip", "link", "show", "b"}, "xdp"},
		{"sw", []string{"ethtool", "-k", "a"}, "tx-checksumming: on"},
	} {
		if got := output(t, p+c.ns, c.argv...); !strings.Contains(got, c.want) {
			t.Errorf("%v in %s: got %q, want it to contain %q", c.argv, c.ns, got, c.want)
		}
	}
}

func TestHostLinksStayAsTheyAre(t *testing.T) {
	before, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	apply(t, routed(netlabtest.Prefix(t)))
	after, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("interfaces of the host (-before +after):\n%s", diff)
	}
}

func TestNamesAreThoseOfIproute2(t *testing.T) {
	p := netlabtest.Prefix(t)
	if err := netlab.Create(p + "x"); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), p+"x") {
		t.Errorf("ip netns list: got %q, want %s in it", out, p+"x")
	}
	if err := netlab.Delete(p + "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(netlab.Path(p + "x")); !os.IsNotExist(err) {
		t.Errorf("after Delete the name is still there: %v", err)
	}
	if err := netlab.Delete(p + "x"); err != nil {
		t.Errorf("Delete of what is gone: %v", err)
	}
}

func TestCreateTakesOverANameThatACrashLeft(t *testing.T) {
	p := netlabtest.Prefix(t)
	if err := netlab.PrepareRunDir(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(netlab.Path(p+"x"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if netlab.Exists(p + "x") {
		t.Error("a plain file counts as a namespace")
	}
	if err := netlab.Create(p + "x"); err != nil {
		t.Fatal(err)
	}
	if !netlab.Exists(p + "x") {
		t.Error("Create left a plain file")
	}
}

func TestKillEndsProcessesAndTheirChildrenButNoOthers(t *testing.T) {
	p := netlabtest.Prefix(t)
	for _, ns := range []string{"x", "y"} {
		if err := netlab.Create(p + ns); err != nil {
			t.Fatal(err)
		}
	}
	start := func(ns string) *exec.Cmd {
		// The shell ignores SIGTERM and leaves a child behind.
		cmd := exec.Command("sh", "-c", "trap '' TERM; sleep 1000 & echo started; wait")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := netlab.Start(cmd, p+ns, nil); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return cmd
	}
	victim, bystander := start("x"), start("y")
	defer bystander.Wait()
	defer bystander.Process.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := netlab.Kill(ctx, []string{p + "x", p + "absent"}); err != nil {
		t.Fatal(err)
	}
	if pids, err := netlab.Processes([]string{p + "x"}); err != nil || len(pids) > 0 {
		t.Errorf("after Kill: processes %v, error %v", pids, err)
	}
	if err := victim.Wait(); err == nil || victim.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("victim ended with %v, want SIGKILL", err)
	}
	if pids, err := netlab.Processes([]string{p + "y"}); err != nil || len(pids) != 2 {
		t.Errorf("bystanders: got %v, error %v, want both alive", pids, err)
	}
}

func TestStartShowsTheProcessItsOwnFiles(t *testing.T) {
	p := netlabtest.Prefix(t)
	if err := netlab.Create(p + "x"); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(mine, []byte("203.0.113.10 here\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("cat", "/etc/hosts")
	cmd.Stdout = &out
	if err := netlab.Start(cmd, p+"x", []netlab.Bind{{Source: mine, Target: "/etc/hosts"}}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "203.0.113.10 here\n"; got != want {
		t.Errorf("the process saw %q, want %q", got, want)
	}
	host, err := os.ReadFile("/etc/hosts")
	if err != nil || bytes.Contains(host, []byte("203.0.113.10 here")) {
		t.Errorf("the host's file changed: %q, %v", host, err)
	}
}

func TestLauncherStartsInANamespaceAndTakesItsChildrenAlong(t *testing.T) {
	p := netlabtest.Prefix(t)
	if err := netlab.Create(p + "x"); err != nil {
		t.Fatal(err)
	}
	l := netlab.NewLauncher()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.Start(cmd, p+"x"); err != nil {
		t.Fatal(err)
	}
	pids, err := netlab.Processes([]string{p + "x"})
	if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("processes in the namespace: got %v, error %v, want %d", pids, err, cmd.Process.Pid)
	}
	l.Close()
	if err := cmd.Wait(); err == nil {
		t.Error("the process outlived its launcher")
	}
}

func TestMissingNamespacesAreNamedInErrors(t *testing.T) {
	for what, err := range map[string]error{
		"In":    netlab.In("t-absent", func() error { return nil }),
		"Start": netlab.Start(exec.Command("true"), "t-absent", nil),
	} {
		if err == nil || !strings.Contains(err.Error(), "t-absent") {
			t.Errorf("%s: got %v, want an error that names the namespace", what, err)
		}
	}
}
