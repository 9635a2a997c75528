package datapath

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/datapath/model"
)

// clients makes a set.
func (w *world) clients(set uint64, prefixes ...string) {
	for _, s := range prefixes {
		p := netip.MustParsePrefix(s)
		w.contents.clients[client{set, p}] = struct{}{}
		w.model.Clients[set] = append(w.model.Clients[set], p)
	}
}

// echo says who may send echo requests to an address.
func (w *world) echo(vip string, set uint64) {
	a := netip.MustParseAddr(vip)
	v := w.contents.vips[a]
	v.EchoClients = set
	w.contents.vips[a] = v
	w.model.Echo[a] = model.Echo{Balancer: v.Balancer, Clients: set}
}

// guard says who may open flows of a listener.
func (w *world) guard(listener uint32, set uint64) {
	entry, l := w.contents.listeners[indexOf(listener)], w.model.Listeners[listener]
	entry.Clients, l.Clients = set, set
	w.contents.listeners[indexOf(listener)], w.model.Listeners[listener] = entry, l
}

// rules says whose flows a target takes, and with flags what is kept from it.
func (w *world) rules(target uint32, flags uint16, tcp, udp uint64) {
	entry, t := w.contents.targets[indexOf(target)], w.model.Targets[target]
	entry.Flags |= flags
	entry.ClientsTcp, entry.ClientsUdp = tcp, udp
	t.NoTCP, t.NoUDP, t.ClientsTCP, t.ClientsUDP = flags&targetNoTCP != 0, flags&targetNoUDP != 0, tcp, udp
	w.contents.targets[indexOf(target)], w.model.Targets[target] = entry, t
}

// guarded adds a load balancer whose security groups, and whose targets' groups,
// let through some and not others.
func (w *world) guarded() {
	const outside = 1<<63 | 7
	w.vip(netip.MustParseAddr("198.18.0.101"), 1)
	w.vip(netip.MustParseAddr("2001:db8::101"), 1)
	w.clients(outside, "203.0.113.0/24", "3fff::/20")
	w.echo("198.18.0.101", outside)
	w.echo("2001:db8::101", clientsNobody)
	w.target(makeID(1, 4), "198.18.0.23:8080", 6, 0, 0)
	w.target(makeID(1, 5), "198.18.0.24:8080", 7, 0, 0)
	w.target(makeID(1, 6), "[2001:db8::23]:8080", 8, 0, 0)
	w.group(6, 0, makeID(1, 4))
	w.group(7, 0, makeID(1, 5))
	w.group(8, 0, makeID(1, 6))
	w.rules(makeID(1, 4), 0, outside, clientsNobody)
	w.rules(makeID(1, 5), targetNoTCP|targetNoUDP, clientsEveryone, clientsEveryone)
	listener := func(index uint32, at string, proto uint8, group uint32, clients uint64) {
		w.listener(makeID(1, index), at, proto, 350, edgeChoice{Group: group, Bound: 1<<32 - 1})
		l := w.contents.listeners[index]
		l.Balancer = 1
		w.contents.listeners[index] = l
		m := w.model.Listeners[l.Id]
		m.Balancer = 1
		w.model.Listeners[l.Id] = m
		w.guard(l.Id, clients)
	}
	listener(20, "198.18.0.101:80", ipProtoTCP, 0, outside)
	listener(21, "198.18.0.101:80", ipProtoUDP, 0, clientsNobody)
	listener(22, "198.18.0.101:81", ipProtoTCP, 6, clientsEveryone)
	listener(23, "198.18.0.101:81", ipProtoUDP, 6, clientsEveryone)
	listener(24, "198.18.0.101:82", ipProtoTCP, 7, clientsEveryone)
	listener(25, "198.18.0.101:82", ipProtoUDP, 7, clientsEveryone)
	listener(26, "[2001:db8::101]:80", ipProtoTCP, 8, outside)
}

// closed is the world once nobody may open flows to its listeners any more.
func (w *world) closed() *world {
	for id := range w.model.Listeners {
		w.guard(id, clientsNobody)
	}
	return w
}

// securityGroups lets some clients through and others not, at each place where
// rules decide. Sets of one client and of both families have one number.
func (w *world) securityGroups(id func(uint32) uint32) {
	const outside, vpc = 1<<63 | 1, 1<<63 | 2
	w.clients(outside, "203.0.113.0/24", "192.0.2.10/32", "3fff::/20", "3fff:0:0:2::/64")
	w.clients(vpc, "198.18.0.0/16", "2001:db8::/32")
	w.guard(id(1), outside)
	w.guard(id(3), vpc)
	w.guard(id(4), outside)
	w.guard(id(6), clientsNobody)
	w.rules(id(1), 0, outside, outside)
	w.rules(id(3), targetNoTCP, clientsEveryone, vpc)
	w.rules(id(5), 0, clientsEveryone, outside)
	w.rules(id(6), targetNoUDP, vpc, clientsEveryone)
	w.echo("198.18.0.100", outside)
	w.echo("198.18.0.101", clientsNobody)
}
