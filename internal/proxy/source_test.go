package proxy_test

import (
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// dialFrom connects from another address of the loopback network than the
// target's. A client on another machine does not mind who uses its port here, and
// one that shares it is as good.
func dialFrom(t *testing.T, from string, shares bool, at netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := dialerFrom(from, shares).Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func dialerFrom(from string, shares bool) *net.Dialer {
	d := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	if shares {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		}
	}
	return d
}

// whoAmI is a target that tells clients from where it sees them.
func whoAmI(t *testing.T) netip.AddrPort {
	return serve(t, func(c net.Conn) { _, _ = io.WriteString(c, c.RemoteAddr().String()) })
}

func TestTargetsSeeTheClientsAddress(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*proxy.Pool)
		want   func(client string) string // empty: the source's address with any port
		reason string
	}{
		"kept":          {func(*proxy.Pool) {}, func(client string) string { return client }, ""},
		"not asked for": {func(p *proxy.Pool) { p.KeepClientAddress = false }, nil, ""},
		"hairpin":       {func(p *proxy.Pool) { p.Targets[0].Hairpin = []netip.Prefix{netip.MustParsePrefix("127.0.0.40/30")} }, nil, "hairpin"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			w := start(t, proxy.Options{Metrics: reg})
			l := tcpListener(t, target("a", whoAmI(t)))
			l.Forward[0].KeepClientAddress, l.Forward[0].Source4 = true, netip.MustParseAddr("127.0.0.99")
			test.change(&l.Forward[0])
			w.apply(l)
			c := dialFrom(t, "127.0.0.41:0", true, l.Address)
			seen, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			got := string(seen)
			if test.want == nil {
				host, _, _ := net.SplitHostPort(got)
				if host != "127.0.0.99" {
					t.Errorf("the target sees %s, want the load balancer's 127.0.0.99", got)
				}
			} else if got != test.want(c.LocalAddr().String()) {
				t.Errorf("the target sees %s, want %s", got, c.LocalAddr())
			}
			if test.reason != "" && count(t, reg, "client_address_not_kept_total", test.reason) != 1 {
				t.Errorf("the reason %s is not counted", test.reason)
			}
		})
	}
}

func TestAnAddressThatIsTakenFallsBackToTheLoadBalancers(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg})
	l := tcpListener(t, target("a", whoAmI(t)))
	l.Forward[0].KeepClientAddress = true
	w.apply(l)
	c := dialFrom(t, "127.0.0.41:0", false, l.Address)
	seen, err := io.ReadAll(c)
	if err != nil || string(seen) == c.LocalAddr().String() {
		t.Errorf("the target sees %s, %v; want another address than the client's %s", seen, err, c.LocalAddr())
	}
	if got := count(t, reg, "client_address_not_kept_total", "taken"); got != 1 {
		t.Errorf("counted %v taken addresses, want 1", got)
	}
}

func TestClientsOfOneFamilyReachTargetsOfTheOther(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := start(t, proxy.Options{Metrics: reg})
	l := tcpListener(t, target("a", whoAmI(t)))
	l.Address = netip.AddrPortFrom(netip.IPv6Loopback(), l.Address.Port())
	l.Forward[0].KeepClientAddress, l.Forward[0].Source4 = true, netip.MustParseAddr("127.0.0.99")
	w.apply(l)
	seen, err := io.ReadAll(dial(t, l.Address))
	if host, _, _ := net.SplitHostPort(string(seen)); host != "127.0.0.99" || err != nil {
		t.Errorf("the target sees %s, %v; want 127.0.0.99", seen, err)
	}
	if got := count(t, reg, "client_address_not_kept_total", "family"); got != 1 {
		t.Errorf("counted %v, want 1", got)
	}
}

func TestListenersNeedNotHaveTheirAddressYet(t *testing.T) {
	w := start(t, proxy.Options{})
	l := tcpListener(t)
	l.Address = netip.AddrPortFrom(netip.MustParseAddr("203.0.113.77"), l.Address.Port())
	six := tcpListener(t)
	six.Address = netip.AddrPortFrom(netip.MustParseAddr("2001:db8::77"), six.Address.Port())
	w.apply(l, six)
}
