package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/internal/inventory"
)

// What the engines of all suites are told.
const (
	region      = "us-west-2"
	accountID   = "000000000000"
	clusterName = "fairlead"
	vpcID       = "vpc-0000000000000000b"
	nodesGroup  = "sg-0000000000000000b"
)

var zones = []string{"us-west-2a", "us-west-2b"}

func subnetID(zone int) string { return fmt.Sprintf("subnet-%017x", zone+1) }

func instanceID(n int) string { return fmt.Sprintf("i-%017x", n+1) }

// network is a VPC of two zones with room for 32,000 load balancers in each,
// and n instances, spread over the zones.
func network(n int) inventory.File {
	tags := map[string]string{"kubernetes.io/role/elb": "1", "kubernetes.io/cluster/" + clusterName: "shared"}
	f := inventory.File{
		VPCs: []inventory.VPC{{VPCID: vpcID, CIDRBlock: netip.MustParsePrefix("198.18.0.0/16")}},
		SecurityGroups: []inventory.SecurityGroup{{
			GroupID: nodesGroup, GroupName: "nodes", VPCID: vpcID, Tags: map[string]string{"kubernetes.io/cluster/" + clusterName: "owned"},
		}},
	}
	for i, zone := range zones {
		base := netip.AddrFrom4([4]byte{198, 18, byte(128 * i), 0})
		f.Subnets = append(f.Subnets, inventory.Subnet{
			SubnetID: subnetID(i), VPCID: vpcID, AvailabilityZone: zone, AvailabilityZoneID: fmt.Sprintf("usw2-az%d", i+1),
			CIDRBlock: netip.PrefixFrom(base, 17), Public: true, Tags: tags,
		})
		f.Edges = append(f.Edges, inventory.Edge{Zone: zone, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, byte(128 * i), 4})}})
	}
	for i := range n {
		f.Instances = append(f.Instances, inventory.Instance{
			InstanceID: instanceID(i), PrivateDNSName: nodeName(i),
			Tags: map[string]string{"kubernetes.io/cluster/" + clusterName: "owned"},
			Interfaces: []inventory.NetworkInterface{{
				SubnetID: subnetID(i % len(zones)), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 18, byte(128 * (i % len(zones))), byte(16 + i)})},
				SecurityGroups: []string{nodesGroup},
			}},
		})
	}
	return f
}

// writeNetwork puts the inventory file of n instances into dir.
func writeNetwork(dir string, n int) (path string, err error) {
	data, err := yaml.Marshal(network(n))
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "inventory.yaml")
	return path, os.WriteFile(path, data, 0o600)
}
