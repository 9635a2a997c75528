package ec2

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
)

func named(kind types.ResourceType, name string) []types.TagSpecification {
	return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: aws.String("Name"), Value: &name}}}}
}

// fromNothing is a network that was made from nothing.
type fromNothing struct{ vpc, subnet, gateway, table, association, instance *string }

func (b bench) makeNetwork(t *testing.T) fromNothing {
	t.Helper()
	ctx := t.Context()
	var m fromNothing
	v := apitest.Must(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.1.0.7/16"), AmazonProvidedIpv6CidrBlock: aws.Bool(true), TagSpecifications: named(types.ResourceTypeVpc, "made")}))(t).Vpc
	if *v.CidrBlock != "10.1.0.0/16" || *v.Tags[0].Value != "made" || !strings.HasSuffix(*v.Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock, "::/56") {
		t.Errorf("VPC %+v", v)
	}
	m.vpc = v.VpcId
	ipv6 := strings.Replace(*v.Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock, "/56", "/64", 1)
	m.subnet = apitest.Must(b.CreateSubnet(ctx, &sdk.CreateSubnetInput{
		VpcId: m.vpc, CidrBlock: aws.String("10.1.1.0/24"), Ipv6CidrBlock: &ipv6, AvailabilityZone: aws.String("us-west-2b"),
	}))(t).Subnet.SubnetId
	m.gateway = apitest.Must(b.CreateInternetGateway(ctx, &sdk.CreateInternetGatewayInput{}))(t).InternetGateway.InternetGatewayId
	apitest.Must(b.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: m.vpc}))(t)
	m.table = apitest.Must(b.CreateRouteTable(ctx, &sdk.CreateRouteTableInput{VpcId: m.vpc}))(t).RouteTable.RouteTableId
	apitest.Must(b.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: m.gateway}))(t)
	m.association = apitest.Must(b.AssociateRouteTable(ctx, &sdk.AssociateRouteTableInput{RouteTableId: m.table, SubnetId: m.subnet}))(t).AssociationId
	m.instance = apitest.Must(b.RunInstances(ctx, &sdk.RunInstancesInput{
		ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: m.subnet, InstanceType: types.InstanceTypeT3Micro,
		TagSpecifications: named(types.ResourceTypeInstance, "one"),
	}))(t).Instances[0].InstanceId
	return m
}

func TestANetworkFromNothingIsOneViewWithTheInventory(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	m := b.makeNetwork(t)
	if n := len(apitest.Must(b.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{}))(t).Vpcs); n != 3 {
		t.Errorf("%d VPCs, want the inventory's two and the one made", n)
	}
	s := apitest.Must(b.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", *m.vpc)}}))(t).Subnets[0]
	got := []any{*s.AvailabilityZone, *s.AvailabilityZoneId, *s.CidrBlock, *s.AvailableIpAddressCount, *s.MapPublicIpOnLaunch, len(s.Ipv6CidrBlockAssociationSet)}
	if diff := cmp.Diff([]any{"us-west-2b", "usw2-az2", "10.1.1.0/24", int32(256 - 5 - 1), false, 1}, got); diff != "" {
		t.Errorf("subnet (-want +got):\n%s", diff)
	}
	i := apitest.Must(b.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: []types.Filter{filter("tag:Name", "one")}}))(t).Reservations[0].Instances[0]
	got = []any{*i.PrivateIpAddress, *i.VpcId, *i.SubnetId, i.State.Name, *i.ImageId, i.InstanceType, *i.Placement.AvailabilityZone, *i.SecurityGroups[0].GroupName, *i.PrivateDnsName}
	want := []any{"10.1.1.4", *m.vpc, *m.subnet, types.InstanceStateNameRunning, "ami-1", types.InstanceTypeT3Micro, "us-west-2b", "default", "ip-10-1-1-4.us-west-2.compute.internal"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("instance (-want +got):\n%s", diff)
	}
	tables := apitest.Must(b.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{Filters: []types.Filter{filter("association.subnet-id", *m.subnet)}}))(t).RouteTables
	if len(tables) != 1 || *tables[0].RouteTableId != *m.table || *tables[0].Routes[len(tables[0].Routes)-1].GatewayId != *m.gateway {
		t.Errorf("route tables of the subnet: %+v", tables)
	}
	main := apitest.Must(b.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{Filters: []types.Filter{filter("vpc-id", *m.vpc), filter("association.main", "true")}}))(t).RouteTables
	if len(main) != 1 || *main[0].RouteTableId == *m.table {
		t.Errorf("main route tables: %+v", main)
	}
	acls := apitest.Must(b.DescribeNetworkAcls(ctx, &sdk.DescribeNetworkAclsInput{Filters: []types.Filter{filter("vpc-id", *m.vpc)}}))(t).NetworkAcls
	if len(acls) != 1 || !*acls[0].IsDefault || len(acls[0].Entries) != 8 || *acls[0].Associations[0].SubnetId != *m.subnet {
		t.Errorf("network ACLs %+v", acls)
	}
	group := apitest.Must(b.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{GroupName: aws.String("web"), Description: aws.String("web"), VpcId: m.vpc}))(t).GroupId
	egress := apitest.Must(b.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{*group}}))(t).SecurityGroups[0].IpPermissionsEgress
	if len(egress) != 1 || *egress[0].IpRanges[0].CidrIp != "0.0.0.0/0" || *egress[0].Ipv6Ranges[0].CidrIpv6 != "::/0" {
		t.Errorf("egress of a new group: %+v", egress)
	}
	tags := apitest.Must(b.DescribeTags(ctx, &sdk.DescribeTagsInput{Filters: []types.Filter{filter("resource-id", *m.vpc)}}))(t).Tags
	if len(tags) != 1 || tags[0].ResourceType != types.ResourceTypeVpc {
		t.Errorf("tags of the VPC: %+v", tags)
	}
}

func TestANetworkIsTakenDownInOrderAndLeavesNothing(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	m := b.makeNetwork(t)
	blocked := func(what string, err error) {
		t.Helper()
		if what != "" {
			wantCode(t, err, "DependencyViolation")
		} else if err != nil {
			t.Error(err)
		}
	}
	del := func(what string) { // what still depends on the rest
		t.Helper()
		_, err := b.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: m.vpc})
		blocked(what, err)
	}
	_, err := b.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: m.subnet})
	blocked("an instance", err)
	_, err = b.DeleteRouteTable(ctx, &sdk.DeleteRouteTableInput{RouteTableId: m.table})
	blocked("an association", err)
	_, err = b.DeleteInternetGateway(ctx, &sdk.DeleteInternetGatewayInput{InternetGatewayId: m.gateway})
	blocked("an attachment", err)
	del("all of it")

	out := apitest.Must(b.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{*m.instance}}))(t).TerminatingInstances[0]
	if out.CurrentState.Name != types.InstanceStateNameTerminated || out.PreviousState.Name != types.InstanceStateNameRunning {
		t.Errorf("state change %+v", out)
	}
	if err := sdk.NewInstanceTerminatedWaiter(b).Wait(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{*m.instance}}, time.Minute); err != nil {
		t.Errorf("the SDK's waiter: %v", err)
	}
	apitest.Must(b.DisassociateRouteTable(ctx, &sdk.DisassociateRouteTableInput{AssociationId: m.association}))(t)
	apitest.Must(b.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: m.gateway}))(t)
	apitest.Must(b.DeleteRoute(ctx, &sdk.DeleteRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0")}))(t)
	apitest.Must(b.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: m.subnet}))(t)
	del("a gateway")
	apitest.Must(b.DetachInternetGateway(ctx, &sdk.DetachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: m.vpc}))(t)
	apitest.Must(b.DeleteInternetGateway(ctx, &sdk.DeleteInternetGatewayInput{InternetGatewayId: m.gateway}))(t)
	del("a route table")
	apitest.Must(b.DeleteRouteTable(ctx, &sdk.DeleteRouteTableInput{RouteTableId: m.table}))(t)
	del("")
	r := b.db.Current()
	left := []int{state.VPCs.Len(r), state.Subnets.Len(r), state.InternetGateways.Len(r), state.RouteTables.Len(r), state.SecurityGroups.Len(r), state.SecurityGroupRules.Len(r), state.ZonalAddresses.Len(r), state.AddressCursors.Len(r)}
	if diff := cmp.Diff(make([]int, len(left)), left); diff != "" {
		t.Errorf("records left (-want +got):\n%s", diff)
	}
}

func TestInstancesChangeTheirStateAndStayAsked(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	m := b.makeNetwork(t)
	ids := []string{*m.instance}
	apitest.Must(b.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: ids}))(t)
	apitest.Must(b.StartInstances(ctx, &sdk.StartInstancesInput{InstanceIds: ids}))(t)
	in := &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(2), MaxCount: aws.Int32(2), SubnetId: m.subnet, ClientToken: aws.String("once")}
	first := apitest.Must(b.RunInstances(ctx, in))(t)
	again := apitest.Must(b.RunInstances(ctx, in))(t)
	if len(first.Instances) != 2 || *first.ReservationId != *again.ReservationId {
		t.Errorf("a client token made %s and %s", *first.ReservationId, *again.ReservationId)
	}
	_, err := b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: m.subnet, PrivateIpAddress: aws.String("10.1.1.4")})
	wantCode(t, err, "InvalidIPAddress.InUse")
	apitest.Must(b.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: ids}))(t)
	_, err = b.StartInstances(ctx, &sdk.StartInstancesInput{InstanceIds: ids})
	wantCode(t, err, "IncorrectInstanceState")
}

func TestElasticAddressesComeFromThePoolsOfTheInventory(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	var allocations []*string
	for range 4 { // a /30
		allocations = append(allocations, apitest.Must(b.AllocateAddress(ctx, &sdk.AllocateAddressInput{Domain: types.DomainTypeVpc}))(t).AllocationId)
	}
	_, err := b.AllocateAddress(ctx, &sdk.AllocateAddressInput{})
	wantCode(t, err, "AddressLimitExceeded")
	a := apitest.Must(b.AssociateAddress(ctx, &sdk.AssociateAddressInput{AllocationId: allocations[0], InstanceId: aws.String(node1)}))(t).AssociationId
	d := apitest.Must(b.DescribeAddresses(ctx, &sdk.DescribeAddressesInput{AllocationIds: []string{*allocations[0]}}))(t).Addresses[0]
	got := []string{*d.AssociationId, *d.InstanceId, *d.NetworkInterfaceId, *d.PrivateIpAddress, *d.PublicIp}
	if diff := cmp.Diff([]string{*a, node1, "eni-01111111111111111", "198.18.16.16", "203.0.113.0"}, got); diff != "" {
		t.Errorf("address (-want +got):\n%s", diff)
	}
	i := apitest.Must(b.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{node1}}))(t).Reservations[0].Instances[0]
	if *i.PublicIpAddress != "203.0.113.0" {
		t.Errorf("public address %s", *i.PublicIpAddress)
	}
	_, err = b.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: allocations[0]})
	wantCode(t, err, "InvalidIPAddress.InUse")
	_, err = b.AssociateAddress(ctx, &sdk.AssociateAddressInput{AllocationId: allocations[0], InstanceId: aws.String(node2)})
	wantCode(t, err, "Resource.AlreadyAssociated")
	apitest.Must(b.DisassociateAddress(ctx, &sdk.DisassociateAddressInput{AssociationId: a}))(t)
	apitest.Must(b.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: allocations[0]}))(t)
	if again := apitest.Must(b.AllocateAddress(ctx, &sdk.AllocateAddressInput{}))(t); *again.PublicIp != "203.0.113.0" {
		t.Errorf("the released address was not given out again: %s", *again.PublicIp)
	}
	attributes := apitest.Must(b.DescribeAddressesAttribute(ctx, &sdk.DescribeAddressesAttributeInput{AllocationIds: []string{*allocations[1]}, Attribute: types.AddressAttributeNameDomainName}))(t)
	if len(attributes.Addresses) != 1 || *attributes.Addresses[0].PublicIp != "203.0.113.1" {
		t.Errorf("attributes %+v", attributes.Addresses)
	}
}

func TestVPCAttributes(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	m := b.makeNetwork(t)
	support := func(vpc *string) (bool, bool) {
		t.Helper()
		s := apitest.Must(b.DescribeVpcAttribute(ctx, &sdk.DescribeVpcAttributeInput{VpcId: vpc, Attribute: types.VpcAttributeNameEnableDnsSupport}))(t)
		h := apitest.Must(b.DescribeVpcAttribute(ctx, &sdk.DescribeVpcAttributeInput{VpcId: vpc, Attribute: types.VpcAttributeNameEnableDnsHostnames}))(t)
		return *s.EnableDnsSupport.Value, *h.EnableDnsHostnames.Value
	}
	if s, h := support(m.vpc); !s || h {
		t.Errorf("defaults: support %t, host names %t", s, h)
	}
	on, off := &types.AttributeBooleanValue{Value: aws.Bool(true)}, &types.AttributeBooleanValue{Value: aws.Bool(false)}
	apitest.Must(b.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: m.vpc, EnableDnsHostnames: on}))(t)
	apitest.Must(b.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: m.vpc, EnableDnsSupport: off}))(t)
	if s, h := support(m.vpc); s || !h {
		t.Errorf("after: support %t, host names %t", s, h)
	}
	_, err := b.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: m.vpc, EnableDnsHostnames: on, EnableDnsSupport: on})
	wantCode(t, err, "InvalidParameterCombination")
	apitest.Must(b.ModifySubnetAttribute(ctx, &sdk.ModifySubnetAttributeInput{SubnetId: m.subnet, MapPublicIpOnLaunch: on}))(t)
	s := apitest.Must(b.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{SubnetIds: []string{*m.subnet}}))(t).Subnets[0]
	if !*s.MapPublicIpOnLaunch {
		t.Error("the subnet's attribute was not set")
	}
	if out := apitest.Must(b.DescribeVpcClassicLink(ctx, &sdk.DescribeVpcClassicLinkInput{VpcIds: []string{*m.vpc}}))(t); len(out.Vpcs) != 1 || *out.Vpcs[0].ClassicLinkEnabled {
		t.Errorf("ClassicLink %+v", out.Vpcs)
	}
	if out := apitest.Must(b.DescribeVpcClassicLinkDnsSupport(ctx, &sdk.DescribeVpcClassicLinkDnsSupportInput{VpcIds: []string{*m.vpc}}))(t); len(out.Vpcs) != 1 {
		t.Errorf("ClassicLink DNS %+v", out.Vpcs)
	}
}

func TestNetworkRequestsThatAreRefused(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	m := b.makeNetwork(t)
	subnet := func(vpc *string, block, zone string) error {
		_, err := b.CreateSubnet(ctx, &sdk.CreateSubnetInput{VpcId: vpc, CidrBlock: &block, AvailabilityZone: &zone})
		return err
	}
	route := func(table *string, to string, gateway *string) error {
		_, err := b.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: table, DestinationCidrBlock: &to, GatewayId: gateway})
		return err
	}
	fileTable := derivedID("rtb", vpcID, "main")
	before := b.db.Current().Number()
	for name, test := range map[string]struct {
		err  error
		code string
	}{
		"a VPC that is too large":             {apitest.Err(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/8")})), "InvalidVpc.Range"},
		"a VPC of nonsense":                   {apitest.Err(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("ten")})), "InvalidParameterValue"},
		"a dry run":                           {apitest.Err(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), DryRun: aws.Bool(true)})), "DryRunOperation"},
		"a subnet outside":                    {subnet(m.vpc, "10.2.0.0/24", "us-west-2a"), "InvalidSubnet.Range"},
		"a subnet that overlaps":              {subnet(m.vpc, "10.1.0.0/22", "us-west-2a"), "InvalidSubnet.Conflict"},
		"a subnet over one of the file":       {subnet(aws.String(vpcID), "198.18.16.0/24", "us-west-2a"), "InvalidSubnet.Conflict"},
		"a subnet in no zone":                 {subnet(m.vpc, "10.1.2.0/24", "us-west-2z"), "InvalidParameterValue"},
		"a subnet in no VPC":                  {subnet(aws.String("vpc-0"), "10.1.2.0/24", "us-west-2a"), "InvalidVpcID.NotFound"},
		"a second gateway":                    {apitest.Err(b.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: aws.String(otherVPC)})), "Resource.AlreadyAssociated"},
		"a gateway that is elsewhere":         {apitest.Err(b.DetachInternetGateway(ctx, &sdk.DetachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: aws.String(otherVPC)})), "Gateway.NotAttached"},
		"a route twice":                       {route(m.table, "0.0.0.0/0", m.gateway), "RouteAlreadyExists"},
		"a route to no gateway":               {route(m.table, "192.0.2.0/24", aws.String("igw-0")), "InvalidGatewayID.NotFound"},
		"replacing one that is not there":     {apitest.Err(b.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("192.0.2.0/24"), GatewayId: m.gateway})), "InvalidRoute.NotFound"},
		"replacing one by nothing":            {apitest.Err(b.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0")})), "MissingParameter"},
		"a route that is not there":           {apitest.Err(b.DeleteRoute(ctx, &sdk.DeleteRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("192.0.2.0/24")})), "InvalidRoute.NotFound"},
		"a route of the file":                 {route(&fileTable, "192.0.2.0/24", aws.String(derivedID("igw", vpcID))), "OperationNotPermitted"},
		"to delete a VPC of the file":         {apitest.Err(b.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: aws.String(vpcID)})), "OperationNotPermitted"},
		"to delete a subnet of the file":      {apitest.Err(b.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: aws.String(subnetA)})), "OperationNotPermitted"},
		"to stop an instance of the file":     {apitest.Err(b.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: []string{node1}})), "OperationNotPermitted"},
		"to stop no instance":                 {apitest.Err(b.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: []string{"i-0"}})), "InvalidInstanceID.NotFound"},
		"instances without a subnet":          {apitest.Err(b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})), "MissingInput"},
		"more instances than one may ask for": {apitest.Err(b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1000), SubnetId: m.subnet})), "InvalidParameterValue"},
		"an instance in a group elsewhere":    {apitest.Err(b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: m.subnet, SecurityGroupIds: []string{nodeSG}})), "InvalidGroup.NotFound"},
		"an address that is not in the pool":  {apitest.Err(b.AllocateAddress(ctx, &sdk.AllocateAddressInput{Address: aws.String("192.0.2.1")})), "InvalidAddress.NotFound"},
		"an association that is not there":    {apitest.Err(b.DisassociateRouteTable(ctx, &sdk.DisassociateRouteTableInput{AssociationId: aws.String("rtbassoc-0")})), "InvalidAssociationID.NotFound"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, test.err, test.code) })
	}
	if after := b.db.Current().Number(); after != before {
		t.Errorf("refused requests made %d transactions", after-before)
	}
}
