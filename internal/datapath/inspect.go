package datapath

import (
	"errors"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Counters reads all counters.
func (d *Datapath) Counters() (Counters, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	reasons, err1 := d.bpf.reasons()
	events, err2 := d.bpf.events()
	out := Counters{Balancers: map[string]BalancerCounters{}, Reasons: reasons, Events: events, Flows: d.census.held, Room: d.bpf.room()}
	errs := []error{err1, err2}
	for _, b := range d.tables.Balancers {
		index, ok := d.balancerIndex(b)
		if !ok {
			continue
		}
		c, err := d.bpf.balancer(index)
		errs = append(errs, err)
		d.addActive(&c, index)
		out.Balancers[b.ARN] = c
	}
	return out, errors.Join(errs...)
}

func (d *Datapath) balancerIndex(b Balancer) (uint32, bool) {
	for _, addr := range b.Addrs {
		if v, ok := d.have.vips[addr]; ok {
			return v.Balancer, true
		}
	}
	return 0, false
}

func (d *Datapath) addActive(c *BalancerCounters, balancer uint32) {
	for id, active := range d.census.active {
		if l, ok := d.have.listeners[indexOf(id)]; ok && l.Id == id && l.Balancer == balancer {
			c.ActiveFlowCountTCP += active.tcp
			c.ActiveFlowCountUDP += active.udp
		}
	}
}

// Flows returns the live flows, at most limit of them (0: all), in no order.
func (d *Datapath) Flows(limit int) ([]Flow, error) {
	d.mu.Lock()
	have := d.have
	d.mu.Unlock()
	now, err := d.bpf.clock(d.objs.Jiffies)
	if err != nil {
		return nil, err
	}
	var out []Flow
	err = d.bpf.eachLive(now, func(f *edgeFlow) {
		if limit == 0 || len(out) < limit {
			out = append(out, describeFlow(f, have, now))
		}
	})
	return out, err
}

// eachLive calls f for each flow that has not timed out.
func (s *bpfStore) eachLive(now clock, f func(*edgeFlow)) error {
	live := func(r *edgeFlow) {
		if _, named := flowStates[edgeFlowState(r.State)]; named && r.Version&1 == 0 && now.live(r) {
			f(r)
		}
	}
	return errors.Join(walkFlows(s.maps.Flows, live), walkFlows(s.maps.HalfOpen, live))
}

func describeFlow(f *edgeFlow, have contents, now clock) Flow {
	out := Flow{
		Protocol: lb.TCP, State: flowStates[edgeFlowState(f.State)], SourceNAT: portFromMap(f.Nat), Idle: now.idle(f),
		Client:    netip.AddrPortFrom(addrFromMap(f.Client), portFromMap(f.Port)),
		ClientMAC: macFromMap(f.Link),
	}
	if f.Proto == ipProtoUDP {
		out.Protocol = lb.UDP
	}
	if l, ok := have.listeners[indexOf(f.Listener)]; ok && l.Id == f.Listener {
		out.VIP = netip.AddrPortFrom(addrFromMap(l.Vip), portFromMap(l.Port))
	}
	if t, ok := have.targets[indexOf(f.Target)]; ok && t.Id == f.Target {
		out.Target = netip.AddrPortFrom(addrFromMap(t.Addr), portFromMap(t.Port))
	}
	if state := edgeFlowState(f.State); state == edgeFlowStateFLOW_ESTABLISHED || state == edgeFlowStateFLOW_CLOSING {
		out.Bytes = f.Bytes
	}
	return out
}
