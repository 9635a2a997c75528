package ec2

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
)

func createGroup(t *testing.T, b bench, name string, tags ...types.Tag) string {
	t.Helper()
	in := &sdk.CreateSecurityGroupInput{GroupName: &name, Description: aws.String("of a test"), VpcId: aws.String(vpcID)}
	if len(tags) > 0 {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: tags}}
	}
	return *apitest.Must(b.CreateSecurityGroup(t.Context(), in))(t).GroupId
}

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

func tcp(from, to int32, cidrs ...string) types.IpPermission {
	p := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: &from, ToPort: &to}
	for _, c := range cidrs {
		p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: aws.String(c)})
	}
	return p
}

func ingress(t *testing.T, b bench, id string, permissions ...types.IpPermission) error {
	t.Helper()
	_, err := b.AuthorizeSecurityGroupIngress(t.Context(), &sdk.AuthorizeSecurityGroupIngressInput{GroupId: &id, IpPermissions: permissions})
	return err
}

func describeGroup(t *testing.T, b bench, id string) types.SecurityGroup {
	t.Helper()
	return apitest.Must(b.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupIds: []string{id}}))(t).SecurityGroups[0]
}

// permissionTexts are permissions as one line each.
func permissionTexts(list []types.IpPermission) []string {
	var out []string
	for _, p := range list {
		text := *p.IpProtocol
		if p.FromPort != nil {
			text += fmt.Sprintf(" %d-%d", *p.FromPort, *p.ToPort)
		}
		for _, r := range p.IpRanges {
			text += " " + *r.CidrIp + note(r.Description)
		}
		for _, r := range p.Ipv6Ranges {
			text += " " + *r.CidrIpv6 + note(r.Description)
		}
		for _, g := range p.UserIdGroupPairs {
			text += " " + *g.GroupId + note(g.Description)
		}
		for _, l := range p.PrefixListIds {
			text += " " + *l.PrefixListId + note(l.Description)
		}
		out = append(out, text)
	}
	return out
}

func note(description *string) string {
	if description == nil {
		return ""
	}
	return " (" + *description + ")"
}

func TestAGroupsLife(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front", tag("owner", "me"))
	created := describeGroup(t, b, id)
	if *created.GroupName != "front" || *created.VpcId != vpcID || *created.Description != "of a test" || *created.Tags[0].Value != "me" {
		t.Errorf("created %+v", created)
	}
	if diff := cmp.Diff([]string{"-1 0.0.0.0/0 ::/0"}, permissionTexts(created.IpPermissionsEgress)); diff != "" || len(created.IpPermissions) != 0 {
		t.Errorf("rules of a new group (-want +got):\n%s%v", diff, created.IpPermissions)
	}
	_, err := b.CreateSecurityGroup(t.Context(), &sdk.CreateSecurityGroupInput{GroupName: aws.String("front"), Description: aws.String("x"), VpcId: aws.String(vpcID)})
	wantCode(t, err, "InvalidGroup.Duplicate")

	list := apitest.Must(b.CreateManagedPrefixList(t.Context(), &sdk.CreateManagedPrefixListInput{
		PrefixListName: aws.String("offices"), AddressFamily: aws.String("IPv4"), MaxEntries: aws.Int32(5),
	}))(t).PrefixList.PrefixListId
	described := types.IpPermission{
		IpProtocol: aws.String("TCP"), FromPort: aws.Int32(80), ToPort: aws.Int32(80),
		IpRanges:         []types.IpRange{{CidrIp: aws.String("10.1.2.3/8"), Description: aws.String("inside")}},
		Ipv6Ranges:       []types.Ipv6Range{{CidrIpv6: aws.String("2001:db8::/32")}},
		UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(nodeSG), Description: aws.String("nodes")}},
		PrefixListIds:    []types.PrefixListId{{PrefixListId: list}},
	}
	ping := types.IpPermission{IpProtocol: aws.String("icmp"), FromPort: aws.Int32(3), ToPort: aws.Int32(4), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}
	everything := types.IpPermission{IpProtocol: aws.String("all"), FromPort: aws.Int32(5), IpRanges: []types.IpRange{{CidrIp: aws.String("192.0.2.1/32")}}}
	if err := ingress(t, b, id, described, ping, everything, tcp(443, 445, "0.0.0.0/0")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-1 192.0.2.1/32", "icmp 3-4 0.0.0.0/0",
		"tcp 80-80 10.0.0.0/8 (inside) 2001:db8::/32 " + nodeSG + " (nodes) " + *list, "tcp 443-445 0.0.0.0/0",
	}
	if diff := cmp.Diff(want, permissionTexts(describeGroup(t, b, id).IpPermissions)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	err = ingress(t, b, id, tcp(22, 22, "0.0.0.0/0"), tcp(443, 445, "0.0.0.0/0"))
	wantCode(t, err, "InvalidPermission.Duplicate")
	if !strings.Contains(err.Error(), `the specified rule "peer: 0.0.0.0/0, TCP, from port: 443, to port: 445, ALLOW" already exists`) {
		t.Errorf("the error does not name the rule: %v", err)
	}

	_, err = b.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: &id, IpPermissions: []types.IpPermission{tcp(22, 22, "0.0.0.0/0")}})
	wantCode(t, err, "InvalidPermission.NotFound")
	revoked := apitest.Must(b.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{
		GroupId: &id, IpPermissions: []types.IpPermission{described, ping},
	}))(t)
	if len(revoked.RevokedSecurityGroupRules) != 5 {
		t.Errorf("revoked %d rules, want 5", len(revoked.RevokedSecurityGroupRules))
	}
	rules := apitest.Must(b.DescribeSecurityGroupRules(t.Context(), &sdk.DescribeSecurityGroupRulesInput{
		Filters: []types.Filter{filter("group-id", id)},
	}))(t).SecurityGroupRules
	var ids, egress []string
	for _, r := range rules {
		if *r.IsEgress {
			egress = append(egress, *r.SecurityGroupRuleId)
		} else {
			ids = append(ids, *r.SecurityGroupRuleId)
		}
	}
	if len(ids) != 2 || len(egress) != 2 {
		t.Fatalf("left %d rules in and %d out, want 2 and 2", len(ids), len(egress))
	}
	_, err = b.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: &id, SecurityGroupRuleIds: egress})
	wantCode(t, err, "InvalidSecurityGroupRuleId.NotFound")
	apitest.Must(b.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: &id, SecurityGroupRuleIds: ids}))(t)
	apitest.Must(b.RevokeSecurityGroupEgress(t.Context(), &sdk.RevokeSecurityGroupEgressInput{GroupId: &id, SecurityGroupRuleIds: egress}))(t)
	if g := describeGroup(t, b, id); len(g.IpPermissions)+len(g.IpPermissionsEgress) != 0 {
		t.Errorf("rules are left: %v %v", g.IpPermissions, g.IpPermissionsEgress)
	}
	apitest.Must(b.DeleteSecurityGroup(t.Context(), &sdk.DeleteSecurityGroupInput{GroupId: &id}))(t)
	_, err = b.DeleteSecurityGroup(t.Context(), &sdk.DeleteSecurityGroupInput{GroupId: &id})
	wantCode(t, err, "InvalidGroup.NotFound")
	if n := state.SecurityGroupRules.Len(b.db.Current()) + state.TagSets.Len(b.db.Current()); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

func TestAGroupInUseIsNotDeleted(t *testing.T) {
	b := newBench(t)
	front, back := createGroup(t, b, "front"), createGroup(t, b, "back")
	byGroup := types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &front}}}
	if err := ingress(t, b, back, byGroup); err != nil {
		t.Fatal(err)
	}
	if err := ingress(t, b, front, byGroup); err != nil { // a rule about itself keeps nothing
		t.Fatal(err)
	}
	remove := func(id string) error {
		_, err := b.DeleteSecurityGroup(t.Context(), &sdk.DeleteSecurityGroupInput{GroupId: &id})
		return err
	}
	wantCode(t, remove(front), "DependencyViolation")
	putBalancer(t, b.db, back)
	wantCode(t, remove(back), "DependencyViolation")
	wantCode(t, remove(nodeSG), "CannotDelete")
	putBalancer(t, b.db)
	for _, id := range []string{back, front} {
		if err := remove(id); err != nil {
			t.Error(err)
		}
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front")
	other := *apitest.Must(b.CreateSecurityGroup(t.Context(), &sdk.CreateSecurityGroupInput{
		GroupName: aws.String("front"), Description: aws.String("x"), VpcId: aws.String(otherVPC),
	}))(t).GroupId
	long := tcp(1, 1, "0.0.0.0/0")
	long.IpRanges[0].Description = aws.String(strings.Repeat("x", 256))
	for name, tc := range map[string]struct {
		permission types.IpPermission
		code       string
	}{
		"no ports":               {types.IpPermission{IpProtocol: aws.String("tcp"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}, "InvalidParameterValue"},
		"a port beyond all":      {tcp(1, 65536, "0.0.0.0/0"), "InvalidParameterValue"},
		"ports the wrong way":    {tcp(90, 80, "0.0.0.0/0"), "InvalidParameterValue"},
		"an unknown protocol":    {types.IpPermission{IpProtocol: aws.String("sctp?"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}, "InvalidParameterValue"},
		"no protocol":            {types.IpPermission{IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}, "MissingParameter"},
		"an ICMP type too high":  {types.IpPermission{IpProtocol: aws.String("icmp"), FromPort: aws.Int32(256), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}, "InvalidParameterValue"},
		"a block that is none":   {tcp(1, 1, "10.0.0.0"), "InvalidParameterValue"},
		"IPv6 among IPv4":        {tcp(1, 1, "2001:db8::/32"), "InvalidParameterValue"},
		"nobody":                 {tcp(1, 1), "InvalidPermission.Malformed"},
		"one twice":              {tcp(1, 1, "10.0.0.0/8", "10.1.0.0/8"), "InvalidParameterValue"},
		"a long description":     {long, "InvalidParameterValue"},
		"an absent group":        {types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String("sg-0")}}}, "InvalidGroup.NotFound"},
		"a group of another VPC": {types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &other}}}, "InvalidGroup.NotFound"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, ingress(t, b, id, tc.permission), tc.code) })
	}
	wantCode(t, ingress(t, b, id), "MissingParameter")
	wantCode(t, ingress(t, b, "sg-0", tcp(1, 1, "0.0.0.0/0")), "InvalidGroup.NotFound")
	wantCode(t, ingress(t, b, "front", tcp(1, 1, "0.0.0.0/0")), "InvalidGroupId.Malformed")
	if g := describeGroup(t, b, id); len(g.IpPermissions) != 0 {
		t.Errorf("a refused rule was kept: %v", g.IpPermissions)
	}
}

func TestTheQuotaOfRulesCountsFamiliesApart(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front")
	var v4 []string
	for i := range maxRules {
		v4 = append(v4, fmt.Sprintf("10.0.%d.0/24", i))
	}
	if err := ingress(t, b, id, tcp(80, 80, v4...)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, ingress(t, b, id, tcp(81, 81, "0.0.0.0/0")), "RulesPerSecurityGroupLimitExceeded")
	byGroup := types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(nodeSG)}}}
	wantCode(t, ingress(t, b, id, byGroup), "RulesPerSecurityGroupLimitExceeded")
	v6 := types.IpPermission{IpProtocol: aws.String("-1"), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("::/0")}}}
	if err := ingress(t, b, id, v6); err != nil {
		t.Errorf("an IPv6 rule beside %d IPv4 rules: %v", maxRules, err)
	}
}

func TestFindingGroups(t *testing.T) {
	b := newBench(t)
	front, back := createGroup(t, b, "front", tag("side", "front")), createGroup(t, b, "back")
	if err := ingress(t, b, back, types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &front}}}); err != nil {
		t.Fatal(err)
	}
	if err := ingress(t, b, front, tcp(443, 443, "10.0.0.0/8")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		filters []types.Filter
		want    []string
	}{
		"all":                     {nil, []string{nodeSG, front, back}},
		"by name and VPC":         {[]types.Filter{filter("group-name", "back", "nodes"), filter("vpc-id", vpcID)}, []string{nodeSG, back}},
		"by name and another VPC": {[]types.Filter{filter("group-name", "back"), filter("vpc-id", otherVPC)}, nil},
		"by pattern":              {[]types.Filter{filter("group-name", "?a*")}, []string{back}},
		"by tag of the file":      {[]types.Filter{filter("tag:kubernetes.io/cluster/fairlead", "owned", "shared")}, []string{nodeSG}},
		"by tag of the API":       {[]types.Filter{filter("tag:side", "front")}, []string{front}},
		"by the group of a rule":  {[]types.Filter{filter("ip-permission.group-id", front)}, []string{back}},
		"by its name":             {[]types.Filter{filter("ip-permission.group-name", "front")}, []string{back}},
		"by port and block":       {[]types.Filter{filter("ip-permission.from-port", "443"), filter("ip-permission.cidr", "10.0.0.0/8")}, []string{front}},
		"by egress":               {[]types.Filter{filter("egress.ip-permission.cidr", "10.0.0.0/8")}, nil},
		"by ID":                   {[]types.Filter{filter("group-id", back, "sg-0")}, []string{back}},
	} {
		t.Run(name, func(t *testing.T) {
			out := apitest.Must(b.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{Filters: tc.filters}))(t)
			var got []string
			for _, g := range out.SecurityGroups {
				got = append(got, *g.GroupId)
			}
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	named := apitest.Must(b.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupNames: []string{"back"}}))(t)
	if len(named.SecurityGroups) != 1 || *named.SecurityGroups[0].GroupId != back {
		t.Errorf("by name in the default VPC: %v", named.SecurityGroups)
	}
	_, err := b.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupNames: []string{"none"}})
	wantCode(t, err, "InvalidGroup.NotFound")
	_, err = b.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupIds: []string{front, "sg-0"}})
	wantCode(t, err, "InvalidGroup.NotFound")
}

func TestPagesAreTheWholeListInOrder(t *testing.T) {
	b := newBench(t)
	want := []string{nodeSG}
	for i := range 12 {
		want = append(want, createGroup(t, b, fmt.Sprint("group ", i)))
	}
	slices.Sort(want)
	var got []string
	pages := sdk.NewDescribeSecurityGroupsPaginator(b, &sdk.DescribeSecurityGroupsInput{MaxResults: aws.Int32(5)})
	for pages.HasMorePages() {
		page := apitest.Must(pages.NextPage(t.Context()))(t)
		if len(page.SecurityGroups) > 5 {
			t.Errorf("a page of %d groups", len(page.SecurityGroups))
		}
		for _, g := range page.SecurityGroups {
			got = append(got, *g.GroupId)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, in := range map[string]*sdk.DescribeSecurityGroupsInput{
		"too small a page": {MaxResults: aws.Int32(4)}, "too large a page": {MaxResults: aws.Int32(1001)}, "a token that is none": {NextToken: aws.String("?")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.DescribeSecurityGroups(t.Context(), in)
			wantCode(t, err, "InvalidParameterValue")
		})
	}
}

func TestNewGroupsThatAreRefused(t *testing.T) {
	b := newBench(t)
	for name, tc := range map[string]struct {
		name, description, vpc string
		code                   string
	}{
		"a name like an ID":           {"sg-mine", "d", vpcID, "InvalidParameterValue"},
		"a name too long":             {strings.Repeat("x", 256), "d", vpcID, "InvalidParameterValue"},
		"a name with odd text":        {"näh", "d", vpcID, "InvalidParameterValue"},
		"the reserved name":           {"default", "d", vpcID, "InvalidGroup.Reserved"},
		"a description with odd text": {"n", "a\nb", vpcID, "InvalidParameterValue"},
		"an absent VPC":               {"n", "d", "vpc-0", "InvalidVpcID.NotFound"},
		"a name of the file":          {"nodes", "d", vpcID, "InvalidGroup.Duplicate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.CreateSecurityGroup(t.Context(), &sdk.CreateSecurityGroupInput{GroupName: &tc.name, Description: &tc.description, VpcId: &tc.vpc})
			wantCode(t, err, tc.code)
		})
	}
	_, err := b.CreateSecurityGroup(t.Context(), &sdk.CreateSecurityGroupInput{
		GroupName: aws.String("n"), Description: aws.String("d"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{tag("a", "b")}}},
	})
	wantCode(t, err, "InvalidParameterValue")
	_, err = b.CreateSecurityGroup(t.Context(), &sdk.CreateSecurityGroupInput{GroupName: aws.String("n"), Description: aws.String("d"), DryRun: aws.Bool(true)})
	wantCode(t, err, "DryRunOperation")
}

func TestTags(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front", tag("a", "1"))
	create := func(tags []types.Tag, resources ...string) error {
		_, err := b.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: resources, Tags: tags})
		return err
	}
	remove := func(tags []types.Tag, resources ...string) error {
		_, err := b.DeleteTags(t.Context(), &sdk.DeleteTagsInput{Resources: resources, Tags: tags})
		return err
	}
	if err := create([]types.Tag{tag("a", "2"), tag("b", "")}, id, subnetB, node1); err != nil {
		t.Fatal(err)
	}
	out := apitest.Must(b.DescribeTags(t.Context(), &sdk.DescribeTagsInput{Filters: []types.Filter{filter("key", "a", "Name")}}))(t)
	var got []string
	for _, d := range out.Tags {
		got = append(got, strings.Join([]string{*d.ResourceId, string(d.ResourceType), *d.Key, *d.Value}, " "))
	}
	want := []string{
		id + " security-group a 2", subnetB + " subnet a 2", node1 + " instance a 2",
		node1 + " instance Name node-1", vpcID + " vpc Name lab",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if err := remove([]types.Tag{tag("a", "1"), {Key: aws.String("b")}}, id); err != nil { // a has another value
		t.Fatal(err)
	}
	if tags := describeGroup(t, b, id).Tags; len(tags) != 1 || *tags[0].Key != "a" {
		t.Errorf("tags after deleting: %v", tags)
	}
	if err := remove(nil, id, subnetB); err != nil {
		t.Fatal(err)
	}
	if tags := describeGroup(t, b, id).Tags; len(tags) != 0 {
		t.Errorf("tags after deleting all: %v", tags)
	}
	wantCode(t, remove([]types.Tag{{Key: aws.String("Name")}}, vpcID), "OperationNotPermitted")
	for name, tc := range map[string]struct {
		tags     []types.Tag
		resource string
		code     string
	}{
		"an absent group":        {[]types.Tag{tag("a", "b")}, "sg-0", "InvalidGroup.NotFound"},
		"an absent instance":     {[]types.Tag{tag("a", "b")}, "i-0", "InvalidInstanceID.NotFound"},
		"an absent rule":         {[]types.Tag{tag("a", "b")}, "sgr-0", "InvalidSecurityGroupRuleId.NotFound"},
		"an ID of nothing":       {[]types.Tag{tag("a", "b")}, "bucket", "InvalidID"},
		"a reserved key":         {[]types.Tag{tag("aws:x", "b")}, id, "InvalidParameterValue"},
		"a long key":             {[]types.Tag{tag(strings.Repeat("k", 129), "b")}, id, "InvalidParameterValue"},
		"a long value":           {[]types.Tag{tag("k", strings.Repeat("v", 257))}, id, "InvalidParameterValue"},
		"a key twice":            {[]types.Tag{tag("k", "1"), tag("k", "2")}, id, "InvalidParameterValue"},
		"more than there may be": {manyTags(51), id, "TagLimitExceeded"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, create(tc.tags, tc.resource), tc.code) })
	}
	if err := create(manyTags(50), id); err != nil {
		t.Errorf("50 tags: %v", err)
	}
	wantCode(t, create([]types.Tag{tag("one more", "")}, id), "TagLimitExceeded")
}

func manyTags(n int) []types.Tag {
	var tags []types.Tag
	for i := range n {
		tags = append(tags, tag(fmt.Sprint("k", i), "v"))
	}
	return tags
}

func TestWhatIAMIsAsked(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front", tag("k", "v"))
	group := "arn:aws:ec2:us-west-2:000000000000:security-group/"
	vpc := map[string][]string{"ec2:Vpc": {"arn:aws:ec2:us-west-2:000000000000:vpc/" + vpcID}}
	request := map[string][]string{"aws:RequestTag/k": {"v"}, "aws:TagKeys": {"k"}}
	own := map[string][]string{"aws:ResourceTag/k": {"v"}, "ec2:ResourceTag/k": {"v"}}
	with := func(sets ...map[string][]string) map[string][]string {
		all := map[string][]string{}
		for _, m := range sets {
			maps.Copy(all, m)
		}
		return all
	}
	want := []apitest.Question{
		{Action: "ec2:CreateSecurityGroup", Resource: group + "*", Keys: with(request, vpc)},
		{Action: "ec2:CreateSecurityGroup", Resource: "arn:aws:ec2:us-west-2:000000000000:vpc/" + vpcID, Keys: map[string][]string{"aws:ResourceTag/Name": {"lab"}, "ec2:ResourceTag/Name": {"lab"}}},
		{Action: "ec2:CreateTags", Resource: group + "*", Keys: with(request, map[string][]string{"ec2:CreateAction": {"CreateSecurityGroup"}})},
		{Action: "ec2:AuthorizeSecurityGroupIngress", Resource: group + id, Keys: with(own, vpc)},
		{Action: "ec2:CreateTags", Resource: group + id, Keys: with(own, map[string][]string{"aws:RequestTag/x": {"y"}, "aws:TagKeys": {"x"}})},
		{Action: "ec2:DeleteSecurityGroup", Resource: group + id, Keys: with(own, vpc, map[string][]string{"aws:ResourceTag/x": {"y"}, "ec2:ResourceTag/x": {"y"}})},
		{Action: "ec2:DescribeVpcs", Resource: "*", Keys: map[string][]string{}},
	}
	if err := ingress(t, b, id, tcp(1, 1, "0.0.0.0/0")); err != nil {
		t.Fatal(err)
	}
	apitest.Must(b.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{tag("x", "y")}}))(t)
	apitest.Must(b.DeleteSecurityGroup(t.Context(), &sdk.DeleteSecurityGroupInput{GroupId: &id}))(t)
	apitest.Must(b.DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{}))(t)
	if diff := cmp.Diff(want, b.auth.Take()); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
}

// Whatever action is denied changes nothing and answers UnauthorizedOperation.
func TestDeniedActionsChangeNothing(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front")
	if err := ingress(t, b, id, tcp(1, 1, "0.0.0.0/0")); err != nil {
		t.Fatal(err)
	}
	before := b.db.Current().Number()
	b.auth.Deny("ec2:*")
	rule := []types.IpPermission{tcp(1, 1, "0.0.0.0/0")}
	more := []types.IpPermission{tcp(2, 2, "0.0.0.0/0")}
	for name, call := range map[string]func(context.Context) error{
		"CreateSecurityGroup": func(ctx context.Context) error {
			_, err := b.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{GroupName: aws.String("n"), Description: aws.String("d")})
			return err
		},
		"DeleteSecurityGroup": func(ctx context.Context) error {
			_, err := b.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupId: &id})
			return err
		},
		"AuthorizeSecurityGroupIngress": func(ctx context.Context) error {
			_, err := b.AuthorizeSecurityGroupIngress(ctx, &sdk.AuthorizeSecurityGroupIngressInput{GroupId: &id, IpPermissions: more})
			return err
		},
		"AuthorizeSecurityGroupEgress": func(ctx context.Context) error {
			_, err := b.AuthorizeSecurityGroupEgress(ctx, &sdk.AuthorizeSecurityGroupEgressInput{GroupId: &id, IpPermissions: more})
			return err
		},
		"RevokeSecurityGroupIngress": func(ctx context.Context) error {
			_, err := b.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: &id, IpPermissions: rule})
			return err
		},
		"CreateTags": func(ctx context.Context) error {
			_, err := b.CreateTags(ctx, &sdk.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{tag("a", "b")}})
			return err
		},
		"DeleteTags": func(ctx context.Context) error {
			_, err := b.DeleteTags(ctx, &sdk.DeleteTagsInput{Resources: []string{id}})
			return err
		},
		"DescribeInstances": func(ctx context.Context) error {
			_, err := b.DescribeInstances(ctx, &sdk.DescribeInstancesInput{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, call(t.Context()), "UnauthorizedOperation") })
	}
	if after := b.db.Current().Number(); after != before {
		t.Errorf("revision went from %d to %d", before, after)
	}
}

// A rule is described so that revoking what is described finds it.
func TestADescribedRuleIsTheRule(t *testing.T) {
	s, parser := &Service{}, ruleParser{groupID: "sg-1"}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int32Range(0, 255).Draw(t, "from")
		to := rapid.Int32Range(from, 255).Draw(t, "to")
		block := fmt.Sprintf("10.%d.0.0/%d", rapid.IntRange(0, 255).Draw(t, "octet"), rapid.IntRange(8, 32).Draw(t, "bits"))
		rules, err := parser.rules([]IPPermission{{
			Protocol: rapid.SampledFrom([]string{"tcp", "17", "icmp", "-1", "47"}).Draw(t, "protocol"),
			FromPort: &from, ToPort: &to, IPv4: []ipv4Range{{CIDR: block}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parser.rules(s.merge(nil, rules[0]))
		if err != nil {
			t.Fatalf("what is described is refused: %v", err)
		}
		if again[0] != rules[0] {
			t.Errorf("authorised %+v\ndescribed  %+v", rules[0], again[0])
		}
	})
}

func TestWildcardsOfFilters(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"*", "", true}, {"*", "any thing", true},
		{"a*c", "abbc", true}, {"a*c", "abcd", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"*b*b", "abab", true},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {`a\?c`, "a?c", true}, {`*\*`, "abc*", true}, {`a\\`, `a\`, true}, {`a\`, `a\`, true},
		{"kubernetes.io/cluster/*", "kubernetes.io/cluster/x", true},
	} {
		if got := wildcard(tc.pattern, tc.text); got != tc.want {
			t.Errorf("%q with %q is %t, want %t", tc.pattern, tc.text, got, tc.want)
		}
	}
}
