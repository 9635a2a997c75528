package ec2

import (
	"context"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

type describeVpcsInput struct {
	Query
	VpcIDs []string `ec2:"VpcId"`
}

type describeVpcsOutput struct {
	Vpcs      []Vpc   `ec2:"VpcSet"`
	NextToken *string `ec2:"NextToken"`
}

// Vpc is a VPC in responses.
type Vpc struct {
	VpcID           string            `ec2:"VpcId"`
	OwnerID         string            `ec2:"OwnerId"`
	State           string            `ec2:"State"`
	CidrBlock       netip.Prefix      `ec2:"CidrBlock"`
	CidrBlocks      []cidrAssociation `ec2:"CidrBlockAssociationSet"`
	IPv6CidrBlocks  []ipv6Association `ec2:"Ipv6CidrBlockAssociationSet"`
	DHCPOptionsID   string            `ec2:"DhcpOptionsId"`
	InstanceTenancy string            `ec2:"InstanceTenancy"`
	IsDefault       bool              `ec2:"IsDefault"`
	Tags            []Tag             `ec2:"TagSet"`
}

type cidrAssociation struct {
	AssociationID string       `ec2:"AssociationId"`
	CidrBlock     netip.Prefix `ec2:"CidrBlock"`
	State         blockState   `ec2:"CidrBlockState"`
}

type ipv6Association struct {
	AssociationID string       `ec2:"AssociationId"`
	CidrBlock     netip.Prefix `ec2:"Ipv6CidrBlock"`
	State         blockState   `ec2:"Ipv6CidrBlockState"`
}

type blockState struct {
	State string `ec2:"State"`
}

const associationPrefix = "vpc-cidr-assoc"

// ipv6Associations lists the one IPv6 block of a VPC or subnet, if any.
func ipv6Associations(prefix, id string, block netip.Prefix) []ipv6Association {
	if !block.IsValid() {
		return []ipv6Association{}
	}
	return []ipv6Association{{derivedID(prefix, id, block.String()), block, blockState{"associated"}}}
}

func (s *Service) vpcKind(r store.Reader) kind[inventory.VPC] {
	id := func(v inventory.VPC) string { return v.VPCID }
	constant := func(value string) func(inventory.VPC) []string {
		return func(inventory.VPC) []string { return []string{value} }
	}
	cidr := func(v inventory.VPC) []string { return []string{v.CIDRBlock.String()} }
	return kind[inventory.VPC]{
		id: id, idFilter: "vpc-id", absent: notFound("InvalidVpcID.NotFound", "vpc"),
		tags: func(v inventory.VPC) map[string]string { return tagsOf(r, v.VPCID, v.Tags) },
		attributes: attributes[inventory.VPC]{
			"vpc-id":                            func(v inventory.VPC) []string { return []string{v.VPCID} },
			"cidr":                              cidr,
			"cidr-block-association.cidr-block": cidr,
			"cidr-block-association.state":      constant("associated"),
			"ipv6-cidr-block-association.ipv6-cidr-block": func(v inventory.VPC) []string { return prefixTexts(v.IPv6CIDRBlock) },
			"is-default":      func(v inventory.VPC) []string { return yes(v.IsDefault) },
			"owner-id":        constant(s.AccountID),
			"state":           constant("available"),
			"dhcp-options-id": constant("default"),
		},
	}
}

func prefixTexts(all ...netip.Prefix) []string {
	var texts []string
	for _, p := range all {
		if p.IsValid() {
			texts = append(texts, p.String())
		}
	}
	return texts
}

func (s *Service) describeVpcs(ctx context.Context, in *describeVpcsInput) (*describeVpcsOutput, error) {
	if err := s.allowRead(ctx, "DescribeVpcs", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	k := s.vpcKind(r)
	found, next, err := k.find(source[inventory.VPC]{n.VPC, slices.Values(n.VPCs)}, in.VpcIDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeVpcsOutput{convert(found, func(v inventory.VPC) Vpc {
		return s.vpc(v, k.tags(v))
	}), token(next)}, nil
}

func (s *Service) vpc(v inventory.VPC, tags map[string]string) Vpc {
	return Vpc{
		VpcID: v.VPCID, OwnerID: s.AccountID, State: "available", CidrBlock: v.CIDRBlock,
		CidrBlocks:     []cidrAssociation{{derivedID(associationPrefix, v.VPCID, v.CIDRBlock.String()), v.CIDRBlock, blockState{"associated"}}},
		IPv6CidrBlocks: ipv6Associations(associationPrefix, v.VPCID, v.IPv6CIDRBlock),
		DHCPOptionsID:  "default", InstanceTenancy: "default", IsDefault: v.IsDefault, Tags: tagSet(tags),
	}
}
