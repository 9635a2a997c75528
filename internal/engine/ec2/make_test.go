package ec2

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

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
	v := must[*sdk.CreateVpcOutput](t)(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.1.0.7/16"), AmazonProvidedIpv6CidrBlock: aws.Bool(true), TagSpecifications: named(types.ResourceTypeVpc, "made")})).Vpc
	if *v.CidrBlock != "10.1.0.0/16" || *v.Tags[0].Value != "made" || !strings.HasSuffix(*v.Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock, "::/56") {
		t.Errorf("VPC %+v", v)
	}
	m.vpc = v.VpcId
	ipv6 := strings.Replace(*v.Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock, "/56", "/64", 1)
	m.subnet = must[*sdk.CreateSubnetOutput](t)(b.CreateSubnet(ctx, &sdk.CreateSubnetInput{
		VpcId: m.vpc, CidrBlock: aws.String("10.1.1.0/24"), Ipv6CidrBlock: &ipv6, AvailabilityZone: aws.String("us-west-2b"),
	})).Subnet.SubnetId
	m.gateway = must[*sdk.CreateInternetGatewayOutput](t)(b.CreateInternetGateway(ctx, &sdk.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
	must[*sdk.AttachInternetGatewayOutput](t)(b.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: m.vpc}))
	m.table = must[*sdk.CreateRouteTableOutput](t)(b.CreateRouteTable(ctx, &sdk.CreateRouteTableInput{VpcId: m.vpc})).RouteTable.RouteTableId
	must[*sdk.CreateRouteOutput](t)(b.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: m.gateway}))
	m.association = must[*sdk.AssociateRouteTableOutput](t)(b.AssociateRouteTable(ctx, &sdk.AssociateRouteTableInput{RouteTableId: m.table, SubnetId: m.subnet})).AssociationId
	m.instance = must[*sdk.RunInstancesOutput](t)(b.RunInstances(ctx, &sdk.RunInstancesInput{
		ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: m.subnet, InstanceType: types.InstanceTypeT3Micro,
		TagSpecifications: named(types.ResourceTypeInstance, "one"),
	})).Instances[0].InstanceId
	return m
}

func TestANetworkFromNothingIsOneViewWithTheInventory(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	m := b.makeNetwork(t)
	if n := len(must[*sdk.DescribeVpcsOutput](t)(b.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{})).Vpcs); n != 3 {
		t.Errorf("%d VPCs, want the inventory's two and the one made", n)
	}
	s := must[*sdk.DescribeSubnetsOutput](t)(b.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", *m.vpc)}})).Subnets[0]
	got := []any{*s.AvailabilityZone, *s.AvailabilityZoneId, *s.CidrBlock, *s.AvailableIpAddressCount, *s.MapPublicIpOnLaunch, len(s.Ipv6CidrBlockAssociationSet)}
	if diff := cmp.Diff([]any{"us-west-2b", "usw2-az2", "10.1.1.0/24", int32(256 - 5 - 1), false, 1}, got); diff != "" {
		t.Errorf("subnet (-want +got):\n%s", diff)
	}
	i := must[*sdk.DescribeInstancesOutput](t)(b.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: []types.Filter{filter("tag:Name", "one")}})).Reservations[0].Instances[0]
	got = []any{*i.PrivateIpAddress, *i.VpcId, *i.SubnetId, i.State.Name, *i.ImageId, i.InstanceType, *i.Placement.AvailabilityZone, *i.SecurityGroups[0].GroupName, *i.PrivateDnsName}
	want := []any{"10.1.1.4", *m.vpc, *m.subnet, types.InstanceStateNameRunning, "ami-1", types.InstanceTypeT3Micro, "us-west-2b", "default", "ip-10-1-1-4.us-west-2.compute.internal"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("instance (-want +got):\n%s", diff)
	}
	tables := must[*sdk.DescribeRouteTablesOutput](t)(b.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{Filters: []types.Filter{filter("association.subnet-id", *m.subnet)}})).RouteTables
	if len(tables) != 1 || *tables[0].RouteTableId != *m.table || *tables[0].Routes[len(tables[0].Routes)-1].GatewayId != *m.gateway {
		t.Errorf("route tables of the subnet: %+v", tables)
	}
	main := must[*sdk.DescribeRouteTablesOutput](t)(b.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{Filters: []types.Filter{filter("vpc-id", *m.vpc), filter("association.main", "true")}})).RouteTables
	if len(main) != 1 || *main[0].RouteTableId == *m.table {
		t.Errorf("main route tables: %+v", main)
	}
	acls := must[*sdk.DescribeNetworkAclsOutput](t)(b.DescribeNetworkAcls(ctx, &sdk.DescribeNetworkAclsInput{Filters: []types.Filter{filter("vpc-id", *m.vpc)}})).NetworkAcls
	if len(acls) != 1 || !*acls[0].IsDefault || len(acls[0].Entries) != 8 || *acls[0].Associations[0].SubnetId != *m.subnet {
		t.Errorf("network ACLs %+v", acls)
	}
	group := must[*sdk.CreateSecurityGroupOutput](t)(b.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{GroupName: aws.String("web"), Description: aws.String("web"), VpcId: m.vpc})).GroupId
	egress := must[*sdk.DescribeSecurityGroupsOutput](t)(b.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{*group}})).SecurityGroups[0].IpPermissionsEgress
	if len(egress) != 1 || *egress[0].IpRanges[0].CidrIp != "0.0.0.0/0" || *egress[0].Ipv6Ranges[0].CidrIpv6 != "::/0" {
		t.Errorf("egress of a new group: %+v", egress)
	}
	tags := must[*sdk.DescribeTagsOutput](t)(b.DescribeTags(ctx, &sdk.DescribeTagsInput{Filters: []types.Filter{filter("resource-id", *m.vpc)}})).Tags
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

	out := must[*sdk.TerminateInstancesOutput](t)(b.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{*m.instance}})).TerminatingInstances[0]
	if out.CurrentState.Name != types.InstanceStateNameTerminated || out.PreviousState.Name != types.InstanceStateNameRunning {
		t.Errorf("state change %+v", out)
	}
	if err := sdk.NewInstanceTerminatedWaiter(b).Wait(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{*m.instance}}, time.Minute); err != nil {
		t.Errorf("the SDK's waiter: %v", err)
	}
	must[*sdk.DisassociateRouteTableOutput](t)(b.DisassociateRouteTable(ctx, &sdk.DisassociateRouteTableInput{AssociationId: m.association}))
	must[*sdk.ReplaceRouteOutput](t)(b.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: m.gateway}))
	must[*sdk.DeleteRouteOutput](t)(b.DeleteRoute(ctx, &sdk.DeleteRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0")}))
	must[*sdk.DeleteSubnetOutput](t)(b.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: m.subnet}))
	del("a gateway")
	must[*sdk.DetachInternetGatewayOutput](t)(b.DetachInternetGateway(ctx, &sdk.DetachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: m.vpc}))
	must[*sdk.DeleteInternetGatewayOutput](t)(b.DeleteInternetGateway(ctx, &sdk.DeleteInternetGatewayInput{InternetGatewayId: m.gateway}))
	del("a route table")
	must[*sdk.DeleteRouteTableOutput](t)(b.DeleteRouteTable(ctx, &sdk.DeleteRouteTableInput{RouteTableId: m.table}))
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
	must[*sdk.StopInstancesOutput](t)(b.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: ids}))
	must[*sdk.StartInstancesOutput](t)(b.StartInstances(ctx, &sdk.StartInstancesInput{InstanceIds: ids}))
	in := &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(2), MaxCount: aws.Int32(2), SubnetId: m.subnet, ClientToken: aws.String("once")}
	first := must[*sdk.RunInstancesOutput](t)(b.RunInstances(ctx, in))
	again := must[*sdk.RunInstancesOutput](t)(b.RunInstances(ctx, in))
	if len(first.Instances) != 2 || *first.ReservationId != *again.ReservationId {
		t.Errorf("a client token made %s and %s", *first.ReservationId, *again.ReservationId)
	}
	_, err := b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: m.subnet, PrivateIpAddress: aws.String("10.1.1.4")})
	wantCode(t, err, "InvalidIPAddress.InUse")
	must[*sdk.TerminateInstancesOutput](t)(b.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: ids}))
	_, err = b.StartInstances(ctx, &sdk.StartInstancesInput{InstanceIds: ids})
	wantCode(t, err, "IncorrectInstanceState")
}

func TestElasticAddressesComeFromThePoolsOfTheInventory(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	var allocations []*string
	for range 4 { // a /30
		allocations = append(allocations, must[*sdk.AllocateAddressOutput](t)(b.AllocateAddress(ctx, &sdk.AllocateAddressInput{Domain: types.DomainTypeVpc})).AllocationId)
	}
	_, err := b.AllocateAddress(ctx, &sdk.AllocateAddressInput{})
	wantCode(t, err, "AddressLimitExceeded")
	a := must[*sdk.AssociateAddressOutput](t)(b.AssociateAddress(ctx, &sdk.AssociateAddressInput{AllocationId: allocations[0], InstanceId: aws.String(node1)})).AssociationId
	d := must[*sdk.DescribeAddressesOutput](t)(b.DescribeAddresses(ctx, &sdk.DescribeAddressesInput{AllocationIds: []string{*allocations[0]}})).Addresses[0]
	got := []string{*d.AssociationId, *d.InstanceId, *d.NetworkInterfaceId, *d.PrivateIpAddress, *d.PublicIp}
	if diff := cmp.Diff([]string{*a, node1, "eni-01111111111111111", "198.18.16.16", "203.0.113.0"}, got); diff != "" {
		t.Errorf("address (-want +got):\n%s", diff)
	}
	i := must[*sdk.DescribeInstancesOutput](t)(b.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{node1}})).Reservations[0].Instances[0]
	if *i.PublicIpAddress != "203.0.113.0" {
		t.Errorf("public address %s", *i.PublicIpAddress)
	}
	_, err = b.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: allocations[0]})
	wantCode(t, err, "InvalidIPAddress.InUse")
	_, err = b.AssociateAddress(ctx, &sdk.AssociateAddressInput{AllocationId: allocations[0], InstanceId: aws.String(node2)})
	wantCode(t, err, "Resource.AlreadyAssociated")
	must[*sdk.DisassociateAddressOutput](t)(b.DisassociateAddress(ctx, &sdk.DisassociateAddressInput{AssociationId: a}))
	must[*sdk.ReleaseAddressOutput](t)(b.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: allocations[0]}))
	if again := must[*sdk.AllocateAddressOutput](t)(b.AllocateAddress(ctx, &sdk.AllocateAddressInput{})); *again.PublicIp != "203.0.113.0" {
		t.Errorf("the released address was not given out again: %s", *again.PublicIp)
	}
	attributes := must[*sdk.DescribeAddressesAttributeOutput](t)(b.DescribeAddressesAttribute(ctx, &sdk.DescribeAddressesAttributeInput{AllocationIds: []string{*allocations[1]}, Attribute: types.AddressAttributeNameDomainName}))
	if len(attributes.Addresses) != 1 || *attributes.Addresses[0].PublicIp != "203.0.113.1" {
		t.Errorf("attributes %+v", attributes.Addresses)
	}
}

func TestVPCAttributes(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	m := b.makeNetwork(t)
	support := func(vpc *string) (bool, bool) {
		t.Helper()
		s := must[*sdk.DescribeVpcAttributeOutput](t)(b.DescribeVpcAttribute(ctx, &sdk.DescribeVpcAttributeInput{VpcId: vpc, Attribute: types.VpcAttributeNameEnableDnsSupport}))
		h := must[*sdk.DescribeVpcAttributeOutput](t)(b.DescribeVpcAttribute(ctx, &sdk.DescribeVpcAttributeInput{VpcId: vpc, Attribute: types.VpcAttributeNameEnableDnsHostnames}))
		return *s.EnableDnsSupport.Value, *h.EnableDnsHostnames.Value
	}
	if s, h := support(m.vpc); !s || h {
		t.Errorf("defaults: support %t, host names %t", s, h)
	}
	on, off := &types.AttributeBooleanValue{Value: aws.Bool(true)}, &types.AttributeBooleanValue{Value: aws.Bool(false)}
	must[*sdk.ModifyVpcAttributeOutput](t)(b.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: m.vpc, EnableDnsHostnames: on}))
	must[*sdk.ModifyVpcAttributeOutput](t)(b.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: m.vpc, EnableDnsSupport: off}))
	if s, h := support(m.vpc); s || !h {
		t.Errorf("after: support %t, host names %t", s, h)
	}
	_, err := b.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: m.vpc, EnableDnsHostnames: on, EnableDnsSupport: on})
	wantCode(t, err, "InvalidParameterCombination")
	must[*sdk.ModifySubnetAttributeOutput](t)(b.ModifySubnetAttribute(ctx, &sdk.ModifySubnetAttributeInput{SubnetId: m.subnet, MapPublicIpOnLaunch: on}))
	s := must[*sdk.DescribeSubnetsOutput](t)(b.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{SubnetIds: []string{*m.subnet}})).Subnets[0]
	if !*s.MapPublicIpOnLaunch {
		t.Error("the subnet's attribute was not set")
	}
	if out := must[*sdk.DescribeVpcClassicLinkOutput](t)(b.DescribeVpcClassicLink(ctx, &sdk.DescribeVpcClassicLinkInput{VpcIds: []string{*m.vpc}})); len(out.Vpcs) != 1 || *out.Vpcs[0].ClassicLinkEnabled {
		t.Errorf("ClassicLink %+v", out.Vpcs)
	}
	if out := must[*sdk.DescribeVpcClassicLinkDnsSupportOutput](t)(b.DescribeVpcClassicLinkDnsSupport(ctx, &sdk.DescribeVpcClassicLinkDnsSupportInput{VpcIds: []string{*m.vpc}})); len(out.Vpcs) != 1 {
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
		"a VPC that is too large":             {errorOf(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/8")})), "InvalidVpc.Range"},
		"a VPC of nonsense":                   {errorOf(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("ten")})), "InvalidParameterValue"},
		"a dry run":                           {errorOf(b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), DryRun: aws.Bool(true)})), "DryRunOperation"},
		"a subnet outside":                    {subnet(m.vpc, "10.2.0.0/24", "us-west-2a"), "InvalidSubnet.Range"},
		"a subnet that overlaps":              {subnet(m.vpc, "10.1.0.0/22", "us-west-2a"), "InvalidSubnet.Conflict"},
		"a subnet over one of the file":       {subnet(aws.String(vpcID), "198.18.16.0/24", "us-west-2a"), "InvalidSubnet.Conflict"},
		"a subnet in no zone":                 {subnet(m.vpc, "10.1.2.0/24", "us-west-2z"), "InvalidParameterValue"},
		"a subnet in no VPC":                  {subnet(aws.String("vpc-0"), "10.1.2.0/24", "us-west-2a"), "InvalidVpcID.NotFound"},
		"a second gateway":                    {errorOf(b.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: aws.String(otherVPC)})), "Resource.AlreadyAssociated"},
		"a gateway that is elsewhere":         {errorOf(b.DetachInternetGateway(ctx, &sdk.DetachInternetGatewayInput{InternetGatewayId: m.gateway, VpcId: aws.String(otherVPC)})), "Gateway.NotAttached"},
		"a route twice":                       {route(m.table, "0.0.0.0/0", m.gateway), "RouteAlreadyExists"},
		"a route to no gateway":               {route(m.table, "192.0.2.0/24", aws.String("igw-0")), "InvalidGatewayID.NotFound"},
		"replacing one that is not there":     {errorOf(b.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("192.0.2.0/24"), GatewayId: m.gateway})), "InvalidRoute.NotFound"},
		"replacing one by nothing":            {errorOf(b.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("0.0.0.0/0")})), "MissingParameter"},
		"a route that is not there":           {errorOf(b.DeleteRoute(ctx, &sdk.DeleteRouteInput{RouteTableId: m.table, DestinationCidrBlock: aws.String("192.0.2.0/24")})), "InvalidRoute.NotFound"},
		"a route of the file":                 {route(&fileTable, "192.0.2.0/24", aws.String(derivedID("igw", vpcID))), "OperationNotPermitted"},
		"to delete a VPC of the file":         {errorOf(b.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: aws.String(vpcID)})), "OperationNotPermitted"},
		"to delete a subnet of the file":      {errorOf(b.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: aws.String(subnetA)})), "OperationNotPermitted"},
		"to stop an instance of the file":     {errorOf(b.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: []string{node1}})), "OperationNotPermitted"},
		"to stop no instance":                 {errorOf(b.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: []string{"i-0"}})), "InvalidInstanceID.NotFound"},
		"instances without a subnet":          {errorOf(b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})), "MissingInput"},
		"more instances than one may ask for": {errorOf(b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1000), SubnetId: m.subnet})), "InvalidParameterValue"},
		"an instance in a group elsewhere":    {errorOf(b.RunInstances(ctx, &sdk.RunInstancesInput{ImageId: aws.String("ami-1"), MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: m.subnet, SecurityGroupIds: []string{nodeSG}})), "InvalidGroup.NotFound"},
		"an address that is not in the pool":  {errorOf(b.AllocateAddress(ctx, &sdk.AllocateAddressInput{Address: aws.String("192.0.2.1")})), "InvalidAddress.NotFound"},
		"an association that is not there":    {errorOf(b.DisassociateRouteTable(ctx, &sdk.DisassociateRouteTableInput{AssociationId: aws.String("rtbassoc-0")})), "InvalidAssociationID.NotFound"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, test.err, test.code) })
	}
	if after := b.db.Current().Number(); after != before {
		t.Errorf("refused requests made %d transactions", after-before)
	}
}

func errorOf[O any](_ O, err error) error { return err }

func TestMakingAsksForPermissionAndForTheTagsToo(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	for _, deny := range []string{"ec2:CreateVpc", "ec2:CreateTags"} {
		b.auth.deny = func(action, _ string) bool { return action == deny }
		_, err := b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), TagSpecifications: named(types.ResourceTypeVpc, "x")})
		wantCode(t, err, "UnauthorizedOperation")
	}
	b.auth.deny = nil
	m := b.makeNetwork(t)
	b.auth.asked = nil
	b.auth.deny = func(action, _ string) bool { return action == "ec2:DeleteVpc" }
	_, err := b.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: m.vpc})
	wantCode(t, err, "UnauthorizedOperation")
	want := question{"ec2:DeleteVpc", "arn:aws:ec2:us-west-2:000000000000:vpc/" + *m.vpc, map[string][]string{"aws:ResourceTag/Name": {"made"}, "ec2:ResourceTag/Name": {"made"}}}
	if diff := cmp.Diff([]question{want}, b.auth.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}
