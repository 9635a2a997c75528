package ec2

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

type describeSubnetsInput struct {
	Query
	SubnetIDs []string `ec2:"SubnetId"`
}

type describeSubnetsOutput struct {
	Subnets   []Subnet `ec2:"SubnetSet"`
	NextToken *string  `ec2:"NextToken"`
}

// Subnet is a subnet in responses.
type Subnet struct {
	SubnetID         string            `ec2:"SubnetId"`
	SubnetARN        string            `ec2:"SubnetArn"`
	State            string            `ec2:"State"`
	OwnerID          string            `ec2:"OwnerId"`
	VpcID            string            `ec2:"VpcId"`
	CidrBlock        netip.Prefix      `ec2:"CidrBlock"`
	IPv6CidrBlocks   []ipv6Association `ec2:"Ipv6CidrBlockAssociationSet"`
	FreeIPs          int32             `ec2:"AvailableIpAddressCount"`
	Zone             string            `ec2:"AvailabilityZone"`
	ZoneID           string            `ec2:"AvailabilityZoneId"`
	DefaultForZone   bool              `ec2:"DefaultForAz"`
	MapPublicIP      bool              `ec2:"MapPublicIpOnLaunch"`
	AssignIPv6       bool              `ec2:"AssignIpv6AddressOnCreation"`
	IPv6Native       bool              `ec2:"Ipv6Native"`
	EnableDNS64      bool              `ec2:"EnableDns64"`
	MapCustomerOwned bool              `ec2:"MapCustomerOwnedIpOnLaunch"`
	Tags             []Tag             `ec2:"TagSet"`
}

const subnetAssociationPrefix = "subnet-cidr-assoc"

func (s *Service) subnetKind(r store.Reader, n *network) kind[inventory.Subnet] {
	type subnet = inventory.Subnet
	text := func(f func(subnet) string) func(subnet) []string {
		return func(v subnet) []string { return []string{f(v)} }
	}
	cidr := text(func(v subnet) string { return v.CIDRBlock.String() })
	zone := text(func(v subnet) string { return v.AvailabilityZone })
	zoneID := text(func(v subnet) string { return v.AvailabilityZoneID })
	return kind[subnet]{
		id: func(v subnet) string { return v.SubnetID }, idFilter: "subnet-id",
		absent: notFound("InvalidSubnetID.NotFound", "subnet"),
		tags:   func(v subnet) map[string]string { return tagsOf(r, v.SubnetID, v.Tags) },
		attributes: attributes[subnet]{
			"subnet-id":            text(func(v subnet) string { return v.SubnetID }),
			"subnet-arn":           text(func(v subnet) string { return s.arn("subnet", v.SubnetID) }),
			"vpc-id":               text(func(v subnet) string { return v.VPCID }),
			"availability-zone":    zone,
			"availabilityZone":     zone,
			"availability-zone-id": zoneID,
			"availabilityZoneId":   zoneID,
			"cidr-block":           cidr,
			"cidr":                 cidr,
			"cidrBlock":            cidr,
			"default-for-az":       func(subnet) []string { return yes(false) },
			"defaultForAz":         func(subnet) []string { return yes(false) },
			"map-public-ip-on-launch": func(v subnet) []string {
				public, _ := onLaunch(r, v)
				return yes(public)
			},
			"ipv6-native":                func(subnet) []string { return yes(false) },
			"owner-id":                   text(func(subnet) string { return s.AccountID }),
			"state":                      text(func(subnet) string { return "available" }),
			"available-ip-address-count": text(func(v subnet) string { return strconv.Itoa(n.freeIPv4(r, v)) }),
			"ipv6-cidr-block-association.ipv6-cidr-block": func(v subnet) []string { return prefixTexts(v.IPv6CIDRBlock) },
		},
	}
}

func (s *Service) describeSubnets(ctx context.Context, in *describeSubnetsInput) (*describeSubnetsOutput, error) {
	if err := s.allowRead(ctx, "DescribeSubnets", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	k := s.subnetKind(r, n)
	found, next, err := k.find(source[inventory.Subnet]{n.Subnet, slices.Values(n.Subnets)}, in.SubnetIDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeSubnetsOutput{convert(found, func(v inventory.Subnet) Subnet {
		return s.subnet(r, n, v)
	}), token(next)}, nil
}

func (s *Service) subnet(r store.Reader, n *network, v inventory.Subnet) Subnet {
	public, ipv6 := onLaunch(r, v)
	return Subnet{
		SubnetID: v.SubnetID, SubnetARN: s.arn("subnet", v.SubnetID), State: "available", OwnerID: s.AccountID,
		VpcID: v.VPCID, CidrBlock: v.CIDRBlock, IPv6CidrBlocks: ipv6Associations(subnetAssociationPrefix, v.SubnetID, v.IPv6CIDRBlock),
		FreeIPs: int32(n.freeIPv4(r, v)), Zone: v.AvailabilityZone, ZoneID: v.AvailabilityZoneID,
		MapPublicIP: public, AssignIPv6: ipv6, Tags: tagSet(tagsOf(r, v.SubnetID, v.Tags)),
	}
}
