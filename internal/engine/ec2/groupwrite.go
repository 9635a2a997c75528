package ec2

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// maxGroups bounds the state. AWS's quota of 2,500 in a region is too few for
// the load balancers that an engine can have, with a group each.
const maxGroups = 60_000

type createSecurityGroupInput struct {
	DryRun
	Name        string             `ec2:"GroupName,required"`
	Description string             `ec2:"GroupDescription,required"`
	VpcID       string             `ec2:"VpcId"`
	Tags        []tagSpecification `ec2:"TagSpecification"`
}

type createSecurityGroupOutput struct {
	Return   bool   `ec2:"Return"`
	GroupID  string `ec2:"GroupId"`
	GroupARN string `ec2:"SecurityGroupArn"`
	Tags     []Tag  `ec2:"TagSet"`
}

// newID returns a random ID of EC2's form.
func newID(prefix string) string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return prefix + "-" + hex.EncodeToString(b[:])[:17]
}

func (s *Service) createSecurityGroup(ctx context.Context, in *createSecurityGroupInput) (*createSecurityGroupOutput, error) {
	tags, err := specifiedTags(in.Tags, "security-group")
	if err != nil {
		return nil, err
	}
	n := s.network()
	vpcID := in.VpcID
	if v, ok := n.defaultVPC(); vpcID == "" && ok {
		vpcID = v.VPCID
	}
	if err := s.allowCreateGroup(ctx, n, vpcID, tags); err != nil {
		return nil, err
	}
	if err := checkNewGroup(n, in, vpcID); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	g := state.SecurityGroup{GroupID: newID("sg"), GroupName: in.Name, Description: in.Description, VPCID: vpcID}
	err = s.DB.Update(func(tx *store.Tx) error {
		if _, taken := n.groupNamed(tx, vpcID, in.Name); taken {
			return wire.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", in.Name, vpcID)
		}
		if state.SecurityGroups.Len(tx) >= maxGroups {
			return wire.Errorf("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
		}
		state.SecurityGroups.Put(tx, g)
		state.PutTags(tx, g.GroupID, tags)
		vpc, _ := n.VPC(vpcID)
		putOpenEgress(tx, g.GroupID, vpc.IPv6CIDRBlock.IsValid())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &createSecurityGroupOutput{true, g.GroupID, s.arn("security-group", g.GroupID), tagSet(tags)}, nil
}

// allowCreateGroup asks for the permission on the group and on its VPC.
func (s *Service) allowCreateGroup(ctx context.Context, n *network, vpcID string, tags map[string]string) error {
	const action = "CreateSecurityGroup"
	vpc, _ := n.VPC(vpcID)
	if err := s.allow(ctx, action, s.arn("security-group", anyResource), requestTags(tags), s.vpcCondition(vpcID)); err != nil {
		return err
	}
	if err := s.allow(ctx, action, s.arn("vpc", vpcID), resourceTags(tagsOf(s.DB.Current(), vpcID, vpc.Tags))); err != nil {
		return err
	}
	return s.allowTagging(ctx, action, "security-group", tags)
}

// checkNewGroup applies the rules of CreateSecurityGroup's reference.
func checkNewGroup(n *network, in *createSecurityGroupInput, vpcID string) error {
	switch {
	case in.Name == "" || !validText(in.Name):
		return invalidValue("Value (%s) for parameter GroupName is invalid. Up to 255 characters from the following set are allowed: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*", in.Name)
	case strings.HasPrefix(in.Name, "sg-"):
		return invalidValue("Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*.", in.Name)
	case in.Name == "default":
		return wire.Errorf("InvalidGroup.Reserved", "The security group 'default' is reserved")
	case in.Description == "" || !validText(in.Description):
		return invalidValue("Value (%s) for parameter GroupDescription is invalid. Up to 255 characters from the following set are allowed: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*", in.Description)
	case vpcID == "":
		return wire.Errorf("VPCIdNotSpecified", "No default VPC for this user")
	}
	if _, ok := n.VPC(vpcID); !ok {
		return notFound("InvalidVpcID.NotFound", "vpc")([]string{vpcID})
	}
	return nil
}

// putOpenEgress gives a new group the rules that every new group has: to send
// everything everywhere.
func putOpenEgress(tx *store.Tx, groupID string, ipv6 bool) {
	rule := state.SecurityGroupRule{RuleID: newID("sgr"), GroupID: groupID, Egress: true, IPProtocol: "-1", FromPort: -1, ToPort: -1}
	rule.CIDRIPv4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	state.SecurityGroupRules.Put(tx, rule)
	if ipv6 {
		rule.RuleID, rule.CIDRIPv4, rule.CIDRIPv6 = newID("sgr"), netip.Prefix{}, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		state.SecurityGroupRules.Put(tx, rule)
	}
}

// GroupRef names a group: by ID, or by name in the default VPC.
type GroupRef struct {
	GroupID   string `ec2:"GroupId"`
	GroupName string `ec2:"GroupName"`
}

// resolve finds the group of a request.
func (s *Service) resolve(n *network, r store.Reader, ref GroupRef) (group, error) {
	id := ref.GroupID
	if id == "" && ref.GroupName == "" {
		return group{}, wire.Errorf("MissingParameter", "The request must contain the parameter groupName or groupId")
	}
	if id == "" {
		ids, err := n.idsOfNames(r, []string{ref.GroupName})
		if err != nil {
			return group{}, err
		}
		id = ids[0]
	}
	if err := checkIDs("sg-", []string{id}, "InvalidGroupId.Malformed"); err != nil {
		return group{}, err
	}
	g, ok := n.group(r, id)
	if !ok {
		return group{}, groupsNotFound([]string{id})
	}
	return g, nil
}

// allowOnGroup asks for an action on an existing group.
func (s *Service) allowOnGroup(ctx context.Context, action string, g group) error {
	tags := tagsOf(s.DB.Current(), g.GroupID, g.fileTags)
	return s.allow(ctx, action, s.arn("security-group", g.GroupID), resourceTags(tags), s.vpcCondition(g.VPCID))
}

type deleteSecurityGroupInput struct {
	DryRun
	GroupRef
}

type deleteSecurityGroupOutput struct {
	Return  bool   `ec2:"Return"`
	GroupID string `ec2:"GroupId"`
}

func (s *Service) deleteSecurityGroup(ctx context.Context, in *deleteSecurityGroupInput) (*deleteSecurityGroupOutput, error) {
	n := s.network()
	g, err := s.resolve(n, s.DB.Current(), in.GroupRef)
	if err != nil {
		return nil, err
	}
	if err := s.allowOnGroup(ctx, "DeleteSecurityGroup", g); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if g.fromFile {
		return nil, wire.Errorf("CannotDelete", "the specified group: \"%s\" name: \"%s\" cannot be deleted by a user: it stands in the inventory file", g.GroupID, g.GroupName)
	}
	if g.GroupName == defaultGroup {
		return nil, wire.Errorf("CannotDelete", "the specified group: \"%s\" name: \"%s\" cannot be deleted by a user", g.GroupID, g.GroupName)
	}
	err = s.DB.Update(func(tx *store.Tx) error {
		if n.attached[g.GroupID] > 0 {
			return dependency("resource %s has a dependent object", g.GroupID)
		}
		return removeGroup(tx, g.GroupID)
	})
	if err != nil {
		return nil, err
	}
	return &deleteSecurityGroupOutput{true, g.GroupID}, nil
}

// removeGroup deletes a group and its rules, when nothing in the state refers to
// it.
func removeGroup(tx *store.Tx, id string) error {
	if _, ok := state.SecurityGroups.Get(tx, id); !ok {
		return groupsNotFound([]string{id})
	}
	_, balanced := state.LoadBalancersBySecurityGroup.First(tx, id)
	_, classic := state.ClassicLoadBalancersBySecurityGroup.First(tx, id)
	if balanced || classic || referenced(tx, id) {
		return dependency("resource %s has a dependent object", id)
	}
	var rules []string
	for r := range state.RulesByGroup.All(tx, id) {
		rules = append(rules, r.RuleID)
	}
	for _, ruleID := range rules {
		deleteRule(tx, ruleID)
	}
	state.SecurityGroups.Delete(tx, id)
	state.PutTags(tx, id, nil)
	return nil
}

// referenced reports whether a rule of another group refers to a group.
func referenced(tx *store.Tx, id string) bool {
	for r := range state.RulesByReferencedGroup.All(tx, id) {
		if r.GroupID != id {
			return true
		}
	}
	return false
}

func deleteRule(tx *store.Tx, ruleID string) {
	state.SecurityGroupRules.Delete(tx, ruleID)
	state.PutTags(tx, ruleID, nil)
}
