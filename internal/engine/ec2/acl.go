package ec2

import (
	"context"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
)

// Every VPC has the network ACL that it is made with, which allows everything.
// There are no others, and nothing changes them.

// NetworkACL is a network ACL in responses.
type NetworkACL struct {
	ID           string           `ec2:"NetworkAclId"`
	VpcID        string           `ec2:"VpcId"`
	OwnerID      string           `ec2:"OwnerId"`
	Default      bool             `ec2:"Default"`
	Entries      []aclEntry       `ec2:"EntrySet"`
	Associations []aclAssociation `ec2:"AssociationSet"`
	Tags         []Tag            `ec2:"TagSet"`
}

type aclEntry struct {
	RuleNumber int32  `ec2:"RuleNumber"`
	Protocol   string `ec2:"Protocol"`
	Action     string `ec2:"RuleAction"`
	Egress     bool   `ec2:"Egress"`
	IPv4       string `ec2:"CidrBlock,omitempty"`
	IPv6       string `ec2:"Ipv6CidrBlock,omitempty"`
}

type aclAssociation struct {
	ID       string `ec2:"NetworkAclAssociationId"`
	ACLID    string `ec2:"NetworkAclId"`
	SubnetID string `ec2:"SubnetId"`
}

func aclID(vpcID string) string { return derivedID("acl", vpcID) }

// Rule numbers of a default ACL: allow, and refuse what is left (VPC user
// guide).
const (
	allowRule, allowRuleIPv6 = 100, 101
	lastRule, lastRuleIPv6   = 32767, 32768
)

func defaultEntries(ipv6 bool) []aclEntry {
	var all []aclEntry
	for _, egress := range []bool{true, false} {
		all = append(all, aclEntry{allowRule, "-1", "allow", egress, "0.0.0.0/0", ""}, aclEntry{lastRule, "-1", "deny", egress, "0.0.0.0/0", ""})
		if ipv6 {
			all = append(all, aclEntry{allowRuleIPv6, "-1", "allow", egress, "", "::/0"}, aclEntry{lastRuleIPv6, "-1", "deny", egress, "", "::/0"})
		}
	}
	return all
}

func (s *Service) networkACL(n *network, v inventory.VPC, tags map[string]string) NetworkACL {
	acl := NetworkACL{
		ID: aclID(v.VPCID), VpcID: v.VPCID, OwnerID: s.AccountID, Default: true,
		Entries: defaultEntries(v.IPv6CIDRBlock.IsValid()), Associations: []aclAssociation{}, Tags: tagSet(tags),
	}
	for _, subnet := range n.Subnets {
		if subnet.VPCID == v.VPCID {
			acl.Associations = append(acl.Associations, aclAssociation{derivedID("aclassoc", subnet.SubnetID), acl.ID, subnet.SubnetID})
		}
	}
	return acl
}

type describeNetworkACLsInput struct {
	Query
	IDs []string `ec2:"NetworkAclId"`
}

type describeNetworkACLsOutput struct {
	ACLs      []NetworkACL `ec2:"NetworkAclSet"`
	NextToken *string      `ec2:"NextToken"`
}

func (s *Service) describeNetworkACLs(ctx context.Context, in *describeNetworkACLsInput) (*describeNetworkACLsOutput, error) {
	if err := s.allowRead(ctx, "DescribeNetworkAcls", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	all := convert(n.VPCs, func(v inventory.VPC) NetworkACL { return s.networkACL(n, v, state.Tags(r, aclID(v.VPCID))) })
	k := kind[NetworkACL]{
		id: func(a NetworkACL) string { return a.ID }, idFilter: "network-acl-id",
		absent: notFound("InvalidNetworkAclID.NotFound", "networkAcl"),
		tags:   func(a NetworkACL) map[string]string { return state.Tags(r, a.ID) },
		attributes: attributes[NetworkACL]{
			"network-acl-id": func(a NetworkACL) []string { return []string{a.ID} },
			"vpc-id":         func(a NetworkACL) []string { return []string{a.VpcID} },
			"owner-id":       func(a NetworkACL) []string { return []string{a.OwnerID} },
			"default":        func(NetworkACL) []string { return yes(true) },
			"association.subnet-id": func(a NetworkACL) []string {
				return convert(a.Associations, func(x aclAssociation) string { return x.SubnetID })
			},
		},
	}
	found, next, err := k.find(listed(all, k.id), in.IDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeNetworkACLsOutput{found, token(next)}, nil
}
