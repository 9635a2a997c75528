package proxy_test

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/proxy"
)

func TestTargetsTakeConnectionsFromWhereTheirSecurityGroupsSay(t *testing.T) {
	for name, test := range map[string]struct {
		clients string
		keep    bool
		served  bool
	}{
		"the client":                        {"127.0.0.41/32", true, true},
		"another client":                    {"127.0.0.42/32", true, false},
		"the load balancer":                 {"127.0.0.99/32", false, true},
		"another than the load balancer":    {"127.0.0.41/32", false, false},
		"the load balancer, not its client": {"127.0.0.99/32", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, proxy.Options{})
			l := tcpListener(t, target("a", whoAmI(t)))
			pool := &l.Forward[0]
			pool.KeepClientAddress, pool.Source4 = test.keep, netip.MustParseAddr("127.0.0.99")
			pool.Targets[0].Clients = []netip.Prefix{netip.MustParsePrefix(test.clients)}
			w.apply(l)
			seen, err := ask(l.Address)
			if served := len(seen) > 0 && err == nil; served != test.served {
				t.Errorf("served: %t (%v), want %t", served, err, test.served)
			}
		})
	}
}

// ask reads what a target says to a client at 127.0.0.41. The reset of one that
// is not served may come before its connection is there.
func ask(at netip.AddrPort) ([]byte, error) {
	d := dialerFrom("127.0.0.41:0", true)
	d.Timeout = 20 * time.Second
	c, err := d.Dial("tcp", at.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return io.ReadAll(c)
}
