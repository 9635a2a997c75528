package zonal_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// guarded is a load balancer in front of one machine whose interface carries
// sg-nodes, and of a pod on it.
const guarded = `
vpcs:
- {vpcId: vpc-1, cidrBlock: 198.18.0.0/16, ipv6CidrBlock: "2001:db8::/32"}
subnets:
- {subnetId: subnet-a, vpcId: vpc-1, availabilityZone: a, availabilityZoneId: az1, cidrBlock: 198.18.16.0/20, ipv6CidrBlock: "2001:db8:0:1::/64"}
securityGroups:
- {groupId: sg-nodes, groupName: nodes, vpcId: vpc-1}
- {groupId: sg-db, groupName: db, vpcId: vpc-1}
instances:
- instanceId: i-node
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.16, "2001:db8:0:1::10"], prefixes: [198.18.17.0/24], securityGroups: [sg-nodes]}]
- instanceId: i-db
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.17], securityGroups: [sg-db]}]
- instanceId: i-bare
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.18]}]
`

// scene is what a case changes about the load balancer, the group and the rules.
type scene struct {
	groups     []string // the load balancer's
	protocol   lb.Protocol
	hidden     bool // preserve_client_ip.enabled is false
	healthPort string
	target     string // default i-node; an address makes it an ip target
	rules      []string
}

// rule reads "sg-lb in tcp 80 0.0.0.0/0", with out for in, an ICMP type for the
// port and a group for the CIDR.
func rule(t *testing.T, id, text string) state.SecurityGroupRule {
	t.Helper()
	f := strings.Fields(text)
	r := state.SecurityGroupRule{RuleID: id, GroupID: f[0], Egress: f[1] == "out", IPProtocol: f[2], FromPort: -1, ToPort: -1}
	if f[3] != "*" {
		for _, c := range f[3] {
			if c < '0' || c > '9' {
				t.Fatalf("rule %q: port %s", text, f[3])
			}
			r.FromPort = max(r.FromPort, 0)*10 + (c - '0')
		}
		if !strings.HasPrefix(r.IPProtocol, "icmp") {
			r.ToPort = r.FromPort
		}
	}
	switch prefix, err := netip.ParsePrefix(f[4]); {
	case err != nil && strings.HasPrefix(f[4], "pl-"):
		r.PrefixListID = f[4]
	case err != nil:
		r.ReferencedGroupID = f[4]
	case prefix.Addr().Is4():
		r.CIDRIPv4 = prefix
	default:
		r.CIDRIPv6 = prefix
	}
	return r
}

// cut is the part of zone a as words: who may connect, who reaches the target.
func (s scene) cut(t *testing.T) string {
	t.Helper()
	f, err := inventory.Parse([]byte(guarded))
	if err != nil {
		t.Fatal(err)
	}
	db := statetest.New(t)
	b := state.LoadBalancer{ARN: "b", SecurityGroups: s.groups, Zones: []state.ZoneMapping{
		{Zone: "a", IPv4: netip.MustParseAddr("198.18.16.100"), IPv6: netip.MustParseAddr("2001:db8:0:1::100")},
	}}
	g := state.TargetGroup{ARN: "g", VPCID: "vpc-1", Protocol: lb.TCP, TargetType: lb.InstanceTarget, HealthCheck: lb.HealthCheck{Port: s.healthPort}, Attributes: map[string]string{}}
	target := state.Target{TargetGroupARN: "g", ID: "i-node", Port: 30080}
	if s.protocol != "" {
		g.Protocol = s.protocol
	}
	if s.hidden {
		g.Attributes[lb.AttrPreserveClientIP] = "false"
	}
	if s.target != "" {
		target.ID = s.target
	}
	if _, err := netip.ParseAddr(target.ID); err == nil {
		g.TargetType, target.Zone = lb.IPTarget, zonal.AllZones
		g.Attributes[lb.AttrPreserveClientIP] = map[bool]string{false: "true", true: "false"}[s.hidden]
	}
	err = db.Update(func(tx *store.Tx) error {
		for id, prefixes := range map[string][]string{"pl-offices": {"192.0.2.0/24", "203.0.113.0/24"}, "pl-everyone": {"0.0.0.0/0"}, "pl-empty": nil} {
			l := state.PrefixList{PrefixListID: id}
			for _, p := range prefixes {
				l.Entries = append(l.Entries, state.PrefixListEntry{CIDR: netip.MustParsePrefix(p)})
			}
			state.PrefixLists.Put(tx, l)
		}
		state.LoadBalancers.Put(tx, b)
		state.Listeners.Put(tx, state.Listener{ARN: "l", LoadBalancerARN: "b", Protocol: g.Protocol, Port: 80, Forward: []lb.WeightedGroup{{TargetGroupARN: "g"}}})
		state.TargetGroups.Put(tx, g)
		state.Targets.Put(tx, target)
		for i, text := range s.rules {
			state.SecurityGroupRules.Put(tx, rule(t, string(rune('a'+i)), text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	part := zonal.Parts(db.Current(), inventory.NewIndex(f), b)["a"]
	return inWords(part)
}

func inWords(part zonal.Part) string {
	set := func(name string) string {
		if name == "" {
			return "everyone"
		}
		prefixes, known := part.ClientSets[name]
		if !known {
			return "a set that is not there"
		}
		if len(prefixes) == 0 {
			return "nobody"
		}
		var words []string
		for _, p := range prefixes {
			words = append(words, p.String())
		}
		return strings.Join(words, "+")
	}
	l, target := part.Balancer.Listeners[0], part.Groups[0].Targets[0]
	var words []string
	for _, p := range l.Protocol.Transports() {
		out := "reaches"
		if slices.Contains(target.OutboundBlocked, p) {
			out = "is kept from"
		}
		words = append(words, string(p)+" of "+set(l.Clients.Of(p))+" "+out+" the target, which takes "+set(target.Clients.Of(p)))
	}
	if part.Balancer.EchoClients != "" {
		words = append(words, "echo of "+set(part.Balancer.EchoClients))
	}
	words = append(words, map[bool]string{false: "checks pass", true: "checks are blocked"}[target.HealthCheckBlocked])
	return strings.Join(words, "; ")
}

func TestSecurityGroupsDecideWhatPasses(t *testing.T) {
	openOut := "sg-lb out -1 * 0.0.0.0/0"
	tests := map[string]struct {
		scene scene
		want  string
	}{
		"what the controller makes": {
			scene{groups: []string{"sg-front", "sg-lb"}, rules: []string{"sg-front in tcp 80 0.0.0.0/0", "sg-front in tcp 80 ::/0", openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of everyone reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"ranges on the load balancer": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in tcp 80 203.0.113.0/24", "sg-lb in tcp 81 0.0.0.0/0", openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of 203.0.113.0/24 reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"echo requests": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in icmp 8 192.0.2.0/24", "sg-lb in icmpv6 * ::/0", "sg-lb in icmpv6 * 192.0.2.0/24", openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of nobody reaches the target, which takes everyone; echo of 192.0.2.0/24+::/0; checks pass",
		},
		"no rules at all": {
			scene{groups: []string{"sg-lb"}},
			"TCP of nobody is kept from the target, which takes nobody; echo of nobody; checks are blocked",
		},
		"health checks obey outbound rules only": {
			scene{groups: []string{"sg-lb"}, rules: []string{openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of nobody reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"the node rule is gone": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in tcp 80 0.0.0.0/0", "sg-lb in tcp 80 ::/0", openOut}},
			"TCP of everyone reaches the target, which takes nobody; echo of nobody; checks are blocked",
		},
		"outbound rules for the health check port alone": {
			scene{groups: []string{"sg-lb"}, healthPort: "10256", rules: []string{"sg-lb out tcp 10256 198.18.16.0/20", "sg-nodes in -1 * sg-lb"}},
			"TCP of nobody is kept from the target, which takes everyone; echo of nobody; checks pass",
		},
		"outbound rules that name the targets' group": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb out tcp 30080 sg-nodes", "sg-nodes in -1 * sg-lb"}},
			"TCP of nobody reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"outbound rules that name another group": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb out tcp 30080 sg-db", "sg-nodes in -1 * sg-lb"}},
			"TCP of nobody is kept from the target, which takes everyone; echo of nobody; checks are blocked",
		},
		"inbound rules that name a group of clients": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in tcp 80 sg-db", openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of 198.18.16.17/32 reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"clients' group on the target does not see through a load balancer": {
			scene{groups: []string{"sg-lb"}, rules: []string{openOut, "sg-nodes in -1 * sg-db"}},
			"TCP of nobody reaches the target, which takes nobody; echo of nobody; checks are blocked",
		},
		"inbound rules that name a group of load balancers": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in tcp 80 sg-lb", openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of 198.18.16.100/32+2001:db8:0:1::100/128 reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"without groups, the target is asked about the client": {
			scene{rules: []string{"sg-nodes in tcp 30080 203.0.113.0/24"}},
			"TCP of everyone reaches the target, which takes 203.0.113.0/24; checks are blocked",
		},
		"without groups, checks come from the load balancer's address": {
			scene{rules: []string{"sg-nodes in tcp 30080 198.18.16.100/32"}},
			"TCP of everyone reaches the target, which takes 198.18.16.100/32; checks pass",
		},
		"without groups and with hidden clients, flows do too": {
			scene{hidden: true, rules: []string{"sg-nodes in tcp 30080 198.18.16.100/32"}},
			"TCP of everyone reaches the target, which takes everyone; checks pass",
		},
		"hidden clients' own addresses do not count": {
			scene{hidden: true, rules: []string{"sg-nodes in tcp 30080 203.0.113.0/24"}},
			"TCP of everyone reaches the target, which takes nobody; checks are blocked",
		},
		"a target without groups": {
			scene{target: "i-bare"},
			"TCP of everyone reaches the target, which takes everyone; checks pass",
		},
		"a pod is judged by its node's interface": {
			scene{target: "198.18.17.5", rules: []string{"sg-nodes in tcp 30080 203.0.113.0/24"}},
			"TCP of everyone reaches the target, which takes 203.0.113.0/24; checks are blocked",
		},
		"an address of nobody's takes everything": {
			scene{target: "10.1.2.3"},
			"TCP of everyone reaches the target, which takes everyone; checks pass",
		},
		"an address of nobody's by outbound rules": {
			scene{groups: []string{"sg-lb"}, target: "10.1.2.3", rules: []string{"sg-lb out tcp 30080 10.0.0.0/8"}},
			"TCP of nobody reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"transports apart": {
			scene{groups: []string{"sg-lb"}, protocol: lb.TCPUDP, rules: []string{"sg-lb in udp 80 192.0.2.0/24", "sg-lb out tcp 30080 0.0.0.0/0", "sg-nodes in udp 30080 0.0.0.0/0", "sg-nodes in udp 30080 ::/0"}},
			"TCP of nobody reaches the target, which takes nobody; UDP of 192.0.2.0/24 is kept from the target, which takes everyone; echo of nobody; checks are blocked",
		},
		"the entries of prefix lists": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in tcp 80 pl-offices", openOut, "sg-nodes in -1 * pl-everyone"}},
			"TCP of 192.0.2.0/24+203.0.113.0/24 reaches the target, which takes 0.0.0.0/0; echo of nobody; checks pass",
		},
		"a prefix list without entries": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in tcp 80 pl-empty", openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of nobody reaches the target, which takes everyone; echo of nobody; checks pass",
		},
		"a prefix list that is gone": {
			scene{groups: []string{"sg-lb"}, rules: []string{"sg-lb in tcp 80 pl-1", openOut, "sg-nodes in -1 * sg-lb"}},
			"TCP of nobody reaches the target, which takes everyone; echo of nobody; checks pass",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.scene.cut(t)); diff != "" {
				t.Errorf("what passes (-want +got):\n%s", diff)
			}
		})
	}
}
