package ec2

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

type createVpcInput struct {
	DryRun
	CidrBlock  string             `ec2:"CidrBlock,required"`
	AmazonIPv6 bool               `ec2:"AmazonProvidedIpv6CidrBlock"`
	IPv6Block  string             `ec2:"Ipv6CidrBlock"`
	Tenancy    string             `ec2:"InstanceTenancy"`
	Tags       []tagSpecification `ec2:"TagSpecification"`
}

type createVpcOutput struct {
	Vpc Vpc `ec2:"Vpc"`
}

func (s *Service) createVpc(ctx context.Context, in *createVpcInput) (*createVpcOutput, error) {
	tags, err := specifiedTags(in.Tags, "vpc")
	if err != nil {
		return nil, err
	}
	if err := s.allowMake(ctx, making{"CreateVpc", "vpc", tags}, in.DryRun); err != nil {
		return nil, err
	}
	v, err := newVPC(in)
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(func(tx *store.Tx) error {
		if err := room(tx, state.VPCs, "VpcLimitExceeded", "VPCs"); err != nil {
			return err
		}
		state.VPCs.Put(tx, v)
		state.PutTags(tx, v.VPCID, tags)
		putVPCDefaults(tx, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, s.arn("vpc", v.VPCID))
	made := inventory.VPC{VPCID: v.VPCID, CIDRBlock: v.CIDRBlock, IPv6CIDRBlock: v.IPv6CIDRBlock}
	return &createVpcOutput{s.vpc(made, tags)}, nil
}

// newVPC checks a request (VPC user guide, VPC CIDR blocks).
func newVPC(in *createVpcInput) (state.VPC, error) {
	v := state.VPC{VPCID: newID("vpc")}
	block, err := parseIPv4Block(in.CidrBlock, "InvalidVpc.Range")
	if err != nil {
		return v, err
	}
	switch {
	case in.IPv6Block != "":
		return v, invalidValue("IPv6 CIDR blocks of pools are not offered by this endpoint; ask for an Amazon-provided one")
	case in.Tenancy != "" && in.Tenancy != "default":
		return v, invalidValue("Value (%s) for parameter instanceTenancy is invalid: only 'default' is offered by this endpoint", in.Tenancy)
	case in.AmazonIPv6:
		v.IPv6CIDRBlock = uniqueLocalBlock()
	}
	v.CIDRBlock = block
	return v, nil
}

// parseIPv4Block reads the CIDR block of a VPC or subnet: /16 to /28, its host
// bits cleared as EC2 does.
func parseIPv4Block(text, rangeCode string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is4():
		return p, invalidValue("Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", text)
	case p.Bits() < 16 || p.Bits() > 28:
		return p, wire.Errorf(rangeCode, "The CIDR '%s' is invalid.", text)
	}
	return p.Masked(), nil
}

// uniqueLocalBlock is a random /56 of RFC 4193: there is no public one to give.
func uniqueLocalBlock() netip.Prefix {
	var b [16]byte
	_, _ = rand.Read(b[1:7]) // crypto/rand never fails
	b[0] = 0xfd
	return netip.PrefixFrom(netip.AddrFrom16(b), 56)
}

const defaultGroup = "default"

// putVPCDefaults makes what EC2 makes with every VPC: the main route table and
// the default security group, whose members may talk to each other.
func putVPCDefaults(tx *store.Tx, v state.VPC) {
	state.RouteTables.Put(tx, state.RouteTable{RouteTableID: newID("rtb"), VPCID: v.VPCID, Main: true})
	g := state.SecurityGroup{GroupID: newID("sg"), GroupName: defaultGroup, Description: "default VPC security group", VPCID: v.VPCID}
	state.SecurityGroups.Put(tx, g)
	putOpenEgress(tx, g.GroupID, v.IPv6CIDRBlock.IsValid())
	state.SecurityGroupRules.Put(tx, state.SecurityGroupRule{
		RuleID: newID("sgr"), GroupID: g.GroupID, IPProtocol: "-1", FromPort: -1, ToPort: -1, ReferencedGroupID: g.GroupID,
	})
}

// VPCRef names the VPC of a request.
type VPCRef struct {
	DryRun
	VpcID string `ec2:"VpcId,required"`
}

func (s *Service) deleteVpc(ctx context.Context, in *VPCRef) (*noOutput, error) {
	if err := s.allowOn(ctx, "DeleteVpc", in.DryRun, in.VpcID); err != nil {
		return nil, err
	}
	n := s.network()
	return nil, s.DB.Update(func(tx *store.Tx) error {
		if _, err := own(tx, n, state.VPCs, in.VpcID); err != nil {
			return err
		}
		return deleteVPC(tx, in.VpcID)
	})
}

// deleteVPC deletes a VPC and what was made with it, when there is nothing else
// in it.
func deleteVPC(tx *store.Tx, id string) error {
	_, subnets := state.SubnetsByVPC.First(tx, id)
	_, gateway := state.InternetGatewaysByVPC.First(tx, id)
	tables := slices.Collect(state.RouteTablesByVPC.All(tx, id))
	groups := slices.Collect(state.SecurityGroupsByVPC.All(tx, id))
	if subnets || gateway || len(tables) > 1 || len(groups) > 1 {
		return dependency("The vpc '%s' has dependencies and cannot be deleted.", id)
	}
	for _, t := range tables {
		remove(tx, state.RouteTables, t.RouteTableID)
	}
	for _, g := range groups {
		if err := removeGroup(tx, g.GroupID); err != nil {
			return err
		}
	}
	remove(tx, state.VPCs, id)
	return nil
}

type modifyVpcAttributeInput struct {
	VpcID        string     `ec2:"VpcId,required"`
	DNSSupport   *boolValue `ec2:"EnableDnsSupport"`
	DNSHostnames *boolValue `ec2:"EnableDnsHostnames"`
	UsageMetrics *boolValue `ec2:"EnableNetworkAddressUsageMetrics"`
}

func (s *Service) modifyVpcAttribute(ctx context.Context, in *modifyVpcAttributeInput) (*noOutput, error) {
	if err := s.allowOn(ctx, "ModifyVpcAttribute", DryRun{}, in.VpcID); err != nil {
		return nil, err
	}
	return nil, editOwn(s, state.VPCs, in.VpcID, func(_ *store.Tx, _ *network, v *state.VPC) error {
		set := 0
		for _, a := range []struct {
			in  *boolValue
			out *bool
			not bool
		}{{in.DNSSupport, &v.NoDNSSupport, true}, {in.DNSHostnames, &v.DNSHostnames, false}, {in.UsageMetrics, &v.UsageMetrics, false}} {
			if a.in != nil && a.in.Value != nil {
				*a.out = *a.in.Value != a.not
				set++
			}
		}
		if set != 1 {
			return wire.Errorf("InvalidParameterCombination", "Exactly one attribute must be specified, not %d", set)
		}
		return nil
	})
}

type describeVpcAttributeInput struct {
	VPCRef
	Attribute string `ec2:"Attribute,required"`
}

// describeVpcAttributeOutput has the one attribute that was asked for.
type describeVpcAttributeOutput struct {
	VpcID        string     `ec2:"VpcId"`
	DNSSupport   *boolValue `ec2:"EnableDnsSupport"`
	DNSHostnames *boolValue `ec2:"EnableDnsHostnames"`
	UsageMetrics *boolValue `ec2:"EnableNetworkAddressUsageMetrics"`
}

func (s *Service) describeVpcAttribute(ctx context.Context, in *describeVpcAttributeInput) (*describeVpcAttributeOutput, error) {
	if err := s.allowOn(ctx, "DescribeVpcAttribute", in.DryRun, in.VpcID); err != nil {
		return nil, err
	}
	v, _ := state.VPCs.Get(s.DB.Current(), in.VpcID) // one of the inventory has the defaults
	out := &describeVpcAttributeOutput{VpcID: in.VpcID}
	value := func(b bool) *boolValue { return &boolValue{&b} }
	switch in.Attribute {
	case "enableDnsSupport":
		out.DNSSupport = value(!v.NoDNSSupport)
	case "enableDnsHostnames":
		out.DNSHostnames = value(v.DNSHostnames)
	case "enableNetworkAddressUsageMetrics":
		out.UsageMetrics = value(v.UsageMetrics)
	default:
		return nil, invalidValue("Value (%s) for parameter attribute is invalid. Unknown VPC attribute.", in.Attribute)
	}
	return out, nil
}

type describeClassicLinkInput struct {
	DryRun
	VpcIDs  []string `ec2:"VpcId"`
	Filters []Filter `ec2:"Filter"`
}

type describeClassicLinkOutput struct {
	Vpcs []classicLink `ec2:"VpcSet"`
}

type classicLink struct {
	VpcID   string `ec2:"VpcId"`
	Enabled bool   `ec2:"ClassicLinkEnabled"`
	Tags    []Tag  `ec2:"TagSet"`
}

// describeVpcClassicLink tells older clients that no VPC has a ClassicLink.
func (s *Service) describeVpcClassicLink(ctx context.Context, in *describeClassicLinkInput) (*describeClassicLinkOutput, error) {
	found, err := s.describeVpcs(ctx, &describeVpcsInput{Query: Query{DryRun: in.DryRun, Filters: in.Filters}, VpcIDs: in.VpcIDs})
	if err != nil {
		return nil, err
	}
	return &describeClassicLinkOutput{convert(found.Vpcs, func(v Vpc) classicLink { return classicLink{VpcID: v.VpcID, Tags: v.Tags} })}, nil
}

type describeClassicLinkDNSInput struct {
	DryRun
	VpcIDs []string `ec2:"VpcIds"`
}

type describeClassicLinkDNSOutput struct {
	Vpcs []classicLinkDNS `ec2:"Vpcs"`
}

type classicLinkDNS struct {
	VpcID     string `ec2:"VpcId"`
	Supported bool   `ec2:"ClassicLinkDnsSupported"`
}

func (s *Service) describeVpcClassicLinkDNSSupport(ctx context.Context, in *describeClassicLinkDNSInput) (*describeClassicLinkDNSOutput, error) {
	found, err := s.describeVpcs(ctx, &describeVpcsInput{Query: Query{DryRun: in.DryRun}, VpcIDs: in.VpcIDs})
	if err != nil {
		return nil, err
	}
	return &describeClassicLinkDNSOutput{convert(found.Vpcs, func(v Vpc) classicLinkDNS { return classicLinkDNS{VpcID: v.VpcID} })}, nil
}
