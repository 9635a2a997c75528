// Package netlab builds networks of Linux network namespaces from a
// description, runs processes in them and takes both away again.
//
// A [Topology] is data: which namespaces there are, which veth pairs connect
// them, and what is set on every port. [Apply] makes the machine look like it
// and may be called again at any time, after a crash or with a larger value;
// [Delete] and [Kill] take away what has the names in it.
//
// Invariants:
//   - Namespaces are named as `ip netns` names them: bind mounts in /run/netns.
//   - No link is ever created in the caller's own namespace, not even for a
//     moment: both ends of a pair come to life where they belong.
//   - Nothing outside the named namespaces and /run/netns is changed.
//
// All functions that touch the machine need CAP_SYS_ADMIN and CAP_NET_ADMIN.
package netlab

import (
	"fmt"
	"net/netip"
)

// Topology is a network as data.
type Topology struct {
	Namespaces []Namespace
	Cables     []Cable
}

// Namespace is one network namespace. Its loopback interface is always up.
type Namespace struct {
	Name    string
	Sysctls []Sysctl // written before any link is made, so that "default" keys hold for all
	Bridges []string
	Routes  []Route // added when all ports are up
}

// Sysctl is one kernel setting. Key is the path below /proc/sys, such as
// net/ipv4/ip_forward. A setting that this kernel does not have is an error
// unless Optional.
type Sysctl struct {
	Key, Value string
	Optional   bool
}

// Route sends To through Via; without a valid Via, packets to To are refused
// (an unreachable route), which keeps ranges that are only partly in use from
// leaving by the default route.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Cable is a veth pair.
type Cable struct{ A, B Port }

// Port is one end of a cable.
type Port struct {
	Namespace string
	Name      string         // at most 15 bytes
	MAC       string         // empty: the kernel's choice
	Addresses []netip.Prefix // address and on-link prefix
	Bridge    string         // bridge of the same namespace that the port belongs to
	Sysctls   []Sysctl       // written after the port exists

	// FacesXDP prepares a port for a peer whose XDP program sends frames on or
	// back.
	//
	// The port then computes checksums itself (ethtool -K PORT tx off): frames
	// on veth travel without, and such a program would send them on unfinished.
	// And it gets an XDP program that passes everything: frames that a program
	// sends back over veth wait in the port's ring, and the kernel wakes up
	// only a port that has a program too (veth_xdp_flush in drivers/net/veth.c);
	// generic receive offload fills the ring as well, but nobody empties it.
	FacesXDP bool
}

// Names returns the names of all namespaces.
func (t Topology) Names() []string {
	names := make([]string, len(t.Namespaces))
	for i, ns := range t.Namespaces {
		names[i] = ns.Name
	}
	return names
}

// maxInterfaceName is IFNAMSIZ less the terminating zero.
const maxInterfaceName = 15

// Validate reports the first thing that the kernel would refuse in the middle
// of Apply, or that would make the topology ambiguous.
func (t Topology) Validate() error {
	known := map[string]bool{}
	for _, ns := range t.Namespaces {
		if ns.Name == "" || known[ns.Name] {
			return fmt.Errorf("namespace %q occurs twice or has no name", ns.Name)
		}
		known[ns.Name] = true
	}
	ports := map[[2]string]bool{}
	for _, c := range t.Cables {
		for _, p := range []Port{c.A, c.B} {
			key := [2]string{p.Namespace, p.Name}
			switch {
			case !known[p.Namespace]:
				return fmt.Errorf("port %q is in namespace %q, which the topology does not have", p.Name, p.Namespace)
			case p.Name == "" || len(p.Name) > maxInterfaceName:
				return fmt.Errorf("port %q of namespace %q: a name has 1 to %d bytes", p.Name, p.Namespace, maxInterfaceName)
			case ports[key]:
				return fmt.Errorf("port %q occurs twice in namespace %q", p.Name, p.Namespace)
			}
			ports[key] = true
		}
	}
	return nil
}
