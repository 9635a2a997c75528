package proxy

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/proxy/loop"
)

// dialings are all that an approach tries, each of which fails with err, and its
// last error.
func dialings(a *approach, err error) (all []loop.Dialing, last error) {
	d, last := a.next(nil)
	for last == nil {
		all = append(all, d)
		d, last = a.next(err)
	}
	return all, last
}

func TestApproaches(t *testing.T) {
	client, at := netip.MustParseAddrPort("203.0.113.10:4000"), netip.MustParseAddrPort("198.18.0.20:80")
	own := netip.MustParseAddr("198.18.0.9")
	asClient := loop.Dialing{Target: at, Source: client, Transparent: true}
	asBalancer := loop.Dialing{Target: at, Source: netip.AddrPortFrom(own, 0)}
	prefixes := func(p string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(p)} }
	for name, test := range map[string]struct {
		change func(*Pool)
		err    error
		want   []loop.Dialing
		last   error
		reason string
	}{
		"as the client":                     {func(*Pool) {}, syscall.ECONNREFUSED, []loop.Dialing{asClient}, syscall.ECONNREFUSED, ""},
		"the client's port is taken":        {func(*Pool) {}, syscall.EADDRINUSE, []loop.Dialing{asClient, asBalancer}, syscall.EADDRINUSE, "taken"},
		"the kernel does not allow it":      {func(*Pool) {}, syscall.EPERM, []loop.Dialing{asClient, asBalancer}, syscall.EPERM, "failed"},
		"as the load balancer":              {func(p *Pool) { p.KeepClientAddress = false }, syscall.EADDRINUSE, []loop.Dialing{asBalancer}, syscall.EADDRINUSE, ""},
		"the client is the target's":        {func(p *Pool) { p.Targets[0].Hairpin = prefixes("203.0.113.0/24") }, syscall.ECONNREFUSED, []loop.Dialing{asBalancer}, syscall.ECONNREFUSED, "hairpin"},
		"the groups take the client":        {func(p *Pool) { p.Targets[0].Clients = prefixes("203.0.113.0/24") }, syscall.EADDRINUSE, []loop.Dialing{asClient}, errTargetRules, "taken"},
		"the groups take the load balancer": {func(p *Pool) { p.Targets[0].Clients = prefixes("198.18.0.0/16") }, syscall.ECONNREFUSED, nil, errTargetRules, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pool := &Pool{KeepClientAddress: true, Source4: own, Targets: []Target{{Addr: at}}}
			test.change(pool)
			counters := &Counters{}
			got, last := dialings(&approach{choice: Choice{Pool: pool, Target: &pool.Targets[0]}, client: client, counters: counters}, test.err)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || !errors.Is(last, test.last) {
				t.Errorf("dialings (-want +got):\n%slast error %v, want %v", diff, last, test.last)
			}
			for reason, n := range sourceReasons(counters) {
				if got, want := n.Load() == 1, reason == test.reason; got != want {
					t.Errorf("reason %s: counted %d", reason, n.Load())
				}
			}
		})
	}
}
