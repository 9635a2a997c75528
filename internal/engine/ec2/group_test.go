package ec2

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

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

func describeGroup(t *testing.T, b bench, id string) types.SecurityGroup {
	t.Helper()
	return apitest.Must(b.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupIds: []string{id}}))(t).SecurityGroups[0]
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
	if err := ingress(t, b, id, tcp(80, 80, "0.0.0.0/0")); err != nil {
		t.Fatal(err)
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
