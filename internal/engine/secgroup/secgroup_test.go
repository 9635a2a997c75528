package secgroup

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRulesMeanWhatEC2SaysTheyMean(t *testing.T) {
	from := netip.MustParsePrefix
	members := func(id string) []netip.Prefix {
		return map[string][]netip.Prefix{"sg-friends": {from("198.18.1.0/24")}}[id]
	}
	tests := map[string]struct {
		rules   []Rule
		traffic Traffic
		peer    string
		want    bool
	}{
		"no rule allows nothing":               {nil, TCP(80), "203.0.113.1", false},
		"a port in its range":                  {[]Rule{{"tcp", 80, 90, from("0.0.0.0/0"), ""}}, TCP(90), "203.0.113.1", true},
		"a port beyond its range":              {[]Rule{{"tcp", 80, 90, from("0.0.0.0/0"), ""}}, TCP(91), "203.0.113.1", false},
		"the other transport":                  {[]Rule{{"tcp", 80, 80, from("0.0.0.0/0"), ""}}, UDP(80), "203.0.113.1", false},
		"the other address family":             {[]Rule{{"tcp", 80, 80, from("0.0.0.0/0"), ""}}, TCP(80), "2001:db8::1", false},
		"IPv4 in IPv6's clothes":               {[]Rule{{"tcp", 80, 80, from("203.0.113.0/24"), ""}}, TCP(80), "::ffff:203.0.113.1", true},
		"all protocols":                        {[]Rule{{"-1", -1, -1, from("2001:db8::/32"), ""}}, UDP(53), "2001:db8::1", true},
		"a protocol by its number":             {[]Rule{{"17", -1, -1, from("0.0.0.0/0"), ""}}, UDP(53), "203.0.113.1", true},
		"a protocol of somebody else":          {[]Rule{{"50", -1, -1, from("0.0.0.0/0"), ""}}, UDP(53), "203.0.113.1", false},
		"all ICMP":                             {[]Rule{{"icmp", -1, -1, from("0.0.0.0/0"), ""}}, ICMP(8, 0), "203.0.113.1", true},
		"all codes of an ICMP type":            {[]Rule{{"icmp", 3, -1, from("0.0.0.0/0"), ""}}, ICMP(3, 13), "203.0.113.1", true},
		"another type than that":               {[]Rule{{"icmp", 3, -1, from("0.0.0.0/0"), ""}}, ICMP(4, 0), "203.0.113.1", false},
		"one code of an ICMP type":             {[]Rule{{"icmp", 3, 4, from("0.0.0.0/0"), ""}}, ICMP(3, 4), "203.0.113.1", true},
		"another code than that":               {[]Rule{{"icmp", 3, 4, from("0.0.0.0/0"), ""}}, ICMP(3, 3), "203.0.113.1", false},
		"type 0, code 0 is not all types":      {[]Rule{{"icmp", 0, 0, from("0.0.0.0/0"), ""}}, ICMP(8, 0), "203.0.113.1", false},
		"ICMPv6 is not ICMP":                   {[]Rule{{"icmp", -1, -1, from("::/0"), ""}}, ICMPv6(128, 0), "2001:db8::1", false},
		"ICMPv6":                               {[]Rule{{"icmpv6", 128, -1, from("::/0"), ""}}, ICMPv6(128, 0), "2001:db8::1", true},
		"a member of a group":                  {[]Rule{{"tcp", 80, 80, netip.Prefix{}, "sg-friends"}}, TCP(80), "198.18.1.7", true},
		"not a member of that group":           {[]Rule{{"tcp", 80, 80, netip.Prefix{}, "sg-friends"}}, TCP(80), "198.18.2.7", false},
		"a group that nobody carries":          {[]Rule{{"tcp", 80, 80, netip.Prefix{}, "sg-nobody"}}, TCP(80), "198.18.1.7", false},
		"an unknown protocol":                  {[]Rule{{"sctp?", 80, 80, from("0.0.0.0/0"), ""}}, TCP(80), "203.0.113.1", false},
		"one of several rules":                 {[]Rule{{"tcp", 1, 1, from("0.0.0.0/0"), ""}, {"tcp", 80, 80, from("203.0.113.1/32"), ""}}, TCP(80), "203.0.113.1", true},
		"source of one rule, port of the next": {[]Rule{{"tcp", 1, 1, from("0.0.0.0/0"), ""}, {"tcp", 80, 80, from("203.0.113.2/32"), ""}}, TCP(80), "203.0.113.1", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			set, peer := Compile(tc.rules, members), netip.MustParseAddr(tc.peer)
			if got := set.Allows(tc.traffic, peer); got != tc.want {
				t.Errorf("Allows(%v, %s) = %v, want %v", tc.traffic, peer, got, tc.want)
			}
		})
	}
}

func TestPeersAreFewAndInOrder(t *testing.T) {
	var rules []Rule
	for _, p := range []string{"::/0", "203.0.113.0/24", "10.0.0.0/9", "203.0.113.7/32", "10.0.0.0/8", "203.0.113.0/24", "10.1.0.0/16"} {
		rules = append(rules, Rule{"tcp", 80, 80, netip.MustParsePrefix(p), ""})
	}
	rules = append(rules, Rule{"tcp", 81, 81, netip.MustParsePrefix("192.0.2.0/24"), ""})
	var got []string
	for _, p := range Compile(rules, nil).Peers(TCP(80)) {
		got = append(got, p.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.0/8", "203.0.113.0/24", "::/0"}, got); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
}

// naive reads rules one by one, in the words of the EC2 documentation.
func naive(rules []Rule, members map[string][]netip.Prefix, protocol string, number int, port, code int, peer netip.Addr) bool {
	for _, r := range rules {
		from := members[r.PeerGroup]
		if r.Peer.IsValid() {
			from = []netip.Prefix{r.Peer}
		}
		inside := slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(peer) })
		named := r.Protocol == protocol || r.Protocol == strconv.Itoa(number)
		icmp := protocol == "icmp" || protocol == "icmpv6"
		all := r.Protocol == "-1" || named && r.From == -1
		ports := named && !icmp && int(r.From) <= port && port <= int(r.To)
		message := named && icmp && int(r.From) == port && (r.To == -1 || int(r.To) == code)
		if inside && (all || ports || message) {
			return true
		}
	}
	return false
}

func anyPrefix(t *rapid.T) netip.Prefix {
	a := anyAddr(t)
	p, err := a.Prefix(rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// anyAddr draws from few addresses, so that they meet prefixes.
func anyAddr(t *rapid.T) netip.Addr {
	low := rapid.ByteRange(0, 3)
	if rapid.Bool().Draw(t, "ipv6") {
		return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 14: low.Draw(t, "high"), 15: low.Draw(t, "low")})
	}
	return netip.AddrFrom4([4]byte{10, 0, low.Draw(t, "high"), low.Draw(t, "low")})
}

func anyRule(t *rapid.T) Rule {
	few := rapid.Int32Range(0, 4)
	r := Rule{Protocol: rapid.SampledFrom([]string{"tcp", "udp", "icmp", "icmpv6", "-1", "6", "17", "47"}).Draw(t, "protocol"), From: -1, To: -1}
	switch {
	case r.Protocol == "tcp" || r.Protocol == "udp":
		r.From = few.Draw(t, "from")
		r.To = r.From + few.Draw(t, "more")
	case r.Protocol[0] == 'i' && rapid.Bool().Draw(t, "typed"):
		r.From, r.To = few.Draw(t, "type"), few.Draw(t, "code")-1
	}
	if rapid.Bool().Draw(t, "group") {
		r.PeerGroup = rapid.SampledFrom([]string{"sg-1", "sg-2", "sg-3"}).Draw(t, "peerGroup")
	} else {
		r.Peer = anyPrefix(t)
	}
	return r
}

func TestSetAgreesWithANaiveReading(t *testing.T) {
	kinds := []struct {
		protocol string
		number   int
		make     func(port, code uint8) Traffic
	}{
		{"tcp", 6, func(p, _ uint8) Traffic { return TCP(uint16(p)) }},
		{"udp", 17, func(p, _ uint8) Traffic { return UDP(uint16(p)) }},
		{"icmp", 1, ICMP},
		{"icmpv6", 58, ICMPv6},
	}
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(anyRule), 0, 8).Draw(t, "rules")
		members := map[string][]netip.Prefix{
			"sg-1": rapid.SliceOfN(rapid.Custom(anyPrefix), 0, 3).Draw(t, "members"),
			"sg-2": Everyone(),
		}
		set := Compile(rules, func(id string) []netip.Prefix { return members[id] })
		for _, kind := range kinds { // in one order, so that a seed draws one case
			port, code := rapid.Uint8Range(0, 8).Draw(t, "port"), rapid.Uint8Range(0, 4).Draw(t, "code")
			peer := anyAddr(t)
			traffic := kind.make(port, code)
			want := naive(rules, members, kind.protocol, kind.number, int(port), int(code), peer)
			if got := set.Allows(traffic, peer); got != want {
				t.Fatalf("%s %d %d with %s: Allows = %v, read naively %v", kind.protocol, port, code, peer, got, want)
			}
			peers := set.Peers(traffic)
			if got := slices.ContainsFunc(peers, func(p netip.Prefix) bool { return p.Contains(peer) }); got != want {
				t.Fatalf("%s %d %d with %s: Peers = %v, read naively %v", kind.protocol, port, code, peer, peers, want)
			}
		}
	})
}
