package ec2

import "testing"

// A permission becomes a rule or an error of the API; and what is described of
// the rule is a permission for the same rule, so that revoking it finds it.
func FuzzRules(f *testing.F) {
	f.Add("tcp", "10.0.0.0/8", int32(80), int32(443), false)
	f.Add("6", "2001:db8::/32", int32(0), int32(65535), true)
	f.Add("icmp", "10.1.2.3/24", int32(-1), int32(-1), false)
	f.Add("ICMPv6", "::ffff:10.0.0.0/104", int32(128), int32(0), true)
	f.Add("all", "0.0.0.0/0", int32(7), int32(5), false)
	f.Add("47", "::/0", int32(7), int32(5), true)
	s, parser := &Service{}, ruleParser{groupID: "sg-1"}
	f.Fuzz(func(t *testing.T, protocol, cidr string, from, to int32, six bool) {
		in := IPPermission{Protocol: protocol, FromPort: &from, ToPort: &to}
		if six {
			in.IPv6 = []ipv6Range{{CIDR: cidr}}
		} else {
			in.IPv4 = []ipv4Range{{CIDR: cidr}}
		}
		rules, err := parser.rules([]IPPermission{in})
		if err != nil {
			return
		}
		again, err := parser.rules(s.merge(nil, rules[0]))
		if err != nil {
			t.Fatalf("%+v is described so that it is refused: %v", rules[0], err)
		}
		if again[0] != rules[0] {
			t.Errorf("authorised %+v\ndescribed  %+v", rules[0], again[0])
		}
	})
}

// "If you specify all ICMP types, you must specify all ICMP codes": EC2's API
// reference, IpPermission.
func TestAllTypesOfICMPAreOfAllCodes(t *testing.T) {
	for code, refused := range map[int32]bool{-1: false, 0: true, 5: true} {
		all := int32(-1)
		_, err := ruleParser{}.rules([]IPPermission{{Protocol: "icmp", FromPort: &all, ToPort: &code, IPv4: []ipv4Range{{CIDR: "0.0.0.0/0"}}}})
		if (err != nil) != refused {
			t.Errorf("all types and code %d: %v, want it refused: %t", code, err, refused)
		}
	}
}
