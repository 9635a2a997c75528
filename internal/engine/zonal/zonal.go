// Package zonal decides what depends on zones: where a target is, which edges
// use it, and what the edge of a zone needs to know.
//
// Invariants: pure; a function of one revision of the state and one inventory.
// Only what Part was asked about is read, so the cost of a change is that of
// the load balancers it touches.
package zonal

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/attributes"
	"github.com/fairlead-lb/fairlead/internal/engine/secgroup"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// AllZones is the zone of a target that every edge uses: an address outside
// the VPC's subnets that was registered with "all".
const AllZones = "all"

// Group is a target group with the load balancer that it serves, if any.
type Group struct {
	state.TargetGroup
	Balancer  state.LoadBalancer // zero unless Attached
	Attached  bool
	CrossZone bool // effective
	network   *inventory.Index
}

// NewGroup looks up what a target group depends on. A Network Load Balancer's
// group belongs to one load balancer.
func NewGroup(r store.Reader, network *inventory.Index, g state.TargetGroup) Group {
	group := Group{TargetGroup: g, network: network}
	if l, ok := state.ListenersByTargetGroup.First(r, g.ARN); ok {
		group.Balancer, group.Attached = state.LoadBalancers.Get(r, l.LoadBalancerARN)
		group.CrossZone = attributes.CrossZone(group.Balancer, g)
	}
	return group
}

// Zone is the availability zone of a target: where its instance or its
// address's subnet lies, or AllZones. Empty when the inventory does not know.
func (g Group) Zone(t state.Target) string {
	if g.TargetType == lb.InstanceTarget {
		instance, _ := g.network.Instance(t.ID)
		return g.network.ZoneOf(instance)
	}
	if t.Zone != "" {
		return t.Zone
	}
	addr, _ := netip.ParseAddr(t.ID)
	subnet, _ := g.network.SubnetAt(g.VPCID, addr)
	return subnet.AvailabilityZone
}

// Address is where packets for a target go; the zero Addr when that is unknown.
func (g Group) Address(t state.Target) netip.Addr {
	if g.TargetType == lb.InstanceTarget {
		instance, _ := g.network.Instance(t.ID)
		return instance.PrimaryAddress(g.IPAddressType == lb.IPv6)
	}
	addr, _ := netip.ParseAddr(t.ID)
	return addr
}

// siblings are all addresses of the machine behind a target.
func (g Group) siblings(t state.Target) []netip.Prefix {
	if g.TargetType == lb.InstanceTarget {
		instance, _ := g.network.Instance(t.ID)
		return instance.AllPrefixes()
	}
	instance, ok := g.network.InstanceAt(g.Address(t))
	if !ok {
		return nil
	}
	return instance.AllPrefixes()
}

// running reports whether a target's machine can serve; of an address nothing
// is known.
func (g Group) running(t state.Target) bool {
	if g.TargetType != lb.InstanceTarget {
		return true
	}
	instance, known := g.network.Instance(t.ID)
	return known && instance.Running()
}

// EdgeZones are the zones whose edges use a target: its own, or every enabled
// one with cross-zone load balancing. None when the group serves no load
// balancer, the target's zone is not enabled, its instance does not run or its
// registration is pending.
func (g Group) EdgeZones(t state.Target) []string {
	zone := g.Zone(t)
	_, enabled := g.Balancer.Zone(zone)
	switch {
	case !g.Attached || !g.running(t) || !t.PendingUntil.IsZero() || !enabled && zone != AllZones:
		return nil
	case g.CrossZone || zone == AllZones:
		zones := make([]string, len(g.Balancer.Zones))
		for i, z := range g.Balancer.Zones {
			zones[i] = z.Zone
		}
		return zones
	default:
		return []string{zone}
	}
}

// Part is what one load balancer adds to a zone's snapshot. Balancer is that of
// a Network Load Balancer and stays empty beside Classic.
type Part struct {
	Balancer lb.ZonalBalancer
	Classic  *lb.ClassicBalancer
	Groups   []lb.ZonalGroup

	ClientSets lb.ClientSets // what Balancer and Groups name
	DependsOn  []Dependency  // sorted
}

// Certificates are the ARNs of the certificates that the part's listeners serve.
func (p Part) Certificates() []string {
	var arns []string
	for _, l := range p.Balancer.Listeners {
		arns = append(arns, l.Certificates...)
	}
	if p.Classic != nil {
		for _, l := range p.Classic.Listeners {
			if l.CertificateARN != "" {
				arns = append(arns, l.CertificateARN)
			}
		}
	}
	return arns
}

// clientSets are the names of the sets of clients that the part's listeners and
// targets refer to; a zone need not know those of another zone's targets.
func (p Part) clientSets() []string {
	names := []string{p.Balancer.EchoClients}
	for _, l := range p.Balancer.Listeners {
		names = append(names, l.Clients.TCP, l.Clients.UDP)
	}
	for _, g := range p.Groups {
		for _, t := range g.Targets {
			names = append(names, t.Clients.TCP, t.Clients.UDP)
		}
	}
	if p.Classic != nil {
		names = slices.AppendSeq(names, maps.Values(p.Classic.Clients))
	}
	return names
}

// Parts returns a load balancer's part in each zone that it is enabled in.
func Parts(r store.Reader, network *inventory.Index, b state.LoadBalancer) map[string]Part {
	parts := make(map[string]Part, len(b.Zones))
	j := newJudge(r, network, b.SecurityGroups)
	inbound := j.inbound()
	listeners, echo, log := zonalListeners(r, b, j, inbound), j.echo(inbound), attributes.AccessLog(b)
	for _, z := range b.Zones {
		parts[z.Zone] = Part{Balancer: lb.ZonalBalancer{ARN: b.ARN, Name: b.Name, IPv4: z.IPv4, IPv6: z.IPv6, Listeners: listeners, AccessLog: log, EchoClients: echo}}
	}
	for _, arn := range state.GroupsOfLoadBalancer(r, b.ARN) {
		g, ok := state.TargetGroups.Get(r, arn)
		if !ok {
			continue
		}
		for zone, zonal := range zonalGroups(r, NewGroup(r, network, g), j) {
			part := parts[zone]
			part.Groups = append(part.Groups, zonal)
			parts[zone] = part
		}
	}
	return j.seal(parts)
}

func zonalListeners(r store.Reader, b state.LoadBalancer, j *judge, inbound secgroup.Set) []lb.ZonalListener {
	listeners := []lb.ZonalListener{}
	for l := range state.ListenersByLoadBalancer.All(r, b.ARN) {
		zonal := lb.ZonalListener{
			ARN: l.ARN, Protocol: l.Protocol, Port: l.Port, IdleTimeout: attributes.IdleTimeout(l), Forward: l.Forward, Stickiness: l.Stickiness,
			Certificates: l.Certificates, SSLPolicy: l.SSLPolicy, ALPNPolicy: l.ALPNPolicy,
		}
		j.listener(inbound, &zonal)
		listeners = append(listeners, zonal)
	}
	slices.SortFunc(listeners, func(a, b lb.ZonalListener) int { return int(a.Port) - int(b.Port) })
	return listeners
}

// zonalGroups returns the group as each enabled zone sees it.
func zonalGroups(r store.Reader, g Group, j *judge) map[string]lb.ZonalGroup {
	routing := attributes.UnhealthyRouting(g.TargetGroup)
	common := lb.ZonalGroup{
		ARN: g.ARN, Name: g.Name, Protocol: g.Protocol, HealthCheck: g.HealthCheck, CrossZone: g.CrossZone,
		PreserveClientIP:              attributes.Enabled(g.TargetGroup, lb.AttrPreserveClientIP),
		ProxyProtocolV2:               attributes.Enabled(g.TargetGroup, lb.AttrProxyProtocolV2),
		Stickiness:                    attributes.Enabled(g.TargetGroup, lb.AttrStickinessEnabled),
		DeregistrationTermination:     attributes.Enabled(g.TargetGroup, lb.AttrDeregistrationTermination),
		UnhealthyTermination:          attributes.Enabled(g.TargetGroup, lb.AttrUnhealthyTermination),
		UnhealthyDrainingInterval:     attributes.UnhealthyDrainingInterval(g.TargetGroup),
		UnhealthyRoutingMinCount:      routing.Count,
		UnhealthyRoutingMinPercentage: routing.Percentage,
	}
	targets := map[string][]lb.ZonalTarget{}
	for t := range state.TargetsOfGroup(r, g.ARN) {
		zonal := lb.ZonalTarget{
			ID: t.ID, Port: t.Port, Zone: g.Zone(t), Addr: g.Address(t), Siblings: g.siblings(t), DrainUntil: t.DrainUntil,
		}
		for _, zone := range g.EdgeZones(t) {
			seen, from := zonal, mapping(g.Balancer.Zones, zone)
			j.target(common, &seen, from)
			targets[zone] = append(targets[zone], seen)
		}
	}
	zonal := map[string]lb.ZonalGroup{}
	for _, z := range g.Balancer.Zones {
		g := common
		g.Targets = append([]lb.ZonalTarget{}, targets[z.Zone]...)
		zonal[z.Zone] = g
	}
	return zonal
}
