package names

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

const dnsName = "Web-1.elb.us-west-2.amazonaws.com"

// situation is what an answer depends on, in short.
type situation struct {
	balancer, first, second map[string]string // attributes
	health                  map[string]string // "zone group target" to state
	down                    []string          // zones without an edge
	draining                []string          // "group target"
}

var zones = []string{"a", "b", "c"}

// network has an instance per zone: i-a, i-b, i-c.
func network() *inventory.Index {
	var f inventory.File
	for i, z := range zones {
		subnet := inventory.Subnet{SubnetID: "subnet-" + z, VPCID: "vpc-1", AvailabilityZone: z, CIDRBlock: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)}
		f.Subnets = append(f.Subnets, subnet)
		f.Instances = append(f.Instances, inventory.Instance{InstanceID: "i-" + z, Interfaces: []inventory.NetworkInterface{{SubnetID: subnet.SubnetID, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i), 99})}}}})
	}
	return inventory.NewIndex(f)
}

// build puts a load balancer in zones a and b with two groups, both with a
// target in each of them, and makes the edges report.
func build(t *testing.T, s situation) (store.Reader, *targethealth.Registry) {
	t.Helper()
	db := statetest.New(t)
	err := db.Update(func(tx *store.Tx) error {
		state.LoadBalancers.Put(tx, state.LoadBalancer{ARN: "b", Name: "Web", DNSName: dnsName, Attributes: s.balancer, Zones: []state.ZoneMapping{
			{Zone: "a", IPv4: netip.MustParseAddr("10.0.0.4"), IPv6: netip.MustParseAddr("2001:db8::4")}, {Zone: "b", IPv4: netip.MustParseAddr("10.0.1.4")},
		}})
		for arn, attributes := range map[string]map[string]string{"first": s.first, "second": s.second} {
			state.TargetGroups.Put(tx, state.TargetGroup{ARN: arn, Protocol: lb.TCP, TargetType: lb.InstanceTarget, IPAddressType: lb.IPv4, Attributes: attributes})
			state.Listeners.Put(tx, state.Listener{ARN: "l-" + arn, LoadBalancerARN: "b", Forward: []lb.WeightedGroup{{TargetGroupARN: arn}}})
			for _, id := range []string{"i-a", "i-b"} {
				target := state.Target{TargetGroupARN: arn, ID: id, Port: 1}
				for _, d := range s.draining {
					if d == arn+" "+id {
						target.DrainUntil = target.DrainUntil.AddDate(1, 0, 0)
					}
				}
				state.Targets.Put(tx, target)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	registry := targethealth.NewRegistry()
	for _, z := range zones[:2] {
		report := lb.HealthReport{Zone: z, Full: true}
		for _, g := range []string{"first", "second"} {
			for _, id := range []string{"i-a", "i-b"} {
				if h, ok := s.health[z+" "+g+" "+id]; ok {
					report.Targets = append(report.Targets, lb.TargetHealthReport{Target: lb.TargetKey{TargetGroupARN: g, ID: id, Port: 1}, Health: lb.TargetHealth{State: lb.HealthState(h)}})
				}
			}
		}
		registry.Take(report)
	}
	for _, z := range s.down {
		registry.Disconnected(z)
	}
	return db.Current(), registry
}

func TestANameLeadsToTheZonesThatCanServe(t *testing.T) {
	all := map[string]string{"a first i-a": "healthy", "b first i-b": "healthy", "a second i-a": "healthy", "b second i-b": "healthy"}
	with := func(pairs ...string) map[string]string {
		health := maps.Clone(all)
		for i := 0; i < len(pairs); i += 2 {
			health[pairs[i]] = pairs[i+1]
		}
		return health
	}
	a, b, both := []string{"10.0.0.4", "2001:db8::4"}, []string{"10.0.1.4"}, []string{"10.0.0.4", "2001:db8::4", "10.0.1.4"}
	tests := map[string]struct {
		situation
		want []string
	}{
		"all healthy":                               {situation{health: all}, both},
		"no report yet":                             {situation{}, both},
		"a zone without a healthy target":           {situation{health: with("b first i-b", "unhealthy")}, a},
		"every zone fails for some group":           {situation{health: with("a first i-a", "unhealthy", "b second i-b", "unhealthy")}, both},
		"a group that is unhealthy everywhere":      {situation{health: with("a first i-a", "unhealthy", "b first i-b", "unhealthy")}, both},
		"the same while a zone fails another group": {situation{health: with("a first i-a", "unhealthy", "b first i-b", "unhealthy", "a second i-a", "unhealthy")}, b},
		"cross-zone on, the other zone's target":    {situation{balancer: map[string]string{lb.AttrCrossZone: "true"}, health: with("b first i-b", "unhealthy", "b first i-a", "healthy")}, both},
		"a draining target does not count":          {situation{health: all, draining: []string{"first i-b"}}, a},
		"an edge that is away":                      {situation{health: all, down: []string{"a"}}, b},
		"all edges away":                            {situation{health: all, down: []string{"a", "b"}}, both},
		"failover off for the group":                {situation{first: map[string]string{lb.AttrDNSFailoverCount: "off"}, health: with("b first i-b", "unhealthy")}, both},
		"a threshold of two with cross-zone": {situation{balancer: map[string]string{lb.AttrCrossZone: "true"}, first: map[string]string{lb.AttrDNSFailoverCount: "2"},
			health: with("a first i-b", "healthy", "b first i-a", "unhealthy")}, a},
		"a percentage": {situation{balancer: map[string]string{lb.AttrCrossZone: "true"}, first: map[string]string{lb.AttrDNSFailoverPercentage: "51"},
			health: with("a first i-b", "unhealthy", "b first i-a", "healthy")}, b},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, registry := build(t, test.situation)
			if diff := cmp.Diff(test.want, lookUp(t, r, registry, dnsName)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

func lookUp(t *testing.T, r store.Reader, registry *targethealth.Registry, name string) []string {
	t.Helper()
	addresses, ok := Addresses(r, network(), registry, name)
	if !ok {
		return nil
	}
	out := []string{}
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return out
}

func TestNamesInAnyCaseAndByZone(t *testing.T) {
	r, registry := build(t, situation{health: map[string]string{"a first i-a": "healthy", "a second i-a": "healthy"}})
	for name, want := range map[string][]string{
		dnsName:                             {"10.0.0.4", "2001:db8::4"},
		"web-1.elb.us-west-2.amazonaws.com": {"10.0.0.4", "2001:db8::4"},
		"b." + dnsName:                      {"10.0.1.4"}, // its own zone, healthy or not
		"c." + dnsName:                      nil,
		"a.b." + dnsName:                    nil,
		"elb.us-west-2.amazonaws.com":       nil,
		"":                                  nil,
	} {
		if diff := cmp.Diff(want, lookUp(t, r, registry, name)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", name, diff)
		}
	}
}
