// Package layout says where everything in the lab is: zones, nodes, clients,
// their addresses, namespaces and identifiers.
//
// One VPC lies on one bridge; zones are subnets of it; every member has its
// address with the VPC's whole prefix on link. Pod ranges lie inside the zone's
// subnet and are answered for by their node. Two clients live outside the VPC,
// behind a router that plays the internet gateway.
//
// All addresses come from ranges for documentation and benchmarking (RFC 2544,
// 3849, 5737, 9637), so that no packet could find a way if one ever left.
//
// Invariants: the package is pure; everything follows from the zones' names and
// the nodes' specifications, so what is written down of a lab is only these.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Limits that follow from the address plan: a zone is a /20 of the VPC whose
// first /24 holds machines and each further one the pods of a node.
const (
	MaxZones        = 15
	MaxNodesPerZone = 15
)

// Addresses that do not depend on the size of the lab.
var (
	VPC4      = netip.MustParsePrefix("198.18.0.0/16")
	VPC6      = netip.MustParsePrefix("2001:db8::/32")
	Services4 = netip.MustParsePrefix("198.19.0.0/16")
	Services6 = netip.MustParsePrefix("2001:db8:ffff::/112")
	DNS4      = netip.MustParseAddr("198.19.0.10") // cluster IP of the cluster DNS
	DNS6      = netip.MustParseAddr("2001:db8:ffff::a")
	APIServer = netip.MustParseAddr("198.19.0.1") // cluster IP of the Service kubernetes
	Router4   = netip.MustParseAddr("198.18.0.1")
	Router6   = netip.MustParseAddr("2001:db8::1")
	Control4  = netip.MustParseAddr("198.18.0.10")
	Control6  = netip.MustParseAddr("2001:db8::10")
)

// DNS are the cluster IPs of the cluster DNS, for pods.
func DNS() []netip.Addr { return []netip.Addr{DNS4, DNS6} }

// Layout is a lab's zones and nodes with everything that follows from them.
type Layout struct {
	Prefix string // of all namespace names, such as "fl-"
	Region string
	VPCID  string
	Zones  []Zone
	Nodes  []Node
}

// Zone is an availability zone: one subnet and one edge.
type Zone struct {
	Name     string // us-west-2a
	ID       string // usw2-az1
	Number   int    // from 1, in the order given
	SubnetID string
	Subnet4  netip.Prefix
	Subnet6  netip.Prefix
	Edge4    netip.Addr
	Edge6    netip.Addr
}

// NodeSpec is what is chosen about a node.
type NodeSpec struct {
	Name  string `json:"name"`  // node-1; never used again for another node of the lab
	Zone  string `json:"zone"`  // name of the zone
	Index int    `json:"index"` // place in the zone's address plan, from 0; used again when free
}

// Node is a node with what follows from its specification.
type Node struct {
	NodeSpec
	InstanceID  string
	InterfaceID string
	IPv4, IPv6  netip.Addr
	Pods4       netip.Prefix
	Pods6       netip.Prefix
}

// ProviderID is the node's identity for Kubernetes' cloud code on AWS.
func (n Node) ProviderID() string { return "aws:///" + n.Zone + "/" + n.InstanceID }

// MAC is the address of the node's interface; it spells the IPv4 address.
func (n Node) MAC() string { return MAC(n.IPv4) }

var zoneName = regexp.MustCompile(`^([a-z]{2}(?:-[a-z]+)+-[0-9]+)([a-z])$`)

// New lays out a lab. All problems of the arguments are reported at once.
func New(prefix string, zones []string, nodes []NodeSpec) (Layout, error) {
	l := Layout{Prefix: prefix, VPCID: ID("vpc", "vpc")}
	problems := zoneProblems(zones)
	if len(problems) == 0 {
		l.Region = zoneName.FindStringSubmatch(zones[0])[1]
		for i, name := range zones {
			l.Zones = append(l.Zones, newZone(name, i+1))
		}
		for _, spec := range nodes {
			n, err := l.place(spec)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			l.Nodes = append(l.Nodes, n)
		}
	}
	return l, errors.Join(problems...)
}

func zoneProblems(zones []string) []error {
	var problems []error
	if len(zones) == 0 || len(zones) > MaxZones {
		problems = append(problems, fmt.Errorf("%d zones: must be 1 to %d", len(zones), MaxZones))
	}
	region := ""
	for i, name := range zones {
		m := zoneName.FindStringSubmatch(name)
		switch {
		case m == nil:
			problems = append(problems, fmt.Errorf("zone %q: must be a region and a letter, such as us-west-2a", name))
		case slices.Contains(zones[:i], name):
			problems = append(problems, fmt.Errorf("zone %q: occurs twice", name))
		case region != "" && m[1] != region:
			problems = append(problems, fmt.Errorf("zone %q: must be in region %s like the others", name, region))
		default:
			region = m[1]
		}
	}
	return problems
}

func newZone(name string, number int) Zone {
	z := byte(number)
	subnet6 := [16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, z}
	edge6 := subnet6
	edge6[15] = 4
	return Zone{
		Name: name, Number: number,
		ID:       fmt.Sprintf("%s-az%d", shortRegion(zoneName.FindStringSubmatch(name)[1]), number),
		SubnetID: ID("subnet", name),
		Subnet4:  netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 16 * z, 0}), 20),
		Subnet6:  netip.PrefixFrom(netip.AddrFrom16(subnet6), 64),
		Edge4:    netip.AddrFrom4([4]byte{198, 18, 16 * z, 4}),
		Edge6:    netip.AddrFrom16(edge6),
	}
}

// shortRegion abbreviates as zone IDs do: us-west-2 is usw2, ap-southeast-1 is
// apse1.
func shortRegion(region string) string {
	return strings.NewReplacer("north", "n", "south", "s", "east", "e", "west", "w",
		"central", "c", "gov", "g", "-", "").Replace(region)
}

func (l Layout) place(spec NodeSpec) (Node, error) {
	zone, ok := l.Zone(spec.Zone)
	switch {
	case !ok:
		return Node{}, fmt.Errorf("node %s: zone %q is not one of %s", spec.Name, spec.Zone, strings.Join(l.zoneNames(), ", "))
	case spec.Index < 0 || spec.Index >= MaxNodesPerZone:
		return Node{}, fmt.Errorf("node %s: zone %s has room for %d nodes", spec.Name, spec.Zone, MaxNodesPerZone)
	}
	for _, n := range l.Nodes {
		if n.Name == spec.Name || n.Zone == spec.Zone && n.Index == spec.Index {
			return Node{}, fmt.Errorf("node %s: its name or place is that of %s", spec.Name, n.Name)
		}
	}
	z, i := byte(16*zone.Number), byte(spec.Index)
	ip6, pods6 := zone.Subnet6.Addr().As16(), zone.Subnet6.Addr().As16()
	ip6[15] = 0x10 + i
	pods6[9] = i + 1
	return Node{
		NodeSpec:    spec,
		InstanceID:  ID("i", spec.Name),
		InterfaceID: ID("eni", spec.Name),
		IPv4:        netip.AddrFrom4([4]byte{198, 18, z, 16 + i}),
		IPv6:        netip.AddrFrom16(ip6),
		Pods4:       netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, z + 1 + i, 0}), 24),
		Pods6:       netip.PrefixFrom(netip.AddrFrom16(pods6), 80),
	}, nil
}

// Zone finds a zone by name.
func (l Layout) Zone(name string) (Zone, bool) {
	i := slices.IndexFunc(l.Zones, func(z Zone) bool { return z.Name == name })
	if i < 0 {
		return Zone{}, false
	}
	return l.Zones[i], true
}

// Node finds a node by name.
func (l Layout) Node(name string) (Node, bool) {
	i := slices.IndexFunc(l.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return l.Nodes[i], true
}

func (l Layout) zoneNames() []string {
	names := make([]string, len(l.Zones))
	for i, z := range l.Zones {
		names[i] = z.Name
	}
	return names
}

// FreeIndex is the lowest place in a zone that no node has.
func FreeIndex(nodes []NodeSpec, zone string) int {
	for i := 0; ; i++ {
		if !slices.ContainsFunc(nodes, func(n NodeSpec) bool { return n.Zone == zone && n.Index == i }) {
			return i
		}
	}
}

// RoundRobin specifies n nodes named from node-1 on, spread over the zones.
func RoundRobin(zones []string, n int) []NodeSpec {
	specs := make([]NodeSpec, n)
	for i := range specs {
		specs[i] = NodeSpec{Name: NodeName(i + 1), Zone: zones[i%len(zones)], Index: i / len(zones)}
	}
	return specs
}

// NodeName is the name of the n-th node that a lab ever had, from 1.
func NodeName(n int) string { return fmt.Sprintf("node-%d", n) }

// ID makes an identifier of EC2's form: a kind and 17 hexadecimal digits. The
// same name always gives the same identifier.
func ID(kind, name string) string {
	sum := sha256.Sum256([]byte("fairlead-lab/" + kind + "/" + name))
	return kind + "-" + hex.EncodeToString(sum[:])[:17]
}

// MAC spells an IPv4 address as a locally administered MAC address, so that
// captures read easily.
func MAC(ip netip.Addr) string {
	b := ip.As4()
	return fmt.Sprintf("02:fa:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}
