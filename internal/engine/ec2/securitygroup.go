package ec2

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// group is a security group, of the inventory or made through the API.
type group struct {
	state.SecurityGroup
	fromFile bool
	fileTags map[string]string
}

func groupFromFile(g inventory.SecurityGroup) group {
	return group{state.SecurityGroup{GroupID: g.GroupID, GroupName: g.GroupName, Description: g.Description, VPCID: g.VPCID}, true, g.Tags}
}

// group finds a security group by its ID.
func (n *network) group(r store.Reader, id string) (group, bool) {
	if g, ok := n.SecurityGroup(id); ok {
		return groupFromFile(g), true
	}
	g, ok := state.SecurityGroups.Get(r, id)
	return group{SecurityGroup: g}, ok
}

// groups yields all security groups.
func (n *network) groups(r store.Reader) iter.Seq[group] {
	return func(yield func(group) bool) {
		for _, g := range n.SecurityGroups {
			if !yield(groupFromFile(g)) {
				return
			}
		}
		for g := range state.SecurityGroups.All(r) {
			if !yield(group{SecurityGroup: g}) {
				return
			}
		}
	}
}

// groupNamed finds a security group of a VPC by its name.
func (n *network) groupNamed(r store.Reader, vpcID, name string) (group, bool) {
	for _, g := range n.SecurityGroups {
		if g.VPCID == vpcID && g.GroupName == name {
			return groupFromFile(g), true
		}
	}
	g, ok := state.SecurityGroupsByName.First(r, vpcID+"/"+name)
	return group{SecurityGroup: g}, ok
}

// groupNames turns IDs of security groups into names.
type groupNames struct {
	r store.Reader
	n *network
}

func (g groupNames) named(ids []string) []groupName {
	return convert(ids, func(id string) groupName {
		found, _ := g.n.group(g.r, id)
		return groupName{id, found.GroupName}
	})
}

func (g groupNames) all(ids []string) []string {
	return convert(ids, func(id string) string {
		found, _ := g.n.group(g.r, id)
		return found.GroupName
	})
}

type describeSecurityGroupsInput struct {
	Query
	GroupIDs   []string `ec2:"GroupId"`
	GroupNames []string `ec2:"GroupName"`
}

type describeSecurityGroupsOutput struct {
	Groups    []SecurityGroup `ec2:"SecurityGroupInfo"`
	NextToken *string         `ec2:"NextToken"`
}

// SecurityGroup is a security group in responses.
type SecurityGroup struct {
	GroupID     string         `ec2:"GroupId"`
	GroupARN    string         `ec2:"SecurityGroupArn"`
	GroupName   string         `ec2:"GroupName"`
	Description string         `ec2:"GroupDescription"`
	OwnerID     string         `ec2:"OwnerId"`
	VpcID       string         `ec2:"VpcId"`
	Ingress     []IPPermission `ec2:"IpPermissions"`
	Egress      []IPPermission `ec2:"IpPermissionsEgress"`
	Tags        []Tag          `ec2:"TagSet"`
}

func groupsNotFound(ids []string) error {
	if len(ids) == 1 {
		return wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", ids[0])
	}
	return wire.Errorf("InvalidGroup.NotFound", "The security groups '%s' do not exist", strings.Join(ids, ", "))
}

func (s *Service) describeSecurityGroups(ctx context.Context, in *describeSecurityGroupsInput) (*describeSecurityGroupsOutput, error) {
	if err := s.allowRead(ctx, "DescribeSecurityGroups", in.DryRun); err != nil {
		return nil, err
	}
	if err := checkIDs("sg-", in.GroupIDs, "InvalidGroupId.Malformed"); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	ids, err := n.idsOfNames(r, in.GroupNames)
	if err != nil {
		return nil, err
	}
	from := source[group]{func(id string) (group, bool) { return n.group(r, id) }, n.groupsFor(r, in.Filters)}
	k := s.groupKind(r, n)
	found, next, err := k.find(from, slices.Concat(in.GroupIDs, ids), in.Query)
	if err != nil {
		return nil, err
	}
	return &describeSecurityGroupsOutput{convert(found, func(g group) SecurityGroup {
		ingress, egress := s.permissions(r, g.GroupID)
		return SecurityGroup{
			GroupID: g.GroupID, GroupARN: s.arn("security-group", g.GroupID), GroupName: g.GroupName, Description: g.Description,
			OwnerID: s.AccountID, VpcID: g.VPCID, Ingress: ingress, Egress: egress, Tags: tagSet(k.tags(g)),
		}
	}), token(next)}, nil
}

// groupsFor yields the groups that may pass the filters, by an index when they
// name a VPC and a name.
func (n *network) groupsFor(r store.Reader, filters []Filter) iter.Seq[group] {
	names, byName := literals(filters, "group-name")
	vpcs, byVPC := literals(filters, "vpc-id")
	if !byName || !byVPC {
		return n.groups(r)
	}
	return func(yield func(group) bool) {
		for _, vpc := range vpcs {
			for _, name := range names {
				if g, ok := n.groupNamed(r, vpc, name); ok && !yield(g) {
					return
				}
			}
		}
	}
}

// idsOfNames resolves group names, which mean groups of the default VPC.
func (n *network) idsOfNames(r store.Reader, names []string) ([]string, error) {
	var ids []string
	vpc, _ := n.defaultVPC()
	for _, name := range names {
		g, ok := n.groupNamed(r, vpc.VPCID, name)
		if !ok {
			return nil, wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, vpc.VPCID)
		}
		ids = append(ids, g.GroupID)
	}
	return ids, nil
}

// checkIDs refuses IDs that are not of a form.
func checkIDs(prefix string, ids []string, code string) error {
	for _, id := range ids {
		if !strings.HasPrefix(id, prefix) {
			return wire.Errorf(code, `Invalid id: "%s" (expecting "%s...")`, id, prefix)
		}
	}
	return nil
}

func (s *Service) groupTags(r store.Reader) func(group) map[string]string {
	return func(g group) map[string]string { return tagsOf(r, g.GroupID, g.fileTags) }
}

func (s *Service) groupKind(r store.Reader, n *network) kind[group] {
	one := func(f func(group) string) func(group) []string {
		return func(g group) []string { return []string{f(g)} }
	}
	k := kind[group]{
		id: func(g group) string { return g.GroupID }, idFilter: "group-id", absent: groupsNotFound, tags: s.groupTags(r),
		attributes: attributes[group]{
			"group-id":    one(func(g group) string { return g.GroupID }),
			"group-name":  one(func(g group) string { return g.GroupName }),
			"description": one(func(g group) string { return g.Description }),
			"vpc-id":      one(func(g group) string { return g.VPCID }),
			"owner-id":    one(func(group) string { return s.AccountID }),
		},
	}
	names := groupNames{r, n}
	for prefix, egress := range map[string]bool{"ip-permission.": false, "egress.ip-permission.": true} {
		for name, value := range ruleAttributes(s.AccountID, names) {
			k.attributes[prefix+name] = func(g group) []string {
				var all []string
				for rule := range state.RulesByGroup.All(r, g.GroupID) {
					if rule.Egress == egress {
						all = append(all, nonEmpty(value(rule))...)
					}
				}
				return all
			}
		}
	}
	return k
}
