package layout

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// Uplink is the interface of every member of the VPC.
const Uplink = "eth0"

const vpcBridge = "vpc0"

// Names of the namespaces that there is one of, without the prefix.
const (
	vpcNamespace     = "vpc"
	routerNamespace  = "igw"
	ControlNamespace = "control"
)

// Client is a machine outside the VPC with a network to itself.
type Client struct {
	Name      string
	Addresses []netip.Prefix
	Gateways  []netip.Prefix // the router's side, one per family
}

// Clients are the same in every lab.
func Clients() []Client {
	return []Client{
		{"client", prefixes("203.0.113.10/24"), prefixes("203.0.113.1/24")},
		{"client-2", prefixes("192.0.2.10/24", "3fff:0:0:2::10/64"), prefixes("192.0.2.1/24", "3fff:0:0:2::1/64")},
	}
}

func prefixes(ss ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(ss))
	for i, s := range ss {
		ps[i] = netip.MustParsePrefix(s)
	}
	return ps
}

// EdgeNamespace names a zone's edge, without the prefix.
func EdgeNamespace(zone string) string { return "edge-" + zone }

// Networks are the ranges that mean something else inside the lab than they
// could on the host. The clients' are not among them: they stand for anywhere
// outside.
func Networks() []netip.Prefix { return []netip.Prefix{VPC4, VPC6, Services4, Services6} }

// Network describes the lab's namespaces and links.
func (l Layout) Network() netlab.Topology {
	var t netlab.Topology
	t.Namespaces = append(t.Namespaces, netlab.Namespace{
		Name: l.Prefix + vpcNamespace, Sysctls: switchSysctls(), Bridges: []string{vpcBridge},
	})
	l.addMember(&t, member{name: routerNamespace, port: "igw", sysctls: routerSysctls()}, Router4, Router6)
	l.addMember(&t, member{name: ControlNamespace, port: "control", routes: defaultRoutes()}, Control4, Control6)
	for _, z := range l.Zones {
		edge := member{
			name: EdgeNamespace(z.Name), port: "edge-" + zoneLetter(z.Name), routes: defaultRoutes(), sysctls: hostSysctls(),
			facesXDP: true,
		}
		l.addMember(&t, edge, z.Edge4, z.Edge6)
	}
	for _, n := range l.Nodes {
		node := member{name: n.Name, port: n.Name, routes: nodeRoutes(n), sysctls: routerSysctls(), portSysctls: nodePortSysctls()}
		l.addMember(&t, node, n.IPv4, n.IPv6)
	}
	for _, c := range Clients() {
		l.addClient(&t, c)
	}
	return t
}

func zoneLetter(zone string) string { return zone[len(zone)-1:] }

// member is a namespace with one leg in the VPC.
type member struct {
	name        string // of the namespace, without the prefix
	port        string // of the bridge port that faces it
	routes      []netlab.Route
	sysctls     []netlab.Sysctl
	portSysctls []netlab.Sysctl
	facesXDP    bool
}

func (l Layout) addMember(t *netlab.Topology, m member, ip4, ip6 netip.Addr) {
	t.Namespaces = append(t.Namespaces, netlab.Namespace{Name: l.Prefix + m.name, Sysctls: m.sysctls, Routes: m.routes})
	t.Cables = append(t.Cables, netlab.Cable{
		A: netlab.Port{Namespace: l.Prefix + vpcNamespace, Name: m.port, Bridge: vpcBridge, FacesXDP: m.facesXDP},
		B: netlab.Port{
			Namespace: l.Prefix + m.name, Name: Uplink, MAC: MAC(ip4), Sysctls: m.portSysctls,
			Addresses: []netip.Prefix{netip.PrefixFrom(ip4, VPC4.Bits()), netip.PrefixFrom(ip6, VPC6.Bits())},
		},
	})
}

func (l Layout) addClient(t *netlab.Topology, c Client) {
	ns := netlab.Namespace{Name: l.Prefix + c.Name, Sysctls: hostSysctls()}
	for _, gw := range c.Gateways {
		ns.Routes = append(ns.Routes, netlab.Route{To: everything(gw.Addr()), Via: gw.Addr()})
	}
	t.Namespaces = append(t.Namespaces, ns)
	t.Cables = append(t.Cables, netlab.Cable{
		A: netlab.Port{Namespace: l.Prefix + routerNamespace, Name: c.Name, Addresses: c.Gateways},
		B: netlab.Port{Namespace: l.Prefix + c.Name, Name: Uplink, MAC: MAC(c.Addresses[0].Addr()), Addresses: c.Addresses},
	})
}

// everything is the default route's destination in the family of an address.
func everything(like netip.Addr) netip.Prefix {
	if like.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func defaultRoutes() []netlab.Route {
	return []netlab.Route{
		{To: everything(Router4), Via: Router4},
		{To: everything(Router6), Via: Router6},
	}
}

// nodeRoutes refuses pod addresses that no pod has: the VPC's prefix would
// send them back onto the link, and to the node itself once more.
func nodeRoutes(n Node) []netlab.Route {
	return append(defaultRoutes(), netlab.Route{To: n.Pods4}, netlab.Route{To: n.Pods6})
}

// switchSysctls keep the VPC's namespace a switch and nothing more: it has no
// address, and no packet filter sees what crosses the bridge.
func switchSysctls() []netlab.Sysctl {
	s := []netlab.Sysctl{
		{Key: "net/ipv6/conf/all/disable_ipv6", Value: "1"},
		{Key: "net/ipv6/conf/default/disable_ipv6", Value: "1"},
	}
	for _, key := range []string{"iptables", "ip6tables", "arptables"} {
		s = append(s, netlab.Sysctl{Key: "net/bridge/bridge-nf-call-" + key, Value: "0", Optional: true})
	}
	return s
}

// hostSysctls are for machines that do not forward. Replies may come another
// way than requests went, hence no reverse path filter, and the topology is
// complete without router advertisements.
func hostSysctls() []netlab.Sysctl {
	return append(both("rp_filter", "0"), both6("accept_ra", "0")...)
}

// routerSysctls are for the router and for nodes, which route for their pods.
// Both send packets back out of the interface they came from (a node that
// passes a connection on to another node), and a redirect would tell the
// sender to bypass the address translation that happens on the way.
func routerSysctls() []netlab.Sysctl {
	s := append(hostSysctls(), both("send_redirects", "0")...)
	s = append(s, both("accept_redirects", "0")...)
	return append(s,
		netlab.Sysctl{Key: "net/ipv4/ip_forward", Value: "1"},
		netlab.Sysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
	)
}

// nodePortSysctls make the node answer on the VPC for the addresses of its
// pods, at once.
func nodePortSysctls() []netlab.Sysctl {
	return []netlab.Sysctl{
		{Key: "net/ipv4/conf/eth0/proxy_arp", Value: "1"},
		{Key: "net/ipv6/conf/eth0/proxy_ndp", Value: "1"},
		{Key: "net/ipv4/neigh/eth0/proxy_delay", Value: "0"},
		{Key: "net/ipv6/neigh/eth0/proxy_delay", Value: "0"},
	}
}

func both(key, value string) []netlab.Sysctl  { return allAndDefault("ipv4", key, value) }
func both6(key, value string) []netlab.Sysctl { return allAndDefault("ipv6", key, value) }

func allAndDefault(family, key, value string) []netlab.Sysctl {
	return []netlab.Sysctl{
		{Key: "net/" + family + "/conf/all/" + key, Value: value},
		{Key: "net/" + family + "/conf/default/" + key, Value: value},
	}
}
