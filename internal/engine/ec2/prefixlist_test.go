package ec2

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

func (b bench) makePrefixList(t *testing.T, size int32, cidrs ...string) string {
	t.Helper()
	in := &sdk.CreateManagedPrefixListInput{
		PrefixListName: aws.String("offices"), AddressFamily: aws.String("IPv4"), MaxEntries: &size,
		TagSpecifications: named(types.ResourceTypePrefixList, "ours"),
	}
	for _, c := range cidrs {
		in.Entries = append(in.Entries, types.AddPrefixListEntry{Cidr: &c})
	}
	return *apitest.Must(b.CreateManagedPrefixList(t.Context(), in))(t).PrefixList.PrefixListId
}

// entries of a list with their descriptions, a page of one at a time.
func (b bench) entries(t *testing.T, id string) []string {
	t.Helper()
	var all []string
	pages := sdk.NewGetManagedPrefixListEntriesPaginator(b, &sdk.GetManagedPrefixListEntriesInput{PrefixListId: &id, MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			all = append(all, *e.Cidr+note(e.Description))
		}
	}
	return all
}

func TestTheLifeOfAPrefixList(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	id := b.makePrefixList(t, 3, "203.0.113.7/24", "192.0.2.0/24")
	if diff := cmp.Diff([]string{"192.0.2.0/24", "203.0.113.0/24"}, b.entries(t, id)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	modified := apitest.Must(b.ModifyManagedPrefixList(ctx, &sdk.ModifyManagedPrefixListInput{
		PrefixListId: &id, CurrentVersion: aws.Int64(1), PrefixListName: aws.String("homes"),
		AddEntries:    []types.AddPrefixListEntry{{Cidr: aws.String("198.51.100.0/24"), Description: aws.String("new")}},
		RemoveEntries: []types.RemovePrefixListEntry{{Cidr: aws.String("192.0.2.0/24")}},
	}))(t).PrefixList
	if *modified.Version != 2 || *modified.PrefixListName != "homes" || modified.State != types.PrefixListStateModifyComplete {
		t.Errorf("modified: %+v", modified)
	}
	if diff := cmp.Diff([]string{"198.51.100.0/24 (new)", "203.0.113.0/24"}, b.entries(t, id)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	found := apitest.Must(b.DescribeManagedPrefixLists(ctx, &sdk.DescribeManagedPrefixListsInput{
		Filters: []types.Filter{filter("prefix-list-name", "hom*"), filter("tag:Name", "ours")},
	}))(t).PrefixLists
	if len(found) != 1 || *found[0].PrefixListId != id || *found[0].MaxEntries != 3 || *found[0].AddressFamily != "IPv4" {
		t.Errorf("described: %+v", found)
	}
	group := *apitest.Must(b.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{GroupName: aws.String("front"), Description: aws.String("x"), VpcId: aws.String(vpcID)}))(t).GroupId
	from := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80), PrefixListIds: []types.PrefixListId{{PrefixListId: &id}}}
	if err := ingress(t, b, group, from); err != nil {
		t.Fatal(err)
	}
	used := apitest.Must(b.GetManagedPrefixListAssociations(ctx, &sdk.GetManagedPrefixListAssociationsInput{PrefixListId: &id}))(t).PrefixListAssociations
	if len(used) != 1 || *used[0].ResourceId != group {
		t.Errorf("used by %+v", used)
	}
	_, err := b.DeleteManagedPrefixList(ctx, &sdk.DeleteManagedPrefixListInput{PrefixListId: &id})
	wantCode(t, err, "DependencyViolation")
	apitest.Must(b.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []types.IpPermission{from}}))(t)
	apitest.Must(b.DeleteManagedPrefixList(ctx, &sdk.DeleteManagedPrefixListInput{PrefixListId: &id}))(t)
	_, err = b.DescribeManagedPrefixLists(ctx, &sdk.DescribeManagedPrefixListsInput{PrefixListIds: []string{id}})
	wantCode(t, err, "InvalidPrefixListID.NotFound")
	wantCode(t, ingress(t, b, group, from), "InvalidPrefixListID.NotFound")
}

func TestAPrefixListCountsWithItsSizeInTheQuotaOfRules(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	group := *apitest.Must(b.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{GroupName: aws.String("front"), Description: aws.String("x"), VpcId: aws.String(vpcID)}))(t).GroupId
	permission := func(id string) types.IpPermission {
		return types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80), PrefixListIds: []types.PrefixListId{{PrefixListId: &id}}}
	}
	big, small := b.makePrefixList(t, 61), b.makePrefixList(t, 59)
	wantCode(t, ingress(t, b, group, permission(big)), "RulesPerSecurityGroupLimitExceeded")
	if err := ingress(t, b, group, permission(small), tcp(81, 81, "0.0.0.0/0")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, ingress(t, b, group, tcp(82, 82, "0.0.0.0/0")), "RulesPerSecurityGroupLimitExceeded")
	_, err := b.ModifyManagedPrefixList(ctx, &sdk.ModifyManagedPrefixListInput{PrefixListId: &small, MaxEntries: aws.Int32(60)})
	wantCode(t, err, "InvalidParameterValue")
	apitest.Must(b.ModifyManagedPrefixList(ctx, &sdk.ModifyManagedPrefixListInput{PrefixListId: &small, MaxEntries: aws.Int32(58)}))(t)
	if err := ingress(t, b, group, tcp(82, 82, "0.0.0.0/0")); err != nil {
		t.Error(err)
	}
}

func TestPrefixListRefusals(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	id := b.makePrefixList(t, 2, "192.0.2.0/24")
	create := func(edit func(*sdk.CreateManagedPrefixListInput)) func() error {
		return func() error {
			in := &sdk.CreateManagedPrefixListInput{PrefixListName: aws.String("x"), AddressFamily: aws.String("IPv6"), MaxEntries: aws.Int32(1)}
			edit(in)
			_, err := b.CreateManagedPrefixList(ctx, in)
			return err
		}
	}
	modify := func(edit func(*sdk.ModifyManagedPrefixListInput)) func() error {
		return func() error {
			in := &sdk.ModifyManagedPrefixListInput{PrefixListId: &id, CurrentVersion: aws.Int64(1)}
			edit(in)
			_, err := b.ModifyManagedPrefixList(ctx, in)
			return err
		}
	}
	entries := func(cidrs ...string) (list []types.AddPrefixListEntry) {
		for _, c := range cidrs {
			list = append(list, types.AddPrefixListEntry{Cidr: &c})
		}
		return list
	}
	var many []string
	for i := range maxEntriesARequest + 1 {
		many = append(many, fmt.Sprintf("10.0.%d.0/24", i))
	}
	for name, test := range map[string]struct {
		do   func() error
		want string
	}{
		"another family":               {create(func(in *sdk.CreateManagedPrefixListInput) { in.AddressFamily = aws.String("ipv4") }), "InvalidParameterValue"},
		"no room at all":               {create(func(in *sdk.CreateManagedPrefixListInput) { in.MaxEntries = aws.Int32(0) }), "InvalidParameterValue"},
		"too much room":                {create(func(in *sdk.CreateManagedPrefixListInput) { in.MaxEntries = aws.Int32(1001) }), "InvalidParameterValue"},
		"an entry of the other family": {create(func(in *sdk.CreateManagedPrefixListInput) { in.Entries = entries("192.0.2.0/24") }), "InvalidParameterValue"},
		"an entry that is none":        {create(func(in *sdk.CreateManagedPrefixListInput) { in.Entries = entries("2001:db8::/129") }), "InvalidParameterValue"},
		"more entries than room":       {create(func(in *sdk.CreateManagedPrefixListInput) { in.Entries = entries("2001:db8::/32", "2001:db9::/32") }), "PrefixListMaxEntriesExceeded"},
		"tags of something else":       {create(func(in *sdk.CreateManagedPrefixListInput) { in.TagSpecifications = named(types.ResourceTypeVpc, "x") }), "InvalidParameterValue"},
		"a version of yesterday":       {modify(func(in *sdk.ModifyManagedPrefixListInput) { in.CurrentVersion = aws.Int64(7) }), "PrefixListVersionMismatch"},
		"entries without the version": {modify(func(in *sdk.ModifyManagedPrefixListInput) {
			in.CurrentVersion, in.AddEntries = nil, entries("10.0.0.0/8")
		}), "MissingParameter"},
		"entries and size at once": {modify(func(in *sdk.ModifyManagedPrefixListInput) {
			in.AddEntries, in.MaxEntries = entries("10.0.0.0/8"), aws.Int32(9)
		}), "InvalidParameterValue"},
		"removal of what is not there": {modify(func(in *sdk.ModifyManagedPrefixListInput) {
			in.RemoveEntries = []types.RemovePrefixListEntry{{Cidr: aws.String("10.0.0.0/8")}}
		}), "InvalidParameterValue"},
		"too many entries in a request": {modify(func(in *sdk.ModifyManagedPrefixListInput) { in.AddEntries = entries(many...) }), "InvalidParameterValue"},
		"a list that is not there":      {modify(func(in *sdk.ModifyManagedPrefixListInput) { in.PrefixListId = aws.String("pl-0123456789abcdef0") }), "InvalidPrefixListID.NotFound"},
		"an older version's entries": {func() error {
			_, err := b.GetManagedPrefixListEntries(ctx, &sdk.GetManagedPrefixListEntriesInput{PrefixListId: &id, TargetVersion: aws.Int64(9)})
			return err
		}, "InvalidParameterValue"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, test.do(), test.want) })
	}
	if diff := cmp.Diff([]string{"192.0.2.0/24"}, b.entries(t, id)); diff != "" {
		t.Errorf("a refused change had an effect (-want +got):\n%s", diff)
	}
}
