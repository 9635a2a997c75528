package ec2

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// PermissionsInput is the rules in a request: as permissions, or one rule in
// the flat form of older clients.
type PermissionsInput struct {
	Permissions []IPPermission `ec2:"IpPermissions"`
	Protocol    string         `ec2:"IpProtocol"`
	FromPort    *int32         `ec2:"FromPort"`
	ToPort      *int32         `ec2:"ToPort"`
	CIDR        string         `ec2:"CidrIp"`
	SourceGroup string         `ec2:"SourceSecurityGroupName"`
}

// all returns the permissions, whatever their form.
func (p PermissionsInput) all() []IPPermission {
	if p.Protocol == "" && p.CIDR == "" && p.SourceGroup == "" {
		return p.Permissions
	}
	flat := IPPermission{Protocol: p.Protocol, FromPort: p.FromPort, ToPort: p.ToPort}
	if p.CIDR != "" {
		flat.IPv4 = []ipv4Range{{CIDR: p.CIDR}}
	}
	if p.SourceGroup != "" {
		flat.Groups = []groupPair{{GroupName: p.SourceGroup}}
	}
	return append(slices.Clone(p.Permissions), flat)
}

type authorizeInput struct {
	DryRun
	GroupRef
	PermissionsInput
	Tags []tagSpecification `ec2:"TagSpecification"`
}

type authorizeOutput struct {
	Return bool                `ec2:"Return"`
	Rules  []SecurityGroupRule `ec2:"SecurityGroupRuleSet"`
}

func (s *Service) authorizeSecurityGroupIngress(ctx context.Context, in *authorizeInput) (*authorizeOutput, error) {
	return s.authorize(ctx, "AuthorizeSecurityGroupIngress", false, in)
}

func (s *Service) authorizeSecurityGroupEgress(ctx context.Context, in *authorizeInput) (*authorizeOutput, error) {
	return s.authorize(ctx, "AuthorizeSecurityGroupEgress", true, in)
}

func (s *Service) authorize(ctx context.Context, action string, egress bool, in *authorizeInput) (*authorizeOutput, error) {
	n := s.network()
	g, err := s.resolve(n, s.DB.Current(), in.GroupRef)
	if err != nil {
		return nil, err
	}
	tags, err := specifiedTags(in.Tags, "security-group-rule")
	if err != nil {
		return nil, err
	}
	if err := s.allowOnGroup(ctx, action, g); err != nil {
		return nil, err
	}
	if err := s.allowTagging(ctx, action, "security-group-rule", tags); err != nil {
		return nil, err
	}
	if len(in.all()) == 0 {
		return nil, wire.Errorf("MissingParameter", "The request must contain the parameter ipPermissions")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var rules []state.SecurityGroupRule
	err = s.DB.Update(func(tx *store.Tx) (err error) {
		if rules, err = s.ruleParser(n, tx, g, egress).rules(in.all()); err != nil {
			return err
		}
		return addRules(tx, n, rules, tags)
	})
	if err != nil {
		return nil, err
	}
	return &authorizeOutput{true, s.ruleSet(s.DB.Current(), rules)}, nil
}

func (s *Service) ruleParser(n *network, r store.Reader, g group, egress bool) ruleParser {
	return ruleParser{
		groupID: g.GroupID, egress: egress,
		resolve: func(pair groupPair) (string, error) { return s.resolvePeer(n, r, g, pair) },
		isList:  func(id string) bool { _, ok := state.PrefixLists.Get(r, id); return ok },
	}
}

// resolvePeer finds the group that a rule of g refers to.
func (s *Service) resolvePeer(n *network, r store.Reader, g group, pair groupPair) (string, error) {
	if pair.UserID != "" && pair.UserID != s.AccountID {
		return "", groupsNotFound([]string{pair.GroupID + pair.GroupName})
	}
	other, ok := n.group(r, pair.GroupID)
	if pair.GroupID == "" {
		other, ok = n.groupNamed(r, g.VPCID, pair.GroupName)
	}
	if !ok {
		return "", groupsNotFound([]string{pair.GroupID + pair.GroupName})
	}
	if other.VPCID != g.VPCID {
		return "", wire.Errorf("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
	}
	return other.GroupID, nil
}

// addRules puts rules that are new, giving them IDs.
func addRules(tx *store.Tx, n *network, rules []state.SecurityGroupRule, tags map[string]string) error {
	id := rules[0].GroupID
	if _, ok := n.group(tx, id); !ok {
		return groupsNotFound([]string{id})
	}
	have := slices.Collect(state.RulesByGroup.All(tx, id))
	existing := make(map[state.SecurityGroupRule]bool, len(have))
	for _, r := range have {
		existing[identity(r)] = true
	}
	for _, r := range rules {
		if existing[identity(r)] {
			return wire.Errorf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", inWords(r))
		}
	}
	if err := checkQuota(tx, append(have, rules...), rules[0].Egress); err != nil {
		return err
	}
	for i := range rules {
		rules[i].RuleID = newID("sgr")
		state.SecurityGroupRules.Put(tx, rules[i])
		state.PutTags(tx, rules[i].RuleID, tags)
	}
	return nil
}

type revokeInput struct {
	DryRun
	GroupRef
	PermissionsInput
	RuleIDs []string `ec2:"SecurityGroupRuleId"`
}

type revokeOutput struct {
	Return  bool                `ec2:"Return"`
	Unknown []IPPermission      `ec2:"UnknownIpPermissionSet"`
	Revoked []SecurityGroupRule `ec2:"RevokedSecurityGroupRuleSet"`
}

func (s *Service) revokeSecurityGroupIngress(ctx context.Context, in *revokeInput) (*revokeOutput, error) {
	return s.revoke(ctx, "RevokeSecurityGroupIngress", false, in)
}

func (s *Service) revokeSecurityGroupEgress(ctx context.Context, in *revokeInput) (*revokeOutput, error) {
	return s.revoke(ctx, "RevokeSecurityGroupEgress", true, in)
}

func (s *Service) revoke(ctx context.Context, action string, egress bool, in *revokeInput) (*revokeOutput, error) {
	n := s.network()
	g, err := s.resolve(n, s.DB.Current(), in.GroupRef)
	if err != nil {
		return nil, err
	}
	if err := s.allowOnGroup(ctx, action, g); err != nil {
		return nil, err
	}
	if (len(in.all()) == 0) == (len(in.RuleIDs) == 0) {
		return nil, wire.Errorf("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &revokeOutput{Return: true, Unknown: []IPPermission{}}
	err = s.DB.Update(func(tx *store.Tx) error {
		rules, err := s.ruleParser(n, tx, g, egress).named(tx, in)
		if err != nil {
			return err
		}
		out.Revoked = s.ruleSet(tx, rules)
		for _, r := range rules {
			deleteRule(tx, r.RuleID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// named finds the rules that a request to revoke names, all of them or none.
func (p ruleParser) named(tx *store.Tx, in *revokeInput) ([]state.SecurityGroupRule, error) {
	var found []state.SecurityGroupRule
	for _, id := range in.RuleIDs {
		r, ok := state.SecurityGroupRules.Get(tx, id)
		if !ok || r.GroupID != p.groupID || r.Egress != p.egress {
			return nil, rulesNotFound([]string{id})
		}
		found = append(found, r)
	}
	wanted, err := p.rules(in.all())
	if err != nil {
		return nil, err
	}
	have := map[state.SecurityGroupRule]state.SecurityGroupRule{}
	for r := range state.RulesByGroup.All(tx, p.groupID) {
		have[identity(r)] = r
	}
	for _, w := range wanted {
		r, ok := have[identity(w)]
		if !ok {
			return nil, wire.Errorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		found = append(found, r)
	}
	return found, nil
}

func rulesNotFound(ids []string) error {
	if len(ids) == 1 {
		return wire.Errorf("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", ids[0])
	}
	return wire.Errorf("InvalidSecurityGroupRuleId.NotFound", "The security group rule IDs '%s' do not exist", strings.Join(ids, ", "))
}

// SecurityGroupRule is a rule in responses.
type SecurityGroupRule struct {
	ID           string           `ec2:"SecurityGroupRuleId"`
	ARN          string           `ec2:"SecurityGroupRuleArn"`
	GroupID      string           `ec2:"GroupId"`
	GroupOwnerID string           `ec2:"GroupOwnerId"`
	IsEgress     bool             `ec2:"IsEgress"`
	Protocol     string           `ec2:"IpProtocol"`
	FromPort     int32            `ec2:"FromPort"`
	ToPort       int32            `ec2:"ToPort"`
	CIDRIPv4     netip.Prefix     `ec2:"CidrIpv4,omitempty"`
	CIDRIPv6     netip.Prefix     `ec2:"CidrIpv6,omitempty"`
	PrefixListID string           `ec2:"PrefixListId,omitempty"`
	Referenced   *referencedGroup `ec2:"ReferencedGroupInfo"`
	Description  string           `ec2:"Description,omitempty"`
	Tags         []Tag            `ec2:"TagSet"`
}

type referencedGroup struct {
	GroupID string `ec2:"GroupId"`
	UserID  string `ec2:"UserId"`
}

func (s *Service) ruleSet(r store.Reader, rules []state.SecurityGroupRule) []SecurityGroupRule {
	return convert(rules, func(v state.SecurityGroupRule) SecurityGroupRule {
		out := SecurityGroupRule{
			ID: v.RuleID, ARN: s.arn("security-group-rule", v.RuleID), GroupID: v.GroupID, GroupOwnerID: s.AccountID,
			IsEgress: v.Egress, Protocol: v.IPProtocol, FromPort: v.FromPort, ToPort: v.ToPort, CIDRIPv4: v.CIDRIPv4,
			CIDRIPv6: v.CIDRIPv6, PrefixListID: v.PrefixListID, Description: v.Description, Tags: tagSet(state.Tags(r, v.RuleID)),
		}
		if v.ReferencedGroupID != "" {
			out.Referenced = &referencedGroup{v.ReferencedGroupID, s.AccountID}
		}
		return out
	})
}

type describeSecurityGroupRulesInput struct {
	Query
	IDs []string `ec2:"SecurityGroupRuleId"`
}

type describeSecurityGroupRulesOutput struct {
	Rules     []SecurityGroupRule `ec2:"SecurityGroupRuleSet"`
	NextToken *string             `ec2:"NextToken"`
}

func (s *Service) describeSecurityGroupRules(ctx context.Context, in *describeSecurityGroupRulesInput) (*describeSecurityGroupRulesOutput, error) {
	if err := s.allowRead(ctx, "DescribeSecurityGroupRules", in.DryRun); err != nil {
		return nil, err
	}
	r := s.DB.Current()
	all := state.SecurityGroupRules.All(r)
	if groups, ok := literals(in.Filters, "group-id"); ok {
		all = func(yield func(state.SecurityGroupRule) bool) {
			for _, id := range groups {
				for rule := range state.RulesByGroup.All(r, id) {
					if !yield(rule) {
						return
					}
				}
			}
		}
	}
	k := kind[state.SecurityGroupRule]{
		id: func(v state.SecurityGroupRule) string { return v.RuleID }, idFilter: "security-group-rule-id", absent: rulesNotFound,
		tags: func(v state.SecurityGroupRule) map[string]string { return state.Tags(r, v.RuleID) },
		attributes: attributes[state.SecurityGroupRule]{
			"group-id":               func(v state.SecurityGroupRule) []string { return []string{v.GroupID} },
			"security-group-rule-id": func(v state.SecurityGroupRule) []string { return []string{v.RuleID} },
		},
	}
	get := func(id string) (state.SecurityGroupRule, bool) { return state.SecurityGroupRules.Get(r, id) }
	found, next, err := k.find(source[state.SecurityGroupRule]{get, all}, in.IDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeSecurityGroupRulesOutput{s.ruleSet(r, found), token(next)}, nil
}
