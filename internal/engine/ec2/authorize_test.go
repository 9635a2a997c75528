package ec2

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

func TestWhatIAMIsAsked(t *testing.T) {
	b := newBench(t)
	id := createGroup(t, b, "front", tag("k", "v"))
	group := "arn:aws:ec2:us-west-2:000000000000:security-group/"
	vpc := map[string][]string{"ec2:Vpc": {"arn:aws:ec2:us-west-2:000000000000:vpc/" + vpcID}}
	request := map[string][]string{"aws:RequestTag/k": {"v"}, "aws:TagKeys": {"k"}}
	own := map[string][]string{"aws:ResourceTag/k": {"v"}, "ec2:ResourceTag/k": {"v"}}
	want := []apitest.Question{
		{Action: "ec2:CreateSecurityGroup", Resource: group + "*", Keys: apitest.Keys(request, vpc)},
		{Action: "ec2:CreateSecurityGroup", Resource: "arn:aws:ec2:us-west-2:000000000000:vpc/" + vpcID, Keys: map[string][]string{"aws:ResourceTag/Name": {"lab"}, "ec2:ResourceTag/Name": {"lab"}}},
		{Action: "ec2:CreateTags", Resource: group + "*", Keys: apitest.Keys(request, map[string][]string{"ec2:CreateAction": {"CreateSecurityGroup"}})},
		{Action: "ec2:AuthorizeSecurityGroupIngress", Resource: group + id, Keys: apitest.Keys(own, vpc)},
		{Action: "ec2:CreateTags", Resource: group + id, Keys: apitest.Keys(own, map[string][]string{"aws:RequestTag/x": {"y"}, "aws:TagKeys": {"x"}})},
		{Action: "ec2:DeleteSecurityGroup", Resource: group + id, Keys: apitest.Keys(own, vpc, map[string][]string{"aws:ResourceTag/x": {"y"}, "ec2:ResourceTag/x": {"y"}})},
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

func TestMakingAsksForPermissionAndForTheTagsToo(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	for _, deny := range []string{"ec2:CreateVpc", "ec2:CreateTags"} {
		b.auth.Deny(deny)
		_, err := b.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), TagSpecifications: named(types.ResourceTypeVpc, "x")})
		wantCode(t, err, "UnauthorizedOperation")
	}
	b.auth.Deny("")
	m := b.makeNetwork(t)
	b.auth.Take()
	b.auth.Deny("ec2:DeleteVpc")
	_, err := b.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: m.vpc})
	wantCode(t, err, "UnauthorizedOperation")
	want := apitest.Question{Action: "ec2:DeleteVpc", Resource: "arn:aws:ec2:us-west-2:000000000000:vpc/" + *m.vpc, Keys: map[string][]string{"aws:ResourceTag/Name": {"made"}, "ec2:ResourceTag/Name": {"made"}}}
	if diff := cmp.Diff([]apitest.Question{want}, b.auth.Take()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}
