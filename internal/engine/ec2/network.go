package ec2

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// network is what follows from one inventory. It does not change.
type network struct {
	*inventory.Index
	interfaces map[string]nic // of instances, by ID
	used       map[string]int // IPv4 addresses held in a subnet, by its ID
	attached   map[string]int // interfaces that carry a security group, by its ID
}

// network returns what follows from the inventory in force, worked out once.
func (s *Service) network() *network {
	index := s.Network()
	if n := s.derived.Load(); n != nil && n.Index == index {
		return n
	}
	n := newNetwork(index)
	s.derived.Store(n) // when two do this at once either result will do
	return n
}

func newNetwork(index *inventory.Index) *network {
	n := &network{Index: index, interfaces: map[string]nic{}, used: map[string]int{}, attached: map[string]int{}}
	for _, instance := range index.Instances {
		for i, nic := range nicsOf(index, instance) {
			n.interfaces[nic.id] = nic
			n.used[nic.subnet.SubnetID] += heldIPv4(instance.Interfaces[i])
			for _, g := range nic.groups {
				n.attached[g]++
			}
		}
	}
	for _, edge := range index.Edges {
		for _, addr := range edge.Addresses {
			if _, counted := index.InstanceAt(addr); counted {
				continue
			}
			for _, subnet := range index.Subnets {
				if subnet.CIDRBlock.Contains(addr) {
					n.used[subnet.SubnetID]++
				}
			}
		}
	}
	return n
}

// fromFile reports whether a VPC or subnet stands in the inventory file.
func (n *network) fromFile(id string) bool {
	if v, ok := n.VPC(id); ok {
		return !v.Made
	}
	v, ok := n.Subnet(id)
	return ok && !v.Made
}

// heldIPv4 is the number of IPv4 addresses that an interface holds.
func heldIPv4(i inventory.NetworkInterface) int {
	held := 0
	for _, a := range i.Addresses {
		if a.Is4() {
			held++
		}
	}
	for _, p := range i.Prefixes {
		if p.Addr().Is4() {
			held += sizeIPv4(p)
		}
	}
	return held
}

func sizeIPv4(p netip.Prefix) int { return 1 << (32 - p.Bits()) }

// reservedPerSubnet is the number of addresses that AWS keeps in each subnet.
const reservedPerSubnet = 5

func (n *network) freeIPv4(r store.Reader, subnet inventory.Subnet) int {
	free := sizeIPv4(subnet.CIDRBlock) - reservedPerSubnet - n.used[subnet.SubnetID]
	for a := range state.ZonalAddresses.Prefix(r, subnet.SubnetID+"/") {
		if a.Address.Is4() && strings.HasPrefix(a.Holder, "arn:") { // those of instances are counted in used
			free--
		}
	}
	return max(free, 0)
}

// defaultVPC is the VPC that requests without one mean.
func (n *network) defaultVPC() (inventory.VPC, bool) {
	for _, v := range n.VPCs {
		if v.IsDefault {
			return v, true
		}
	}
	return inventory.VPC{}, false
}

// derivedID makes an ID of EC2's form, the same for the same parts, for things
// that follow from others.
func derivedID(prefix string, parts ...string) string { return state.DerivedID(prefix, parts...) }

// tagsOf merges the tags of the inventory with those given through the API.
func tagsOf(r store.Reader, id string, fromFile map[string]string) map[string]string {
	all := state.Tags(r, id)
	for k, v := range fromFile {
		if _, set := all[k]; !set {
			all[k] = v
		}
	}
	return all
}

// Tag is a tag in requests and responses.
type Tag struct {
	Key   string `ec2:"Key"`
	Value string `ec2:"Value"`
}

func tagSet(tags map[string]string) []Tag {
	set := make([]Tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		set = append(set, Tag{k, tags[k]})
	}
	return set
}
