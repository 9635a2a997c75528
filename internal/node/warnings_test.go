package node

import (
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	good := facts{iface: "eth0", rpFilter: 1, forwarding4: true, forwarding6: true, defaults4: []string{"eth0"}}
	cases := map[string]struct {
		change func(*facts)
		want   []string // a part of each warning
	}{
		"a node as Kubernetes sets it up": {func(*facts) {}, nil},
		"the default route elsewhere under strict filtering": {
			func(f *facts) { f.defaults4 = []string{"eth1"} }, []string{"net.ipv4.conf.eth0.rp_filter=2"}},
		"the default route elsewhere under loose filtering": {
			func(f *facts) { f.defaults4, f.rpFilter = []string{"eth1"}, 2 }, nil},
		"one of two default routes by the uplink": {
			func(f *facts) { f.defaults4 = []string{"eth1", "eth0"} }, nil},
		"no default route": {
			func(f *facts) { f.defaults4 = nil }, []string{"no IPv4 default route"}},
		"forwarding off": {
			func(f *facts) { f.forwarding4, f.forwarding6 = false, false }, []string{"net.ipv4.conf.eth0.forwarding", "net.ipv6.conf.eth0.forwarding"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := good
			c.change(&f)
			got := warnings(f)
			if len(got) != len(c.want) {
				t.Fatalf("warnings = %q, want %d", got, len(c.want))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("warning %q does not name %q", got[i], want)
				}
			}
		})
	}
}
