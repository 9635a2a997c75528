package zonal

import (
	"slices"
	"strconv"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/secgroup"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// Classic is a Classic Load Balancer in its network.
type Classic struct {
	state.ClassicLoadBalancer
	network *inventory.Index
}

// NewClassic puts a load balancer into its network.
func NewClassic(network *inventory.Index, b state.ClassicLoadBalancer) Classic {
	return Classic{b, network}
}

// port is the port of the health check.
func (c Classic) port() uint16 {
	port, _ := strconv.ParseUint(c.HealthCheck.Check.Port, 10, 16) // checked when it was configured
	return uint16(port)
}

// Key names a registered instance as edges report on it: by the port that they
// probe, so that a health check of another port starts anew.
func (c Classic) Key(i state.ClassicInstance) lb.TargetKey {
	return lb.TargetKey{TargetGroupARN: c.ARN, ID: i.InstanceID, Port: c.port()}
}

// EdgeZones are the zones whose edges use an instance: its own, or every one
// with cross-zone load balancing. None when its zone is not enabled or it does
// not run.
func (c Classic) EdgeZones(i state.ClassicInstance) []string {
	instance, known := c.network.Instance(i.InstanceID)
	own := c.network.ZoneOf(instance)
	var zones []string
	for _, z := range c.Zones {
		zones = append(zones, z.Zone)
	}
	switch {
	case !known || !instance.Running() || !slices.Contains(zones, own):
		return nil
	case c.Attributes.CrossZone:
		return zones
	default:
		return []string{own}
	}
}

// ClassicParts returns a Classic Load Balancer's part in each zone that it is
// enabled in: itself, and its instances as a group to be probed.
func ClassicParts(r store.Reader, network *inventory.Index, b state.ClassicLoadBalancer) map[string]Part {
	c := NewClassic(network, b)
	j := newJudge(r, network, b.SecurityGroups)
	targets, clients := c.targets(r, j), c.clients(j)
	parts := make(map[string]Part, len(b.Zones))
	for _, z := range b.Zones {
		parts[z.Zone] = Part{
			Classic: &lb.ClassicBalancer{
				ARN: b.ARN, Name: b.Name, IPv4: z.IPv4, Listeners: b.Listeners, Backends: b.Backends, Policies: b.Policies,
				IdleTimeout: time.Duration(b.Attributes.IdleTimeoutSeconds) * time.Second, DesyncMode: b.Attributes.DesyncMode,
				AccessLog: accessLog(b.Attributes.AccessLog), Clients: clients, Unreachable: c.unreachable(r, j, z),
			},
			Groups: []lb.ZonalGroup{{
				ARN: b.ARN, Name: b.Name, Protocol: lb.TCP, HealthCheck: b.HealthCheck.Check, CrossZone: b.Attributes.CrossZone,
				Targets: append([]lb.ZonalTarget{}, targets[z.Zone]...),
			}},
		}
	}
	return j.seal(parts)
}

// targets are the instances by the zone whose edge uses them.
func (c Classic) targets(r store.Reader, j *judge) map[string][]lb.ZonalTarget {
	targets := map[string][]lb.ZonalTarget{}
	for i := range state.InstancesOfClassic(r, c.ARN) {
		instance, _ := c.network.Instance(i.InstanceID)
		t := lb.ZonalTarget{
			ID: i.InstanceID, Port: c.port(), Zone: c.network.ZoneOf(instance), Addr: instance.PrimaryAddress(false),
			DrainUntil: i.DrainUntil,
		}
		for _, zone := range c.EdgeZones(i) {
			seen := t
			seen.HealthCheckBlocked = !j.reaches(secgroup.TCP(t.Port), t.Addr, mapping(c.Zones, zone))
			targets[zone] = append(targets[zone], seen)
		}
	}
	return targets
}

// clients names, by the port of a listener, the clients that inbound rules let
// in; ports that everyone may use are left out.
func (c Classic) clients(j *judge) map[uint16]string {
	if len(c.SecurityGroups) == 0 {
		return nil
	}
	inbound, clients := j.inbound(), map[uint16]string{}
	for _, l := range c.Listeners {
		if name := j.name(inbound.Peers(secgroup.TCP(l.Port))); name != "" {
			clients[l.Port] = name
		}
	}
	return clients
}

// unreachable are the instance ports that the load balancer's address in a zone
// cannot reach, by instance.
func (c Classic) unreachable(r store.Reader, j *judge, from state.ZoneMapping) map[string][]uint16 {
	blocked := map[string][]uint16{}
	for i := range state.InstancesOfClassic(r, c.ARN) {
		instance, _ := c.network.Instance(i.InstanceID)
		addr := instance.PrimaryAddress(false)
		if !addr.IsValid() || !slices.Contains(c.EdgeZones(i), from.Zone) {
			continue
		}
		for _, l := range c.Listeners {
			if !slices.Contains(blocked[i.InstanceID], l.InstancePort) && !j.reaches(secgroup.TCP(l.InstancePort), addr, from) {
				blocked[i.InstanceID] = append(blocked[i.InstanceID], l.InstancePort)
			}
		}
	}
	return blocked
}

func accessLog(a state.ClassicAccessLog) *lb.AccessLog {
	if !a.Enabled {
		return nil
	}
	return &lb.AccessLog{Bucket: a.Bucket, Prefix: a.Prefix, Interval: time.Duration(a.EmitIntervalMinutes) * time.Minute}
}
