package datapath

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// makeDeleted has a listener stay for its flows alone.
func (w *world) makeDeleted(id uint32) {
	entry, l := w.contents.listeners[indexOf(id)], w.model.Listeners[id]
	entry.Flags, entry.Clients, entry.Choices = listenerDeleted, clientsNobody, 0
	l.Deleted, l.Clients, l.Choices = true, clientsNobody, nil
	w.contents.listeners[indexOf(id)], w.model.Listeners[id] = entry, l
}

// deleted is the world once one of its listeners was deleted.
func (w *world) deleted() *world {
	w.makeDeleted(makeID(1, 0))
	return w
}

func deletedVerdicts() map[string]outcome {
	established := handshake(client4, vipTCP4, targetA4)
	return map[string]outcome{
		"data of a flow whose listener was deleted": {
			gone: true, before: established, frame: tcp(client4, vipTCP4, fACK, 101, 501, 10),
			want: model.TX, moved: "sent_to_target ProcessedPackets ProcessedBytesTCP=50",
		},
		"data of its target": {
			gone: true, before: established, frame: tcp(targetA4, client4, fACK, 501, 101, 10),
			want: model.TX, moved: "sent_to_client ProcessedPackets ProcessedBytesTCP=50",
		},
		"proof of a client after its listener was deleted": {
			gone: true, before: established[:2], frame: established[2],
			want: model.TX, moved: "sent_to_target NewFlowCountTCP ProcessedPackets ProcessedBytesTCP=40",
		},
		"SYN to a deleted listener that has flows": {
			gone: true, before: established, frame: tcp("203.0.113.10:9", vipTCP4, fSYN, 1, 0, 0),
			want: model.Drop, moved: "drop_no_listener",
		},
		"data of no flow to a deleted listener": {
			gone: true, before: established, frame: tcp("203.0.113.10:9", vipTCP4, fACK, 1, 1, 5),
			want: model.Drop, moved: "drop_no_listener",
		},
		"path MTU of a flow whose listener was deleted": {
			gone: true, before: established,
			frame: icmp4(3, 4, "10.1.1.1", "198.18.0.100", tcp(vipTCP4, client4, fACK, 501, 101, 900)[14:50]),
			want:  model.TX, moved: "sent_icmp",
		},
	}
}

func TestDeletedListenersStayForTheirConnectionsAlone(t *testing.T) {
	const vip = "198.18.0.100"
	listener := func(arn string, p lb.Protocol) Listener {
		return Listener{ARN: arn, Balancer: "lb", VIP: netip.MustParseAddr(vip), Port: 80, Protocol: p}
	}
	with := func(listeners ...Listener) Tables {
		return Tables{Balancers: []Balancer{{ARN: "lb", Addrs: []netip.Addr{netip.MustParseAddr(vip)}}}, Listeners: listeners}
	}
	local := listener("old", lb.TCP)
	local.Local = true
	another := with(listener("new", lb.TCP))
	another.Balancers[0].ARN, another.Listeners[0].Balancer = "another", "another"
	for name, c := range map[string]struct {
		before Listener
		after  Tables
		used   func(uint32) bool
		kept   bool // under its ID
		open   bool // for new flows
	}{
		"a TCP listener with flows":                         {listener("old", lb.TCP), with(), always, true, false},
		"a TCP listener without flows":                      {listener("old", lb.TCP), with(), never, false, false},
		"a UDP listener with flows":                         {listener("old", lb.UDP), with(), always, false, false},
		"a listener in user space":                          {local, with(), always, false, false},
		"a listener whose load balancer was deleted":        {listener("old", lb.TCP), Tables{}, always, false, false},
		"a listener that another one replaces":              {listener("old", lb.TCP), with(listener("new", lb.TCP)), never, true, true},
		"a UDP listener that another one replaces":          {listener("old", lb.UDP), with(listener("new", lb.UDP)), always, false, true},
		"a listener whose address another balancer has now": {listener("old", lb.TCP), another, always, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMemoryStore()
			if err := s.apply(t, with(c.before), always); err != nil {
				t.Fatal(err)
			}
			id := s.listeners[0].Id
			if err := s.apply(t, c.after, c.used); err != nil {
				t.Fatal(err)
			}
			kept, open := false, false
			for _, l := range s.listeners {
				kept = kept || l.Id == id
				open = open || l.Flags&listenerDeleted == 0
			}
			if kept != c.kept || open != c.open {
				t.Errorf("kept %t, open %t, want %t, %t: %+v", kept, open, c.kept, c.open, s.listeners)
			}
		})
	}
}

func TestConnectionsOutliveTheirListener(t *testing.T) {
	s, d, stop := servingSite(t)
	defer stop()
	snap := snapshot()
	apply(t, d, snap, healthy(snap))
	c := s.dial(t, "client", vip4+":80")
	c.ask(t, "before")
	listeners := snap.LoadBalancers[0].Listeners
	snap.LoadBalancers[0].Listeners = nil
	apply(t, d, snap, healthy(snap))
	for range 2 {
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.ask(t, "still there")
	}
	listeners[0].ARN = "made anew"
	snap.LoadBalancers[0].Listeners = listeners
	apply(t, d, snap, healthy(snap))
	c.ask(t, "taken over")
	s.dial(t, "client", vip4+":80").ask(t, "new")
}

// Not even connections that are closing, or a source port, outlive the address.
func TestFlowsOfADeletedLoadBalancerAreForgottenAtOnce(t *testing.T) {
	s, d, stop := servingSite(t)
	defer stop()
	snap := snapshot()
	for i := range snap.TargetGroups {
		snap.TargetGroups[i].PreserveClientIP = false
	}
	apply(t, d, snap, healthy(snap))
	for _, vip := range []string{vip4, "[" + vip6 + "]"} {
		s.dial(t, "client", vip+":80").ask(t, "open")
		closed := s.dial(t, "client", vip+":80")
		closed.ask(t, "closed")
		closed.Close()
	}
	other := snap.LoadBalancers[1:]
	snap.LoadBalancers = snap.LoadBalancers[:1]
	apply(t, d, snap, healthy(snap))
	awaitFlows(t, d, map[netip.Addr]bool{netip.MustParseAddr(vip4): true})
	snap.LoadBalancers = nil
	apply(t, d, snap, healthy(snap))
	awaitFlows(t, d, nil)
	snap.LoadBalancers = other
	apply(t, d, snap, healthy(snap))
	s.dial(t, "client", "["+vip6+"]:80").ask(t, "again")
}

// awaitFlows waits until all records are those of some addresses.
func awaitFlows(t *testing.T, d *Datapath, of map[netip.Addr]bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		flows, err := d.Flows(0)
		nat := 0
		err2 := errors.Join(walkFlows(d.objs.Flows, countNAT(&nat)), walkFlows(d.objs.HalfOpen, countNAT(&nat)))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		foreign := 0
		for _, f := range flows {
			if !of[f.VIP.Addr()] {
				foreign++
			}
		}
		if foreign == 0 && (len(flows) > 0) == (len(of) > 0) && (nat > 0) == (len(of) > 0) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d flows and %d source ports are left: %+v", foreign, len(flows), nat, flows)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func countNAT(n *int) func(*edgeFlow) {
	return func(f *edgeFlow) {
		if f.State == uint8(edgeFlowStateFLOW_NAT) {
			*n++
		}
	}
}

// Of records that packets use meanwhile, those of other listeners stay.
func TestReapingFreesTheRecordsOfOneListener(t *testing.T) {
	r := newRig(t)
	w := simple(false)
	r.install(t, w)
	frames := append(handshake(client4, vipTCP4, targetA4), handshake(client6, vipTCP6, targetA6)...)
	frames = append(frames, udp(client4, vipUDP4, 5), tcp(client4, "198.18.0.100:81", fSYN, 1, 0, 0))
	for _, f := range frames {
		r.send(t, f)
	}
	gone := map[uint32]struct{}{makeID(1, 0): {}, makeID(1, 4): {}}
	n, err := r.store.reap(r.objs.Reap, gone)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range [][]model.Bucket{r.model.Flows, r.model.HalfOpen} {
		for b := range table {
			for i := range table[b] {
				if _, dead := gone[table[b][i].Listener]; dead {
					table[b][i] = model.Flow{}
				}
			}
		}
	}
	if n != 3 { // one established, one half open, and its source port
		t.Errorf("freed %d records, want 3", n)
	}
	r.send(t, tcp(client6, vipTCP6, fACK, 101, 501, 1)) // compares the tables
}
