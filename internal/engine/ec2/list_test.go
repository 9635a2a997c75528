package ec2

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

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
