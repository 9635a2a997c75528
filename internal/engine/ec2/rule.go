package ec2

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// maxRules is the quota of rules per security group, direction and address
// family; a rule that refers to a group counts in both families, one that refers
// to a prefix list as many times as the list may have entries, in the list's
// family (VPC user guide, quotas).
const maxRules = 60

// IPPermission is a set of rules with one protocol and port range, in requests
// and responses.
type IPPermission struct {
	Protocol    string      `ec2:"IpProtocol"`
	FromPort    *int32      `ec2:"FromPort"`
	ToPort      *int32      `ec2:"ToPort"`
	Groups      []groupPair `ec2:"Groups"`
	IPv4        []ipv4Range `ec2:"IpRanges"`
	IPv6        []ipv6Range `ec2:"Ipv6Ranges"`
	PrefixLists []listRange `ec2:"PrefixListIds"`
}

type groupPair struct {
	GroupID     string `ec2:"GroupId,omitempty"`
	GroupName   string `ec2:"GroupName,omitempty"`
	UserID      string `ec2:"UserId,omitempty"`
	Description string `ec2:"Description,omitempty"`
}

type ipv4Range struct {
	CIDR        string `ec2:"CidrIp"`
	Description string `ec2:"Description,omitempty"`
}

type ipv6Range struct {
	CIDR        string `ec2:"CidrIpv6"`
	Description string `ec2:"Description,omitempty"`
}

type listRange struct {
	ID          string `ec2:"PrefixListId"`
	Description string `ec2:"Description,omitempty"`
}

// identity is a rule without what does not tell it from others.
func identity(r state.SecurityGroupRule) state.SecurityGroupRule {
	r.RuleID, r.Description = "", ""
	return r
}

// ruleParser turns permissions into rules of one group and direction. resolve
// finds the ID of a group that a rule refers to; isList reports whether a prefix
// list is there.
type ruleParser struct {
	groupID string
	egress  bool
	resolve func(groupPair) (string, error)
	isList  func(id string) bool
}

// rules lists the rules that permissions stand for, in order.
func (p ruleParser) rules(permissions []IPPermission) ([]state.SecurityGroupRule, error) {
	var all []state.SecurityGroupRule
	for _, permission := range permissions {
		base, err := p.base(permission)
		if err != nil {
			return nil, err
		}
		rules, err := p.peers(base, permission)
		if err != nil {
			return nil, err
		}
		if len(rules) == 0 {
			return nil, wire.Errorf("InvalidPermission.Malformed", "A permission for '%s' names no CIDR block, security group or prefix list", permission.Protocol)
		}
		all = append(all, rules...)
	}
	seen := map[state.SecurityGroupRule]bool{}
	for _, r := range all {
		if seen[identity(r)] {
			return nil, invalidValue("The same permission must not appear multiple times")
		}
		seen[identity(r)] = true
	}
	return all, nil
}

// protocols by their IANA numbers.
var protocols = map[string]string{"all": "-1", "1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}

// base is the part that all rules of a permission share.
func (p ruleParser) base(in IPPermission) (state.SecurityGroupRule, error) {
	name := strings.ToLower(in.Protocol)
	rule := state.SecurityGroupRule{GroupID: p.groupID, Egress: p.egress, IPProtocol: cmp.Or(protocols[name], name), FromPort: -1, ToPort: -1}
	switch rule.IPProtocol {
	case "tcp", "udp":
		if in.FromPort == nil || in.ToPort == nil {
			return rule, invalidValue("Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		rule.FromPort, rule.ToPort = *in.FromPort, *in.ToPort
		return rule, checkPorts(rule.FromPort, rule.ToPort)
	case "icmp", "icmpv6":
		if in.FromPort != nil {
			rule.FromPort = *in.FromPort
		}
		if in.ToPort != nil {
			rule.ToPort = *in.ToPort
		}
		return rule, checkICMP(rule.FromPort, rule.ToPort)
	case "-1":
		return rule, nil
	case "":
		return rule, wire.Errorf("MissingParameter", "The request must contain the parameter ipProtocol")
	}
	if n, err := strconv.ParseUint(rule.IPProtocol, 10, 8); err != nil || strconv.FormatUint(n, 10) != rule.IPProtocol {
		return rule, invalidValue("Invalid value '%s' for IP protocol. Unknown protocol.", in.Protocol)
	}
	return rule, nil
}

func checkPorts(from, to int32) error {
	for _, port := range []int32{from, to} {
		if port < 0 || port > 65535 {
			return invalidValue("TCP/UDP port (%d) out of range", port)
		}
	}
	if from > to {
		return invalidValue("Invalid TCP/UDP port range (%d:%d)", from, to)
	}
	return nil
}

func checkICMP(kind, code int32) error {
	if kind < -1 || kind > 255 {
		return invalidValue("ICMP type (%d) out of range", kind)
	}
	if code < -1 || code > 255 || kind == -1 && code != -1 { // all types means all codes
		return invalidValue("ICMP code (%d) out of range", code)
	}
	return nil
}

// peers makes a rule for each source or destination. The error is the first.
func (p ruleParser) peers(base state.SecurityGroupRule, in IPPermission) ([]state.SecurityGroupRule, error) {
	var rules []state.SecurityGroupRule
	var problem error
	add := func(r state.SecurityGroupRule, description string, err error) {
		r.Description = description
		rules = append(rules, r)
		problem = cmp.Or(problem, err, checkDescription(description))
	}
	for _, v := range in.IPv4 {
		r, err := base, error(nil)
		r.CIDRIPv4, err = parseCIDR(v.CIDR, 32)
		add(r, v.Description, err)
	}
	for _, v := range in.IPv6 {
		r, err := base, error(nil)
		r.CIDRIPv6, err = parseCIDR(v.CIDR, 128)
		add(r, v.Description, err)
	}
	for _, v := range in.Groups {
		r, err := base, error(nil)
		r.ReferencedGroupID, err = p.resolve(v)
		add(r, v.Description, err)
	}
	for _, v := range in.PrefixLists {
		r := base
		r.PrefixListID = v.ID
		err := checkIDs("pl-", []string{v.ID}, "InvalidPrefixListId.Malformed")
		if err == nil && !p.isList(v.ID) {
			err = prefixListsNotFound([]string{v.ID})
		}
		add(r, v.Description, err)
	}
	return rules, problem
}

// parseCIDR reads a block and clears its host bits, as EC2 does.
func parseCIDR(text string, bits int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().BitLen() != bits {
		return netip.Prefix{}, invalidValue("CIDR block %s is malformed", text)
	}
	return p.Masked(), nil
}

var textPattern = regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*$`)

const maxText = 255 // characters; in the pattern it would take hundreds of kilobytes

func validText(text string) bool { return len(text) <= maxText && textPattern.MatchString(text) }

func checkDescription(text string) error {
	if !validText(text) {
		return invalidValue("Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	}
	return nil
}

// peer is what a rule allows, as text.
func peer(r state.SecurityGroupRule) string {
	switch {
	case r.CIDRIPv4.IsValid():
		return r.CIDRIPv4.String()
	case r.CIDRIPv6.IsValid():
		return r.CIDRIPv6.String()
	}
	return cmp.Or(r.ReferencedGroupID, r.PrefixListID)
}

// inWords is a rule as EC2's error messages tell it.
func inWords(r state.SecurityGroupRule) string {
	switch r.IPProtocol {
	case "-1":
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer(r))
	case "tcp", "udp":
		return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer(r), strings.ToUpper(r.IPProtocol), r.FromPort, r.ToPort)
	}
	return fmt.Sprintf("peer: %s, %s, type: %d, code: %d, ALLOW", peer(r), strings.ToUpper(r.IPProtocol), r.FromPort, r.ToPort)
}

// checkQuota refuses more rules in a direction than one family may have.
func checkQuota(reader store.Reader, rules []state.SecurityGroupRule, egress bool) error {
	v4, v6 := 0, 0
	for _, r := range rules {
		list, isList := state.PrefixLists.Get(reader, r.PrefixListID)
		switch {
		case r.Egress != egress:
		case isList && list.IPv6:
			v6 += int(list.MaxEntries)
		case isList:
			v4 += int(list.MaxEntries)
		case r.CIDRIPv4.IsValid():
			v4++
		case r.CIDRIPv6.IsValid():
			v6++
		default:
			v4, v6 = v4+1, v6+1
		}
	}
	if v4 > maxRules || v6 > maxRules {
		return wire.Errorf("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	return nil
}

// permissions are the rules of a group as permissions: rules with one protocol
// and port range together, in order.
func (s *Service) permissions(r store.Reader, groupID string) (ingress, egress []IPPermission) {
	rules := slices.Collect(state.RulesByGroup.All(r, groupID))
	slices.SortStableFunc(rules, func(a, b state.SecurityGroupRule) int {
		return cmp.Or(strings.Compare(a.IPProtocol, b.IPProtocol), cmp.Compare(a.FromPort, b.FromPort),
			cmp.Compare(a.ToPort, b.ToPort), strings.Compare(peer(a), peer(b)))
	})
	ingress, egress = []IPPermission{}, []IPPermission{}
	for _, rule := range rules {
		if rule.Egress {
			egress = s.merge(egress, rule)
		} else {
			ingress = s.merge(ingress, rule)
		}
	}
	return ingress, egress
}

// merge adds a rule to the last permission when it has the same protocol and
// ports, else begins another.
func (s *Service) merge(list []IPPermission, r state.SecurityGroupRule) []IPPermission {
	next := IPPermission{Protocol: r.IPProtocol, Groups: []groupPair{}, IPv4: []ipv4Range{}, IPv6: []ipv6Range{}, PrefixLists: []listRange{}}
	if r.IPProtocol != "-1" {
		next.FromPort, next.ToPort = &r.FromPort, &r.ToPort
	}
	if n := len(list); n == 0 || list[n-1].Protocol != r.IPProtocol || !samePorts(list[n-1], next) {
		list = append(list, next)
	}
	p := &list[len(list)-1]
	switch {
	case r.CIDRIPv4.IsValid():
		p.IPv4 = append(p.IPv4, ipv4Range{r.CIDRIPv4.String(), r.Description})
	case r.CIDRIPv6.IsValid():
		p.IPv6 = append(p.IPv6, ipv6Range{r.CIDRIPv6.String(), r.Description})
	case r.ReferencedGroupID != "":
		p.Groups = append(p.Groups, groupPair{GroupID: r.ReferencedGroupID, UserID: s.AccountID, Description: r.Description})
	default:
		p.PrefixLists = append(p.PrefixLists, listRange{r.PrefixListID, r.Description})
	}
	return list
}

func samePorts(a, b IPPermission) bool {
	return (a.FromPort == nil) == (b.FromPort == nil) &&
		(a.FromPort == nil || *a.FromPort == *b.FromPort && *a.ToPort == *b.ToPort)
}

// ruleAttributes are the parts of a rule that groups can be filtered by.
func ruleAttributes(account string, names groupNames) map[string]func(state.SecurityGroupRule) string {
	type rule = state.SecurityGroupRule
	return map[string]func(rule) string{
		"protocol":       func(r rule) string { return r.IPProtocol },
		"from-port":      func(r rule) string { return strconv.Itoa(int(r.FromPort)) },
		"to-port":        func(r rule) string { return strconv.Itoa(int(r.ToPort)) },
		"cidr":           func(r rule) string { return first(prefixTexts(r.CIDRIPv4)) },
		"ipv6-cidr":      func(r rule) string { return first(prefixTexts(r.CIDRIPv6)) },
		"group-id":       func(r rule) string { return r.ReferencedGroupID },
		"group-name":     func(r rule) string { return first(names.all(nonEmpty(r.ReferencedGroupID))) },
		"prefix-list-id": func(r rule) string { return r.PrefixListID },
		"user-id": func(r rule) string {
			if r.ReferencedGroupID == "" {
				return ""
			}
			return account
		},
	}
}
