package zonal

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/secgroup"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// Dependency is a security group that a load balancer's part depends on, by its
// rules or by who carries it, or a prefix list that those rules refer to.
type Dependency struct {
	GroupID string // or the prefix list's ID; the forms of IDs tell them apart
	Members bool
}

// judge says what security groups let through for one load balancer: the rules
// of its own groups, and those of its targets' interfaces.
//
// A load balancer without groups sends and takes everything; a target whose
// interface has none, or is not known, takes everything.
type judge struct {
	r       store.Reader
	network *inventory.Index
	groups  []string // the load balancer's
	sets    lb.ClientSets
	depends map[Dependency]bool

	compiled map[string]secgroup.Set // by direction and the target's groups
	names    map[clientsKey]string
}

// clientsKey is all that the set of a target's clients depends on.
type clientsKey struct {
	groups    string
	transport lb.Protocol
	port      uint16
}

func newJudge(r store.Reader, network *inventory.Index, groups []string) *judge {
	return &judge{
		r: r, network: network, groups: groups, sets: lb.ClientSets{}, depends: map[Dependency]bool{},
		compiled: map[string]secgroup.Set{}, names: map[clientsKey]string{},
	}
}

// dependencies are the groups that were asked, sorted.
func (j *judge) dependencies() []Dependency {
	var all []Dependency
	for d := range j.depends {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Dependency) int {
		if a.Members != b.Members && a.GroupID == b.GroupID {
			return map[bool]int{false: -1, true: 1}[a.Members]
		}
		return strings.Compare(a.GroupID, b.GroupID)
	})
	return all
}

// seal adds to the parts of the load balancer what was found out on the way.
func (j *judge) seal(parts map[string]Part) map[string]Part {
	depends := j.dependencies()
	for zone, part := range parts {
		part.DependsOn = depends
		for _, name := range part.clientSets() {
			if peers, ok := j.sets[name]; ok {
				if part.ClientSets == nil {
					part.ClientSets = lb.ClientSets{}
				}
				part.ClientSets[name] = peers
			}
		}
		parts[zone] = part
	}
	return parts
}

// mapping is a load balancer's mapping of a zone; zero when it has none.
func mapping(zones []state.ZoneMapping, zone string) state.ZoneMapping {
	i := slices.IndexFunc(zones, func(z state.ZoneMapping) bool { return z.Zone == zone })
	if i < 0 {
		return state.ZoneMapping{}
	}
	return zones[i]
}

// compile puts the rules of groups in one direction together.
func (j *judge) compile(groups []string, egress bool, references func(string) []netip.Prefix) secgroup.Set {
	var rules []secgroup.Rule
	for _, id := range groups {
		j.depends[Dependency{GroupID: id}] = true
		for r := range state.RulesByGroup.All(j.r, id) {
			if r.Egress == egress {
				rules = append(rules, j.rules(r)...)
			}
		}
	}
	return secgroup.Compile(rules, references)
}

// rules are what a rule stands for: itself, or one for each entry of the prefix
// list that it refers to.
func (j *judge) rules(r state.SecurityGroupRule) []secgroup.Rule {
	one := secgroup.Rule{Protocol: r.IPProtocol, From: r.FromPort, To: r.ToPort, Peer: r.CIDRIPv4, PeerGroup: r.ReferencedGroupID}
	if r.CIDRIPv6.IsValid() {
		one.Peer = r.CIDRIPv6
	}
	if r.PrefixListID == "" {
		return []secgroup.Rule{one}
	}
	j.depends[Dependency{GroupID: r.PrefixListID}] = true
	list, _ := state.PrefixLists.Get(j.r, r.PrefixListID) // one that is gone allows nothing
	all := make([]secgroup.Rule, len(list.Entries))
	for i, e := range list.Entries {
		all[i] = one
		all[i].Peer = e.CIDR
	}
	return all
}

// carriedBy resolves references where one peer is all there is: it carries the
// group or it does not.
func carriedBy(groups []string) func(string) []netip.Prefix {
	return func(id string) []netip.Prefix {
		if slices.Contains(groups, id) {
			return secgroup.Everyone()
		}
		return nil
	}
}

// members are the addresses of all interfaces that carry a group.
func (j *judge) members(id string) []netip.Prefix {
	j.depends[Dependency{GroupID: id, Members: true}] = true
	all := slices.Clone(j.network.Members(id))
	for b := range state.LoadBalancersBySecurityGroup.All(j.r, id) {
		all = append(all, zonalAddresses(b.Zones)...)
	}
	for b := range state.ClassicLoadBalancersBySecurityGroup.All(j.r, id) {
		all = append(all, zonalAddresses(b.Zones)...)
	}
	return all
}

func zonalAddresses(zones []state.ZoneMapping) []netip.Prefix {
	var all []netip.Prefix
	for _, z := range zones {
		for _, a := range []netip.Addr{z.IPv4, z.IPv6} {
			if a.IsValid() {
				all = append(all, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	return all
}

// name names a set of clients; everyone has the empty name.
func (j *judge) name(peers []netip.Prefix) string {
	if slices.Equal(peers, secgroup.Everyone()) {
		return ""
	}
	return j.sets.Add(peers)
}

// inbound is the rules that clients of the load balancer meet.
func (j *judge) inbound() secgroup.Set { return j.compile(j.groups, false, j.members) }

// listener fills in who may connect to a listener.
func (j *judge) listener(inbound secgroup.Set, l *lb.ZonalListener) {
	if len(j.groups) == 0 {
		return
	}
	for _, transport := range l.Protocol.Transports() {
		l.Clients.Set(transport, j.name(inbound.Peers(traffic(transport, l.Port))))
	}
}

// echo names the clients that may send echo requests.
func (j *judge) echo(inbound secgroup.Set) string {
	if len(j.groups) == 0 {
		return ""
	}
	const request4, request6 = 8, 128
	var peers []netip.Prefix
	for _, p := range inbound.Peers(secgroup.ICMP(request4, 0)) {
		if p.Addr().Is4() {
			peers = append(peers, p)
		}
	}
	for _, p := range inbound.Peers(secgroup.ICMPv6(request6, 0)) {
		if p.Addr().Is6() {
			peers = append(peers, p)
		}
	}
	return j.name(secgroup.Widest(peers))
}

func traffic(transport lb.Protocol, port uint16) secgroup.Traffic {
	if transport == lb.UDP {
		return secgroup.UDP(port)
	}
	return secgroup.TCP(port)
}

// target fills in what reaches a target of a group from one zone's edge, which
// has the load balancer's addresses in that zone.
func (j *judge) target(g lb.ZonalGroup, t *lb.ZonalTarget, from state.ZoneMapping) {
	if !t.Addr.IsValid() {
		return
	}
	source, carried := sourceFor(t.Addr, from), j.network.SecurityGroupsAt(t.Addr)
	for _, transport := range g.Protocol.Transports() {
		if !j.sends(carried, traffic(transport, t.Port), t.Addr) {
			t.OutboundBlocked = append(t.OutboundBlocked, transport)
		}
		switch {
		case g.PreserveClientIP:
			t.Clients.Set(transport, j.clients(carried, transport, t.Port))
		case !j.takes(carried, traffic(transport, t.Port), source):
			t.Clients.Set(transport, j.name([]netip.Prefix{}))
		}
	}
	t.HealthCheckBlocked = !j.reaches(secgroup.TCP(healthCheckPort(g.HealthCheck, t.Port)), t.Addr, from)
}

// sourceFor is the load balancer's own address that a target sees.
func sourceFor(target netip.Addr, from state.ZoneMapping) netip.Addr {
	if target.Is6() {
		return from.IPv6
	}
	return from.IPv4
}

// reaches reports whether what a load balancer sends from an address of its own
// gets out and in: such as health checks.
func (j *judge) reaches(t secgroup.Traffic, target netip.Addr, from state.ZoneMapping) bool {
	carried := j.network.SecurityGroupsAt(target)
	return j.sends(carried, t, target) && j.takes(carried, t, sourceFor(target, from))
}

func healthCheckPort(check lb.HealthCheck, traffic uint16) uint16 {
	if port, err := strconv.ParseUint(check.Port, 10, 16); err == nil {
		return uint16(port)
	}
	return traffic
}

// sends reports whether the load balancer's outbound rules let it send to a
// target that carries some groups.
func (j *judge) sends(carried []string, t secgroup.Traffic, to netip.Addr) bool {
	if len(j.groups) == 0 {
		return true
	}
	set := j.once("out "+strings.Join(carried, " "), func() secgroup.Set {
		return j.compile(j.groups, true, carriedBy(carried))
	})
	return set.Allows(t, to)
}

// ingress is the inbound rules of a target that carries some groups. One that
// names a group means load balancers that carry it, never the clients behind
// them, even when those keep their addresses.
func (j *judge) ingress(carried []string) secgroup.Set {
	return j.once("in "+strings.Join(carried, " "), func() secgroup.Set {
		return j.compile(carried, false, carriedBy(j.groups))
	})
}

func (j *judge) once(key string, make func() secgroup.Set) secgroup.Set {
	set, known := j.compiled[key]
	if !known {
		set = make()
		j.compiled[key] = set
	}
	return set
}

// takes reports whether a target takes what the load balancer sends from an
// address of its own.
func (j *judge) takes(carried []string, t secgroup.Traffic, from netip.Addr) bool {
	return len(carried) == 0 || j.ingress(carried).Allows(t, from)
}

// clients names the clients that a target takes when it sees their addresses.
func (j *judge) clients(carried []string, transport lb.Protocol, port uint16) string {
	if len(carried) == 0 {
		return ""
	}
	key := clientsKey{strings.Join(carried, " "), transport, port}
	name, known := j.names[key]
	if !known {
		name = j.name(j.ingress(carried).Peers(traffic(transport, port)))
		j.names[key] = name
	}
	return name
}
