package awssdk

import (
	"context"
	"net/netip"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// DescribeSubnets implements cloud.API.
func (c *Client) DescribeSubnets(ctx context.Context) ([]intent.Subnet, error) {
	var out []intent.Subnet
	in := &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", c.cfg.VPCID)}}
	for {
		page, err := call(ctx, c, "describe subnets of "+c.cfg.VPCID, c.ec2.DescribeSubnets, in)
		if err != nil {
			return nil, err
		}
		out = append(out, mapped(page.Subnets, fromSubnet)...)
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			return out, nil
		}
	}
}

func fromSubnet(s types.Subnet) intent.Subnet {
	out := intent.Subnet{
		ID: aws.ToString(s.SubnetId), Zone: aws.ToString(s.AvailabilityZone),
		FreeAddresses: int(aws.ToInt32(s.AvailableIpAddressCount)), Tags: fromTags(s.Tags),
	}
	out.CIDR, _ = netip.ParsePrefix(aws.ToString(s.CidrBlock)) // EC2 sends none that does not parse
	for _, a := range s.Ipv6CidrBlockAssociationSet {
		if p, err := netip.ParsePrefix(aws.ToString(a.Ipv6CidrBlock)); err == nil {
			out.IPv6CIDR = p
		}
	}
	return out
}

// CreateSecurityGroup implements cloud.SecurityGroups.
func (c *Client) CreateSecurityGroup(ctx context.Context, want lb.SecurityGroup) (string, error) {
	out, err := call(ctx, c, "create security group "+want.Name, c.ec2.CreateSecurityGroup, &ec2.CreateSecurityGroupInput{
		GroupName: &want.Name, Description: &want.Description, VpcId: &c.cfg.VPCID,
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: ec2Tags(want.Tags)}},
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.GroupId), nil
}

// DescribeSecurityGroups implements cloud.SecurityGroups.
func (c *Client) DescribeSecurityGroups(ctx context.Context, by cloud.GroupFilter) ([]cloud.SecurityGroup, error) {
	in := &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{filter("vpc-id", c.cfg.VPCID)}}
	switch {
	case len(by.Names) > 0:
		in.Filters = append(in.Filters, filter("group-name", by.Names...))
	case by.NameTag != "":
		in.Filters = append(in.Filters, filter("tag:Name", by.NameTag))
	case by.TagKey != "":
		in.Filters = append(in.Filters, filter("tag-key", by.TagKey))
	default: // by filter and not by parameter: a filter does not fail on what is gone
		in.Filters = append(in.Filters, filter("group-id", by.IDs...))
	}
	var out []cloud.SecurityGroup
	for {
		page, err := call(ctx, c, "describe security groups", c.ec2.DescribeSecurityGroups, in)
		if err != nil {
			return nil, err
		}
		out = append(out, mapped(page.SecurityGroups, fromGroup)...)
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			return out, nil
		}
	}
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: &name, Values: values}
}

func fromGroup(g types.SecurityGroup) cloud.SecurityGroup {
	out := cloud.SecurityGroup{ID: aws.ToString(g.GroupId), Name: aws.ToString(g.GroupName), Tags: fromTags(g.Tags)}
	for _, p := range g.IpPermissions {
		rule := lb.Rule{Protocol: aws.ToString(p.IpProtocol), FromPort: aws.ToInt32(p.FromPort), ToPort: aws.ToInt32(p.ToPort)}
		if rule.Protocol == "-1" {
			rule.FromPort, rule.ToPort = -1, -1
		}
		for _, r := range p.IpRanges {
			out.Ingress = append(out.Ingress, rangeRule(rule, aws.ToString(r.CidrIp), aws.ToString(r.Description)))
		}
		for _, r := range p.Ipv6Ranges {
			out.Ingress = append(out.Ingress, rangeRule(rule, aws.ToString(r.CidrIpv6), aws.ToString(r.Description)))
		}
		for _, r := range p.UserIdGroupPairs {
			from := rule
			from.SourceGroup = aws.ToString(r.GroupId)
			out.Ingress = append(out.Ingress, cloud.IngressRule{Rule: from, Description: aws.ToString(r.Description)})
		}
		for _, r := range p.PrefixListIds {
			from := rule
			from.SourceList = aws.ToString(r.PrefixListId)
			out.Ingress = append(out.Ingress, cloud.IngressRule{Rule: from, Description: aws.ToString(r.Description)})
		}
	}
	return out
}

func rangeRule(rule lb.Rule, cidr, description string) cloud.IngressRule {
	rule.Source, _ = netip.ParsePrefix(cidr) // EC2 sends none that does not parse
	return cloud.IngressRule{Rule: rule, Description: description}
}

// AuthorizeIngress implements cloud.SecurityGroups.
func (c *Client) AuthorizeIngress(ctx context.Context, groupID string, rules []lb.Rule) error {
	return run(ctx, c, "authorize ingress in "+groupID, c.ec2.AuthorizeSecurityGroupIngress, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &groupID, IpPermissions: c.permissions(rules, c.cfg.Description),
	})
}

// RevokeIngress implements cloud.SecurityGroups. One rule that is not there
// makes EC2 refuse all of them.
func (c *Client) RevokeIngress(ctx context.Context, groupID string, rules []lb.Rule) error {
	return run(ctx, c, "revoke ingress in "+groupID, c.ec2.RevokeSecurityGroupIngress, &ec2.RevokeSecurityGroupIngressInput{
		GroupId: &groupID, IpPermissions: c.permissions(rules, ""),
	})
}

func (c *Client) permissions(rules []lb.Rule, description string) []types.IpPermission {
	var text *string
	if description != "" {
		text = &description
	}
	return mapped(rules, func(r lb.Rule) types.IpPermission {
		p := types.IpPermission{IpProtocol: aws.String(r.Protocol)}
		if r.Protocol != "-1" {
			p.FromPort, p.ToPort = aws.Int32(r.FromPort), aws.Int32(r.ToPort)
		}
		switch {
		case r.SourceGroup != "":
			p.UserIdGroupPairs = []types.UserIdGroupPair{{GroupId: aws.String(r.SourceGroup), Description: text}}
		case r.SourceList != "":
			p.PrefixListIds = []types.PrefixListId{{PrefixListId: aws.String(r.SourceList), Description: text}}
		case r.Source.Addr().Is4():
			p.IpRanges = []types.IpRange{{CidrIp: aws.String(r.Source.String()), Description: text}}
		default:
			p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: aws.String(r.Source.String()), Description: text}}
		}
		return p
	})
}

// DeleteSecurityGroup implements cloud.SecurityGroups. Deleting what is not
// there succeeds.
func (c *Client) DeleteSecurityGroup(ctx context.Context, groupID string) error {
	return ignore(cloud.NotFound, run(ctx, c, "delete security group "+groupID, c.ec2.DeleteSecurityGroup, &ec2.DeleteSecurityGroupInput{GroupId: &groupID}))
}

// CreateTags implements cloud.Tags.
func (c *Client) CreateTags(ctx context.Context, id string, tags map[string]string) error {
	return run(ctx, c, "tag "+id, c.ec2.CreateTags, &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(tags)})
}

// DeleteTags implements cloud.Tags.
func (c *Client) DeleteTags(ctx context.Context, id string, keys []string) error {
	in := &ec2.DeleteTagsInput{Resources: []string{id}}
	for _, k := range keys {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k)})
	}
	return run(ctx, c, "untag "+id, c.ec2.DeleteTags, in)
}

func ec2Tags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, kv := range pairs(tags) {
		out = append(out, types.Tag{Key: &kv[0], Value: &kv[1]})
	}
	return out
}

func fromTags(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// nameIn is the part of an ARN that people know a resource by.
func nameIn(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	return parts[len(parts)-1]
}
