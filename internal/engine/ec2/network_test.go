package ec2

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

func TestVpcs(t *testing.T) {
	b := newBench(t)
	out := apitest.Must(b.DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{Filters: []types.Filter{filter("tag:Name", "l?b")}}))(t)
	if len(out.Vpcs) != 1 {
		t.Fatalf("got %d VPCs, want the one with the tag", len(out.Vpcs))
	}
	v := out.Vpcs[0]
	got := []string{*v.VpcId, *v.CidrBlock, *v.Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock, string(v.State), *v.OwnerId, *v.Tags[0].Value}
	if diff := cmp.Diff([]string{vpcID, "198.18.0.0/16", "2001:db8::/32", "available", apitest.AccountID, "lab"}, got); diff != "" || !*v.IsDefault {
		t.Errorf("VPC (-want +got):\n%s", diff)
	}
	_, err := b.DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{VpcIds: []string{vpcID, "vpc-1"}})
	wantCode(t, err, "InvalidVpcID.NotFound")
	_, err = b.DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{Filters: []types.Filter{filter("colour", "red")}})
	wantCode(t, err, "InvalidParameterValue")
	none := apitest.Must(b.DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{Filters: []types.Filter{filter("vpc-id", "vpc-1")}}))(t)
	if len(none.Vpcs) != 0 {
		t.Errorf("a filter on an absent ID gives %d VPCs", len(none.Vpcs))
	}
}

func TestSubnetsZonesAndRegions(t *testing.T) {
	b := newBench(t)
	err := b.db.Update(func(tx *store.Tx) error {
		state.ZonalAddresses.Put(tx, state.ZonalAddress{SubnetID: subnetA, Address: netip.MustParseAddr("198.18.16.9"), Holder: "arn:b"})
		state.ZonalAddresses.Put(tx, state.ZonalAddress{SubnetID: subnetA, Address: netip.MustParseAddr("2001:db8:0:1::9"), Holder: "arn:b"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := apitest.Must(b.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{
		Filters: []types.Filter{filter("vpc-id", vpcID), filter("tag-key", "kubernetes.io/role/*")},
	}))(t)
	if len(out.Subnets) != 1 {
		t.Fatalf("got %d subnets, want the one with a role", len(out.Subnets))
	}
	s := out.Subnets[0]
	got := []any{*s.SubnetId, *s.AvailabilityZone, *s.AvailabilityZoneId, *s.MapPublicIpOnLaunch, *s.AvailableIpAddressCount}
	// 4,096 addresses less 5 reserved, 1 of the instance, 256 of its pods, 1 of the edge, 1 of a load balancer.
	if diff := cmp.Diff([]any{subnetA, "us-west-2a", "usw2-az1", true, int32(4096 - 5 - 1 - 256 - 1 - 1)}, got); diff != "" {
		t.Errorf("subnet (-want +got):\n%s", diff)
	}
	_, err = b.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{SubnetIds: []string{"subnet-1"}})
	wantCode(t, err, "InvalidSubnetID.NotFound")

	zones := apitest.Must(b.DescribeAvailabilityZones(t.Context(), &sdk.DescribeAvailabilityZonesInput{}))(t)
	var names []string
	for _, z := range zones.AvailabilityZones {
		names = append(names, *z.ZoneName+" "+*z.ZoneId+" "+string(z.State))
	}
	if diff := cmp.Diff([]string{"us-west-2a usw2-az1 available", "us-west-2b usw2-az2 available"}, names); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	_, err = b.DescribeAvailabilityZones(t.Context(), &sdk.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-west-2z"}})
	wantCode(t, err, "InvalidParameterValue")

	regions := apitest.Must(b.DescribeRegions(t.Context(), &sdk.DescribeRegionsInput{RegionNames: []string{apitest.Region}}))(t)
	if len(regions.Regions) != 1 || *regions.Regions[0].RegionName != apitest.Region {
		t.Errorf("regions are %v", regions.Regions)
	}
	attributes := apitest.Must(b.DescribeAccountAttributes(t.Context(), &sdk.DescribeAccountAttributesInput{
		AttributeNames: []types.AccountAttributeName{"default-vpc"},
	}))(t)
	if got := *attributes.AccountAttributes[0].AttributeValues[0].AttributeValue; got != vpcID {
		t.Errorf("default VPC is %s", got)
	}
}

func TestInstances(t *testing.T) {
	b := newBench(t)
	out := apitest.Must(b.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{node1}}))(t)
	i := out.Reservations[0].Instances[0]
	nic := i.NetworkInterfaces[0]
	got := []string{
		*i.InstanceId, string(i.State.Name), *i.PrivateDnsName, *i.PrivateIpAddress, *i.Ipv6Address, *i.SubnetId, *i.VpcId,
		*i.Placement.AvailabilityZone, *i.SecurityGroups[0].GroupId, *i.SecurityGroups[0].GroupName, *i.Tags[0].Value,
		*nic.NetworkInterfaceId, *nic.MacAddress, *nic.Ipv6Addresses[0].Ipv6Address, *nic.Ipv4Prefixes[0].Ipv4Prefix,
		*nic.Groups[0].GroupId, *nic.PrivateIpAddresses[0].PrivateIpAddress,
	}
	want := []string{
		node1, "running", "node-1", "198.18.16.16", "2001:db8:0:1::10", subnetA, vpcID, "us-west-2a", nodeSG, "nodes", "node-1",
		"eni-01111111111111111", "02:00:00:00:00:01", "2001:db8:0:1::10", "198.18.17.0/24", nodeSG, "198.18.16.16",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("instance (-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct {
		filters []types.Filter
		want    []string
	}{
		"none":                       {nil, []string{node1, node2}},
		"state":                      {[]types.Filter{filter("instance-state-name", "running", "pending")}, []string{node1}},
		"state code":                 {[]types.Filter{filter("instance-state-code", "80")}, []string{node2}},
		"private DNS names":          {[]types.Filter{filter("private-dns-name", "node-2", "node-3")}, []string{node2}},
		"group name":                 {[]types.Filter{filter("instance.group-name", "nodes")}, []string{node1, node2}},
		"an address of an interface": {[]types.Filter{filter("network-interface.addresses.private-ip-address", "198.18.16.*")}, []string{node1}},
		"zone and VPC":               {[]types.Filter{filter("availability-zone", "us-west-2b"), filter("vpc-id", vpcID)}, []string{node2}},
		"IDs that may be absent":     {[]types.Filter{filter("instance-id", node2, "i-0")}, []string{node2}},
		"tag key":                    {[]types.Filter{filter("tag-key", "Name")}, []string{node1}},
	} {
		t.Run(name, func(t *testing.T) {
			out := apitest.Must(b.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{Filters: tc.filters}))(t)
			var got []string
			for _, r := range out.Reservations {
				got = append(got, *r.Instances[0].InstanceId)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	_, err := b.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{node1, "i-0"}})
	wantCode(t, err, "InvalidInstanceID.NotFound")
	_, err = b.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{"node-1"}})
	wantCode(t, err, "InvalidInstanceID.Malformed")
	_, err = b.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{DryRun: aws.Bool(true)})
	wantCode(t, err, "DryRunOperation")
}

func TestRoutesSayWhichSubnetsReachTheInternet(t *testing.T) {
	b := newBench(t)
	public := apitest.Must(b.DescribeRouteTables(t.Context(), &sdk.DescribeRouteTablesInput{
		Filters: []types.Filter{filter("association.subnet-id", subnetA)},
	}))(t).RouteTables
	if len(public) != 1 {
		t.Fatalf("got %d route tables for the public subnet", len(public))
	}
	var routes []string
	for _, r := range public[0].Routes {
		routes = append(routes, aws.ToString(r.DestinationCidrBlock)+aws.ToString(r.DestinationIpv6CidrBlock)+" "+(*r.GatewayId)[:3])
	}
	if diff := cmp.Diff([]string{"198.18.0.0/16 loc", "2001:db8::/32 loc", "0.0.0.0/0 igw", "::/0 igw"}, routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	main := apitest.Must(b.DescribeRouteTables(t.Context(), &sdk.DescribeRouteTablesInput{
		Filters: []types.Filter{filter("association.main", "true"), filter("vpc-id", vpcID)},
	}))(t).RouteTables
	if len(main) != 1 || len(main[0].Routes) != 2 {
		t.Errorf("main route tables are %v, want one with local routes", main)
	}
	gateways := apitest.Must(b.DescribeInternetGateways(t.Context(), &sdk.DescribeInternetGatewaysInput{}))(t).InternetGateways
	if len(gateways) != 1 || *gateways[0].InternetGatewayId != *public[0].Routes[2].GatewayId || *gateways[0].Attachments[0].VpcId != vpcID {
		t.Errorf("gateways are %v", gateways)
	}
}

func TestInterfacesIncludeThoseOfLoadBalancers(t *testing.T) {
	b := newBench(t)
	wait := &sdk.DescribeNetworkInterfacesInput{Filters: []types.Filter{
		filter("attachment.instance-owner-id", "amazon-aws"), filter("description", "ELB net/web/0123456789abcdef"),
	}}
	if out := apitest.Must(b.DescribeNetworkInterfaces(t.Context(), wait))(t); len(out.NetworkInterfaces) != 0 {
		t.Errorf("interfaces of no load balancer: %v", out.NetworkInterfaces)
	}
	putBalancer(t, b.db, nodeSG)
	out := apitest.Must(b.DescribeNetworkInterfaces(t.Context(), wait))(t).NetworkInterfaces
	slices.SortFunc(out, func(x, y types.NetworkInterface) int { return strings.Compare(*x.SubnetId, *y.SubnetId) })
	if len(out) != 2 || *out[0].PrivateIpAddress != "198.18.16.9" || *out[0].Ipv6Addresses[0].Ipv6Address != "2001:db8:0:1::9" ||
		*out[1].SubnetId != subnetB || out[0].InterfaceType != "network_load_balancer" || !*out[0].RequesterManaged || *out[0].Groups[0].GroupName != "nodes" {
		t.Errorf("interfaces of the load balancer: %v", out)
	}
	byID := apitest.Must(b.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{
		NetworkInterfaceIds: []string{*out[1].NetworkInterfaceId, "eni-01111111111111111"},
	}))(t).NetworkInterfaces
	if len(byID) != 2 {
		t.Errorf("got %d interfaces by ID, want 2", len(byID))
	}
	pod := apitest.Must(b.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{
		Filters: []types.Filter{filter("attachment.instance-id", node2)},
	}))(t).NetworkInterfaces
	if len(pod) != 1 || *pod[0].Attachment.InstanceId != node2 || pod[0].Status != "in-use" {
		t.Errorf("interfaces of an instance: %v", pod)
	}
	addresses := apitest.Must(b.DescribeAddresses(t.Context(), &sdk.DescribeAddressesInput{PublicIps: []string{"203.0.113.200"}}))(t).Addresses
	if len(addresses) != 1 || *addresses[0].NetworkInterfaceId != *out[0].NetworkInterfaceId {
		t.Errorf("addresses: %v, want the one on %s", addresses, *out[0].NetworkInterfaceId)
	}
	_, err := b.DescribeAddresses(t.Context(), &sdk.DescribeAddressesInput{PublicIps: []string{"203.0.113.201"}})
	wantCode(t, err, "InvalidAddress.NotFound")
	_, err = b.DescribeAddresses(t.Context(), &sdk.DescribeAddressesInput{AllocationIds: []string{"eipalloc-2"}})
	wantCode(t, err, "InvalidAllocationID.NotFound")
	_, err = b.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{"eni-0"}})
	wantCode(t, err, "InvalidNetworkInterfaceID.NotFound")
}
