package layout

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/inventory"
)

// Inventory describes the lab's network to the engine. Resources carry the tags
// by which Kubernetes' cloud code finds a cluster's own.
func (l Layout) Inventory(cluster string) inventory.File {
	group := ID("sg", "nodes")
	owned := "kubernetes.io/cluster/" + cluster
	f := inventory.File{
		VPCs: []inventory.VPC{{VPCID: l.VPCID, CIDRBlock: VPC4, IPv6CIDRBlock: VPC6, Tags: named("vpc")}},
		SecurityGroups: []inventory.SecurityGroup{{
			GroupID: group, GroupName: "nodes", Description: "nodes of the cluster", VPCID: l.VPCID,
			Tags: with(named("nodes"), owned, "owned"),
		}},
	}
	for _, z := range l.Zones {
		f.Subnets = append(f.Subnets, l.subnet(z, owned))
		f.Edges = append(f.Edges, inventory.Edge{Zone: z.Name, Addresses: []netip.Addr{z.Edge4, z.Edge6}})
	}
	for _, n := range l.Nodes {
		f.Instances = append(f.Instances, l.instance(n, group, owned))
	}
	return f
}

func (l Layout) subnet(z Zone, owned string) inventory.Subnet {
	tags := with(named(z.Name), owned, "shared")
	tags["kubernetes.io/role/elb"] = "1"
	tags["kubernetes.io/role/internal-elb"] = "1"
	return inventory.Subnet{
		SubnetID: z.SubnetID, VPCID: l.VPCID,
		AvailabilityZone: z.Name, AvailabilityZoneID: z.ID,
		CIDRBlock: z.Subnet4, IPv6CIDRBlock: z.Subnet6,
		Public: true, CIDRReservations: z.reservations(), Tags: tags,
	}
}

// reservations are the ranges of all nodes that the zone could ever have, and
// of their pods.
func (z Zone) reservations() []netip.Prefix {
	machines4, machines6 := z.Subnet4.Addr().As4(), z.Subnet6.Addr().As16()
	machines4[3], machines6[15] = 16, 16
	ranges := []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4(machines4), 28),
		netip.PrefixFrom(netip.AddrFrom16(machines6), 124),
	}
	for i := range byte(MaxNodesPerZone) {
		pods4, pods6 := z.Subnet4.Addr().As4(), z.Subnet6.Addr().As16()
		pods4[2] += 1 + i
		pods6[9] = 1 + i
		ranges = append(ranges, netip.PrefixFrom(netip.AddrFrom4(pods4), 24), netip.PrefixFrom(netip.AddrFrom16(pods6), 80))
	}
	return ranges
}

func (l Layout) instance(n Node, group, owned string) inventory.Instance {
	zone, _ := l.Zone(n.Zone) // place has looked it up
	return inventory.Instance{
		InstanceID: n.InstanceID, PrivateDNSName: n.Name, State: "running",
		Tags: with(named(n.Name), owned, "owned"),
		Interfaces: []inventory.NetworkInterface{{
			NetworkInterfaceID: n.InterfaceID, SubnetID: zone.SubnetID, MACAddress: n.MAC(),
			Addresses:      []netip.Addr{n.IPv4, n.IPv6},
			Prefixes:       []netip.Prefix{n.Pods4, n.Pods6},
			SecurityGroups: []string{group},
		}},
	}
}

func named(name string) map[string]string { return map[string]string{"Name": name} }

func with(tags map[string]string, key, value string) map[string]string {
	tags[key] = value
	return tags
}
