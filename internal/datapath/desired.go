package datapath

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Input is all that decides what the data path does.
type Input struct {
	Snapshot lb.ZoneSnapshot
	Health   lb.Health
	Now      time.Time // compared with lb.ZonalTarget.DrainUntil

	// Userspace are the addresses whose TCP listeners are served by sockets of
	// this machine.
	Userspace map[netip.AddrPort]bool
}

// udpIdleTimeout is fixed (NLB user guide, "Listeners", "Connection idle timeout").
const udpIdleTimeout = 120 * time.Second

// maxChoices is how many groups a forward action can have ("Quotas").
const maxChoices = 5

// Desired returns what the data path should do. It is pure and total: what
// cannot be served is left out and named in Tables.Unserved.
func Desired(in Input) Tables {
	d := desire{in: in, groups: map[string]*lb.ZonalGroup{}}
	d.out = Tables{Revision: in.Snapshot.Revision, Instances: map[string][]netip.Prefix{}, Clients: map[string][]netip.Prefix{}}
	for i := range in.Snapshot.TargetGroups {
		g := &in.Snapshot.TargetGroups[i]
		d.groups[g.ARN] = g
		d.out.Groups = append(d.out.Groups, d.group(g))
	}
	for _, b := range in.Snapshot.LoadBalancers {
		d.balancer(b)
	}
	for _, b := range in.Snapshot.Classic {
		d.classic(b)
	}
	slices.SortFunc(d.out.Groups, func(a, b Group) int { return cmp.Compare(a.ARN, b.ARN) })
	slices.SortFunc(d.out.Balancers, func(a, b Balancer) int { return cmp.Compare(a.ARN, b.ARN) })
	slices.SortFunc(d.out.Listeners, compareListeners)
	slices.Sort(d.out.Unserved)
	d.out.Unserved = slices.Compact(d.out.Unserved)
	return d.out
}

func compareListeners(a, b Listener) int {
	return cmp.Or(cmp.Compare(a.ARN, b.ARN), a.VIP.Compare(b.VIP), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}

type desire struct {
	in     Input
	groups map[string]*lb.ZonalGroup
	out    Tables
}

func (d *desire) unserved(format string, args ...any) {
	d.out.Unserved = append(d.out.Unserved, fmt.Sprintf(format, args...))
}

func (d *desire) balancer(b lb.ZonalBalancer) {
	out := Balancer{ARN: b.ARN, Echo: map[netip.Addr]string{}}
	for _, addr := range []netip.Addr{b.IPv4, b.IPv6} {
		if !addr.IsValid() {
			continue
		}
		addr = addr.Unmap()
		out.Addrs = append(out.Addrs, addr)
		out.Echo[addr] = d.clients(b.EchoClients, addr)
		for _, l := range b.Listeners {
			d.listener(b, l, addr)
		}
	}
	d.out.Balancers = append(d.out.Balancers, out)
}

func (d *desire) listener(b lb.ZonalBalancer, l lb.ZonalListener, vip netip.Addr) {
	for _, p := range l.Protocol.Transports() {
		served := Listener{
			ARN: l.ARN, Balancer: b.ARN, VIP: vip, Port: l.Port, Protocol: p, Idle: l.IdleTimeout,
			Clients: d.clients(l.Clients.Of(p), vip), Sticky: l.Stickiness && len(l.Forward) > 1,
		}
		if p == lb.UDP {
			served.Idle = udpIdleTimeout
		}
		served.Local = p == lb.TCP && d.in.Userspace[netip.AddrPortFrom(vip, l.Port)]
		ok := served.Local
		if !ok {
			served.Forward, ok = d.forward(l, vip)
		}
		if ok {
			d.out.Listeners = append(d.out.Listeners, served)
		}
	}
}

// classic is a Classic Load Balancer, all of whose listeners are in user space.
func (d *desire) classic(b lb.ClassicBalancer) {
	vip := b.IPv4.Unmap()
	if !vip.IsValid() {
		return
	}
	d.out.Balancers = append(d.out.Balancers, Balancer{ARN: b.ARN, Addrs: []netip.Addr{vip}, Echo: map[netip.Addr]string{vip: ""}})
	for _, l := range b.Listeners {
		if !d.in.Userspace[netip.AddrPortFrom(vip, l.Port)] {
			d.unserved("listener %d of %s: protocol %s needs a userspace listener", l.Port, b.ARN, l.Protocol)
			continue
		}
		d.out.Listeners = append(d.out.Listeners, Listener{
			ARN: b.ARN, Balancer: b.ARN, VIP: vip, Port: l.Port, Protocol: lb.TCP, Idle: b.IdleTimeout, Local: true,
			Clients: d.clients(b.Clients[l.Port], vip),
		})
	}
}

// forward returns the groups that take new flows. ok is false when the listener
// must not be served at all, because its groups expect what XDP cannot give.
func (d *desire) forward(l lb.ZonalListener, vip netip.Addr) (choices []Choice, ok bool) {
	if l.Protocol == lb.TLS {
		d.unserved("listener %s: protocol %s needs a userspace listener", l.ARN, l.Protocol)
		return nil, false
	}
	if len(l.Forward) > maxChoices {
		d.unserved("listener %s: %d target groups, at most %d", l.ARN, len(l.Forward), maxChoices)
		return nil, false
	}
	for _, f := range l.Forward {
		g := d.groups[f.TargetGroupARN]
		if g == nil {
			d.unserved("listener %s: target group %s is not in the snapshot", l.ARN, f.TargetGroupARN)
			continue
		}
		if g.ProxyProtocolV2 {
			d.unserved("listener %s: PROXY protocol of target group %s needs a userspace listener", l.ARN, g.ARN)
			return nil, false
		}
		if foreign := firstForeign(g, vip); foreign.IsValid() {
			d.unserved("listener %s: %s cannot reach target %s of the other address family", l.ARN, vip, foreign)
		}
		weight := f.Weight
		if len(l.Forward) == 1 {
			weight = 1
		}
		if weight > 0 {
			choices = append(choices, Choice{Group: g.ARN, Weight: weight})
		}
	}
	return choices, true
}

func firstForeign(g *lb.ZonalGroup, vip netip.Addr) netip.Addr {
	for _, t := range g.Targets {
		if t.Addr.IsValid() && t.Addr.Unmap().Is4() != vip.Is4() {
			return t.Addr
		}
	}
	return netip.Addr{}
}

func (d *desire) group(g *lb.ZonalGroup) Group {
	out := Group{ARN: g.ARN, SourceNAT: !g.PreserveClientIP, Sticky: g.Stickiness, FailOpen: g.FailsOpen(d.in.Health)}
	for _, t := range g.Targets {
		if !t.Addr.IsValid() {
			d.unserved("target %s of %s: no address is known for it", t.ID, g.ARN)
			continue
		}
		out.Targets = append(out.Targets, d.target(g, t, out.FailOpen))
	}
	slices.SortFunc(out.Targets, func(a, b Target) int { return a.Addr.Compare(b.Addr) })
	out.Targets = mergeTargets(out.Targets)
	return out
}

func (d *desire) target(g *lb.ZonalGroup, t lb.ZonalTarget, failOpen bool) Target {
	draining := !t.DrainUntil.IsZero()
	out := Target{
		Addr:       netip.AddrPortFrom(t.Addr.Unmap(), t.Port),
		Selectable: g.TakesNew(t, d.in.Health, failOpen),
		OnLeave:    g.DeregistrationTermination,
		Instance:   d.instance(t.Siblings),
		NoTCP:      slices.Contains(t.OutboundBlocked, lb.TCP),
		NoUDP:      slices.Contains(t.OutboundBlocked, lb.UDP),
		ClientsTCP: d.clients(t.Clients.TCP, t.Addr),
		ClientsUDP: d.clients(t.Clients.UDP, t.Addr),
	}
	if draining {
		out.Terminate = g.DeregistrationTermination && !d.in.Now.Before(t.DrainUntil)
	}
	if d.in.Health.Of(g, t) == lb.Unhealthy && g.UnhealthyTermination && !failOpen {
		out.Terminate = true
	}
	return out
}

// instance names the machine behind a target by its addresses.
func (d *desire) instance(siblings []netip.Prefix) string {
	if len(siblings) == 0 {
		return ""
	}
	all := make([]netip.Prefix, len(siblings))
	texts := make([]string, len(siblings))
	for i, p := range siblings {
		all[i] = p.Masked()
		texts[i] = all[i].String()
	}
	slices.Sort(texts)
	name := strings.Join(texts, " ")
	if _, known := d.out.Instances[name]; !known {
		slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Compare(a.String(), b.String()) })
		d.out.Instances[name] = all
	}
	return name
}

// mergeTargets joins targets of one address and port, which can be registered
// under several IDs: what one of them may do, the address may do.
func mergeTargets(sorted []Target) []Target {
	out := sorted[:0]
	for _, t := range sorted {
		last := len(out) - 1
		if last < 0 || out[last].Addr != t.Addr {
			out = append(out, t)
			continue
		}
		out[last].Selectable = out[last].Selectable || t.Selectable
		out[last].Terminate = out[last].Terminate && t.Terminate
		out[last].OnLeave = out[last].OnLeave && t.OnLeave
	}
	return out
}
