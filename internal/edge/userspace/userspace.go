// Package userspace decides which listeners of a zone are served by sockets of
// the edge's machine and not by packets alone, and makes the proxy's
// configuration of them.
//
// A listener needs sockets when it speaks TLS, when its targets expect a PROXY
// header, when they are of the other address family than the address that the
// clients come to, and when its load balancer is a Classic one.
//
// Invariants: Desired is pure and total: what cannot be served is left out and
// named in Output.Problems; equal inputs give equal outputs.
package userspace

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// Input is all that decides what is served in user space.
type Input struct {
	Snapshot     lb.ZoneSnapshot
	Health       lb.Health
	Certificates map[string]tls.Certificate // by ARN

	// Ordinary is an address of this machine, where all listeners are when there
	// is no data path for packets: clients do not come to load balancers' own
	// addresses then. Otherwise it is the zero Addr.
	Ordinary netip.Addr

	// AccessLogs says that the proxy keeps access logs.
	AccessLogs bool
}

// Output is what to serve.
type Output struct {
	Config proxy.Config

	// Addresses are those of Config's listeners.
	Addresses map[netip.AddrPort]bool

	// Problems are what is not served and why, sorted.
	Problems []string
}

// Desired returns what sockets should serve.
func Desired(in Input) Output {
	d := desire{in: in, groups: map[string]*lb.ZonalGroup{}, out: Output{Addresses: map[netip.AddrPort]bool{}}}
	for i := range in.Snapshot.TargetGroups {
		d.groups[in.Snapshot.TargetGroups[i].ARN] = &in.Snapshot.TargetGroups[i]
	}
	for i := range in.Snapshot.LoadBalancers {
		d.network(&in.Snapshot.LoadBalancers[i])
	}
	for i := range in.Snapshot.Classic {
		d.classic(&in.Snapshot.Classic[i])
	}
	slices.SortFunc(d.out.Config.Listeners, func(a, b proxy.Listener) int { return a.Address.Compare(b.Address) })
	slices.Sort(d.out.Problems)
	d.out.Problems = slices.Compact(d.out.Problems)
	return d.out
}

type desire struct {
	in     Input
	groups map[string]*lb.ZonalGroup
	out    Output
}

func (d *desire) problem(format string, args ...any) {
	d.out.Problems = append(d.out.Problems, fmt.Sprintf(format, args...))
}

// add takes a listener up, unless another one has its address, which happens
// where all share an ordinary one.
func (d *desire) add(l proxy.Listener, name string) {
	if d.out.Addresses[l.Address] {
		d.problem("%s: another load balancer's listener has %s already", name, l.Address)
		return
	}
	d.out.Addresses[l.Address] = true
	d.out.Config.Listeners = append(d.out.Config.Listeners, l)
}

// addresses are where a load balancer's clients come to.
func (d *desire) addresses(own ...netip.Addr) []netip.Addr {
	if d.in.Ordinary.IsValid() {
		return []netip.Addr{d.in.Ordinary}
	}
	var all []netip.Addr
	for _, a := range own {
		if a.IsValid() {
			all = append(all, a.Unmap())
		}
	}
	return all
}

// admit says who may connect, by the name of a set of clients.
func (d *desire) admit(l *proxy.Listener, set string) {
	if set == "" {
		return
	}
	l.Clients = d.in.Snapshot.ClientSets[set]
	l.Closed = len(l.Clients) == 0
}

// accessLog is where a load balancer's log goes, in the proxy's words.
func (d *desire) accessLog(balancer string, a *lb.AccessLog) *proxy.AccessLog {
	if a == nil {
		return nil
	}
	if !d.in.AccessLogs {
		d.problem("access log of %s: this edge has nowhere to keep it", balancer)
	}
	return &proxy.AccessLog{Bucket: a.Bucket, Prefix: a.Prefix, Interval: a.Interval}
}

func (d *desire) network(b *lb.ZonalBalancer) {
	for i := range b.Listeners {
		l := &b.Listeners[i]
		name := "listener " + l.ARN
		if d.in.Ordinary.IsValid() && l.Protocol != lb.TCP && l.Protocol != lb.TLS {
			d.problem("%s: UDP is not served in user space", name)
		}
		if l.Protocol == lb.UDP {
			continue
		}
		for _, vip := range d.addresses(b.IPv4, b.IPv6) {
			if d.needs(l, vip) {
				d.networkListener(b, l, vip)
			}
		}
	}
}

// needs says whether a listener at an address needs a socket.
func (d *desire) needs(l *lb.ZonalListener, vip netip.Addr) bool {
	if l.Protocol == lb.TLS || d.in.Ordinary.IsValid() {
		return true
	}
	return slices.ContainsFunc(l.Forward, func(f lb.WeightedGroup) bool {
		g := d.groups[f.TargetGroupARN]
		return g != nil && (g.ProxyProtocolV2 || slices.ContainsFunc(g.Targets, func(t lb.ZonalTarget) bool {
			return t.Addr.IsValid() && t.Addr.Unmap().Is4() != vip.Is4()
		}))
	})
}

func (d *desire) networkListener(b *lb.ZonalBalancer, l *lb.ZonalListener, vip netip.Addr) {
	out := proxy.Listener{
		Balancer: b.ARN, ARN: l.ARN, Address: netip.AddrPortFrom(vip, l.Port),
		Protocol: lb.TCP, IdleTimeout: l.IdleTimeout,
	}
	d.admit(&out, l.Clients.TCP)
	if l.Protocol == lb.TLS {
		out.Protocol = lb.TLS
		if out.TLS = d.networkTLS(l); out.TLS == nil {
			return
		}
		out.AccessLog = d.accessLog(b.ARN, b.AccessLog)
	}
	for _, f := range l.Forward {
		if g := d.groups[f.TargetGroupARN]; g != nil {
			out.Forward = append(out.Forward, d.networkPool(b, g, f.Weight))
		}
	}
	d.add(out, "listener "+l.ARN)
}

func (d *desire) networkTLS(l *lb.ZonalListener) *proxy.ServerTLS {
	policy, _, err := proxy.PredefinedPolicy(l.SSLPolicy)
	if err != nil {
		d.problem("listener %s: %v", l.ARN, err)
		return nil
	}
	out := &proxy.ServerTLS{Policy: policy, ALPN: alpn(l.ALPNPolicy)}
	for _, arn := range l.Certificates {
		if c, ok := d.in.Certificates[arn]; ok {
			out.Certificates, out.CertificateARNs = append(out.Certificates, c), append(out.CertificateARNs, arn)
		} else {
			d.problem("listener %s: the key of certificate %s is not here", l.ARN, arn)
		}
	}
	if len(out.Certificates) == 0 {
		d.problem("listener %s: not served without a certificate", l.ARN)
		return nil
	}
	return out
}

// alpn lists the protocols of an ALPN policy (NLB user guide, "ALPN policies").
func alpn(policy string) []string {
	switch policy {
	case "HTTP1Only":
		return []string{"http/1.1", "http/1.0"}
	case "HTTP2Only":
		return []string{"h2"}
	case "HTTP2Optional":
		return []string{"http/1.1", "http/1.0", "h2"}
	case "HTTP2Preferred":
		return []string{"h2", "http/1.1", "http/1.0"}
	}
	return nil
}

func (d *desire) networkPool(b *lb.ZonalBalancer, g *lb.ZonalGroup, weight int) proxy.Pool {
	pool := proxy.Pool{
		Key: g.ARN, Weight: weight, Protocol: lb.TCP, Balance: proxy.FlowHash, StickToSource: g.Stickiness,
		KeepClientAddress:    g.PreserveClientIP && !d.in.Ordinary.IsValid(),
		UnhealthyTermination: g.UnhealthyTermination, DrainTermination: g.DeregistrationTermination,
	}
	if g.Protocol == lb.TLS {
		pool.Protocol = lb.TLS
	}
	if g.ProxyProtocolV2 {
		pool.ProxyProtocol = proxy.ProxyV2
	}
	if !d.in.Ordinary.IsValid() {
		pool.Source4, pool.Source6 = b.IPv4.Unmap(), b.IPv6
	}
	failsOpen := g.FailsOpen(d.in.Health)
	for _, t := range g.Targets {
		if t.Addr.IsValid() {
			pool.Targets = append(pool.Targets, d.networkTarget(g, t, failsOpen))
		}
	}
	slices.SortFunc(pool.Targets, compareTargets)
	return pool
}

func (d *desire) networkTarget(g *lb.ZonalGroup, t lb.ZonalTarget, failsOpen bool) proxy.Target {
	return proxy.Target{
		ID: t.ID, Addr: netip.AddrPortFrom(t.Addr.Unmap(), t.Port), DrainUntil: t.DrainUntil, Hairpin: t.Siblings,
		Eligible: g.TakesNew(t, d.in.Health, failsOpen) && !slices.Contains(t.OutboundBlocked, lb.TCP) && d.takesSome(t),
		// What ends connections is the verdict that the target is unhealthy, and
		// nothing does in a group that fails open.
		Healthy: failsOpen || d.in.Health.Of(g, t) != lb.Unhealthy,
		Clients: d.in.Snapshot.ClientSets[t.Clients.TCP],
	}
}

// takesSome says whether the security groups of a target let any connection in.
func (d *desire) takesSome(t lb.ZonalTarget) bool {
	return t.Clients.TCP == "" || len(d.in.Snapshot.ClientSets[t.Clients.TCP]) > 0
}

func compareTargets(a, b proxy.Target) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.ID, b.ID))
}
