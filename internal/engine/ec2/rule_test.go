package ec2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/apitest"
)

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

// everyPeer is a permission for each kind of peer.
func everyPeer(t *testing.T, b bench) types.IpPermission {
	t.Helper()
	list := apitest.Must(b.CreateManagedPrefixList(t.Context(), &sdk.CreateManagedPrefixListInput{
		PrefixListName: aws.String("offices"), AddressFamily: aws.String("IPv4"), MaxEntries: aws.Int32(5),
	}))(t).PrefixList.PrefixListId
	return types.IpPermission{
		IpProtocol: aws.String("TCP"), FromPort: aws.Int32(80), ToPort: aws.Int32(80),
		IpRanges:         []types.IpRange{{CidrIp: aws.String("10.1.2.3/8"), Description: aws.String("inside")}},
		Ipv6Ranges:       []types.Ipv6Range{{CidrIpv6: aws.String("2001:db8::/32")}},
		UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(nodeSG), Description: aws.String("nodes")}},
		PrefixListIds:    []types.PrefixListId{{PrefixListId: list}},
	}
}

func ping() types.IpPermission {
	return types.IpPermission{IpProtocol: aws.String("icmp"), FromPort: aws.Int32(3), ToPort: aws.Int32(4), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}
}

func TestRulesAreNormalizedAndThereOnce(t *testing.T) {
	b := newBench(t)
	id, peers := createGroup(t, b, "front"), everyPeer(t, b)
	everything := types.IpPermission{IpProtocol: aws.String("all"), FromPort: aws.Int32(5), IpRanges: []types.IpRange{{CidrIp: aws.String("192.0.2.1/32")}}}
	if err := ingress(t, b, id, peers, ping(), everything, tcp(443, 445, "0.0.0.0/0")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-1 192.0.2.1/32", "icmp 3-4 0.0.0.0/0",
		"tcp 80-80 10.0.0.0/8 (inside) 2001:db8::/32 " + nodeSG + " (nodes) " + *peers.PrefixListIds[0].PrefixListId, "tcp 443-445 0.0.0.0/0",
	}
	if diff := cmp.Diff(want, permissionTexts(describeGroup(t, b, id).IpPermissions)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	err := ingress(t, b, id, tcp(22, 22, "0.0.0.0/0"), tcp(443, 445, "0.0.0.0/0"))
	wantCode(t, err, "InvalidPermission.Duplicate")
	if !strings.Contains(err.Error(), `the specified rule "peer: 0.0.0.0/0, TCP, from port: 443, to port: 445, ALLOW" already exists`) {
		t.Errorf("the error does not name the rule: %v", err)
	}
}

func TestRulesAreRevokedByWhatTheySayOrByID(t *testing.T) {
	b := newBench(t)
	id, peers := createGroup(t, b, "front"), everyPeer(t, b)
	if err := ingress(t, b, id, peers, ping(), tcp(22, 23, "192.0.2.1/32"), tcp(443, 445, "0.0.0.0/0")); err != nil {
		t.Fatal(err)
	}
	_, err := b.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{GroupId: &id, IpPermissions: []types.IpPermission{tcp(22, 22, "0.0.0.0/0")}})
	wantCode(t, err, "InvalidPermission.NotFound")
	revoked := apitest.Must(b.RevokeSecurityGroupIngress(t.Context(), &sdk.RevokeSecurityGroupIngressInput{
		GroupId: &id, IpPermissions: []types.IpPermission{peers, ping()},
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
