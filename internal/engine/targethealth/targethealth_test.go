package targethealth

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// network has running instances in zones a, b and c, and others in a.
func network() *inventory.Index {
	f := inventory.File{}
	add := func(id, zone, instanceState string, addr string) {
		f.Instances = append(f.Instances, inventory.Instance{InstanceID: id, State: instanceState,
			Interfaces: []inventory.NetworkInterface{{SubnetID: "subnet-" + zone, Addresses: []netip.Addr{netip.MustParseAddr(addr)}}}})
	}
	for i, z := range []string{"a", "b", "c"} {
		f.Subnets = append(f.Subnets, inventory.Subnet{SubnetID: "subnet-" + z, AvailabilityZone: z, CIDRBlock: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)})
		add("i-"+z, z, "", netip.AddrFrom4([4]byte{10, 0, byte(i), 9}).String())
	}
	add("i-stopped", "a", "stopped", "10.0.0.10")
	add("i-dead", "a", "terminated", "10.0.0.11")
	add("i-v6", "a", "running", "2001:db8::1")
	return inventory.NewIndex(f)
}

// group is a group that serves a load balancer in zones a and b.
func group(t *testing.T, attached, crossZone bool) zonal.Group {
	t.Helper()
	db := statetest.New(t)
	g := state.TargetGroup{ARN: "g", Protocol: lb.TCP, TargetType: lb.InstanceTarget, IPAddressType: lb.IPv4}
	err := db.Update(func(tx *store.Tx) error {
		b := state.LoadBalancer{ARN: "b", Zones: []state.ZoneMapping{{Zone: "a"}, {Zone: "b"}}}
		if crossZone {
			b.Attributes = map[string]string{lb.AttrCrossZone: "true"}
		}
		state.LoadBalancers.Put(tx, b)
		if attached {
			state.Listeners.Put(tx, state.Listener{ARN: "l", LoadBalancerARN: "b", Forward: []lb.WeightedGroup{{TargetGroupARN: "g"}}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return zonal.NewGroup(db.Current(), network(), g)
}

func report(zone, id string, h lb.TargetHealth) lb.HealthReport {
	return lb.HealthReport{Zone: zone, Targets: []lb.TargetHealthReport{{Target: lb.TargetKey{TargetGroupARN: "g", ID: id, Port: 1}, Health: h}}}
}

func TestAggregate(t *testing.T) {
	healthy := lb.TargetHealth{State: lb.Healthy}
	unhealthy := lb.TargetHealth{State: lb.Unhealthy, Reason: lb.Timeout, Description: "Request timed out"}
	checking := lb.TargetHealth{State: lb.Initial, Reason: lb.InitialHealthChecking, Description: "Initial health checks in progress"}
	tests := map[string]struct {
		detached, crossZone bool
		target              state.Target
		reports             []lb.HealthReport
		want                lb.TargetHealth
	}{
		"a group that nothing uses":      {detached: true, target: state.Target{ID: "i-a"}, want: lb.TargetHealth{State: lb.Unused, Reason: lb.NotInUse, Description: "Target group is not configured to receive traffic from the load balancer"}},
		"a zone that is not enabled":     {target: state.Target{ID: "i-c"}, want: lb.TargetHealth{State: lb.Unused, Reason: lb.NotInUse, Description: "Target is in an Availability Zone that is not enabled for the load balancer"}},
		"not enabled, with cross-zone":   {crossZone: true, target: state.Target{ID: "i-c"}, want: lb.TargetHealth{State: lb.Unused, Reason: lb.NotInUse, Description: "Target is in an Availability Zone that is not enabled for the load balancer"}},
		"no report":                      {target: state.Target{ID: "i-a"}, want: lb.TargetHealth{State: lb.Initial, Reason: lb.RegistrationInProgress, Description: "Target registration is in progress"}},
		"draining whatever edges say":    {target: state.Target{ID: "i-a", DrainUntil: time.Unix(1, 0)}, reports: []lb.HealthReport{report("a", "i-a", healthy)}, want: lb.TargetHealth{State: lb.Draining, Reason: lb.DeregistrationInProgress, Description: "Target deregistration is in progress"}},
		"first checks":                   {target: state.Target{ID: "i-a"}, reports: []lb.HealthReport{report("a", "i-a", checking)}, want: checking},
		"unhealthy":                      {target: state.Target{ID: "i-a"}, reports: []lb.HealthReport{report("a", "i-a", unhealthy)}, want: unhealthy},
		"a zone that does not use it":    {target: state.Target{ID: "i-a"}, reports: []lb.HealthReport{report("a", "i-a", unhealthy), report("b", "i-a", healthy)}, want: unhealthy},
		"healthy in one of two zones":    {crossZone: true, target: state.Target{ID: "i-a"}, reports: []lb.HealthReport{report("a", "i-a", unhealthy), report("b", "i-a", healthy)}, want: healthy},
		"a verdict beats waiting":        {crossZone: true, target: state.Target{ID: "i-a"}, reports: []lb.HealthReport{report("a", "i-a", checking), report("b", "i-a", unhealthy)}, want: unhealthy},
		"a stopped instance":             {target: state.Target{ID: "i-stopped"}, want: lb.TargetHealth{State: lb.Unused, Reason: lb.InvalidState, Description: "Target is in the stopped state"}},
		"a terminated instance":          {target: state.Target{ID: "i-dead"}, want: lb.TargetHealth{State: lb.Unused, Reason: lb.InvalidState, Description: "Target is in the terminated or invalid state"}},
		"an instance that is gone":       {target: state.Target{ID: "i-gone"}, want: lb.TargetHealth{State: lb.Unused, Reason: lb.InvalidState, Description: "Target is in the terminated or invalid state"}},
		"an instance without the family": {target: state.Target{ID: "i-v6"}, want: lb.TargetHealth{State: lb.Unused, Reason: lb.IPUnusable, Description: "Target IP address is not usable by the load balancer"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := NewRegistry()
			for _, r := range test.reports {
				x.Take(r)
			}
			test.target.TargetGroupARN, test.target.Port = "g", 1
			got := Aggregate(group(t, !test.detached, test.crossZone), network(), x, test.target)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRegistryEqualsItsModel: what a zone said last counts, a full report
// replaces all, and what it removed is gone.
func TestRegistryEqualsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, model := NewRegistry(), map[string]map[lb.TargetKey]lb.TargetHealth{"a": {}, "b": {}}
		ids, states := rapid.SampledFrom([]string{"1", "2", "3"}), rapid.SampledFrom([]lb.HealthState{lb.Initial, lb.Healthy, lb.Unhealthy})
		for range rapid.IntRange(0, 20).Draw(t, "reports") {
			r := lb.HealthReport{Zone: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone"), Full: rapid.IntRange(0, 4).Draw(t, "full") == 0}
			if r.Full {
				clear(model[r.Zone])
			}
			for _, id := range rapid.SliceOfNDistinct(ids, 0, 3, rapid.ID).Draw(t, "targets") {
				key := lb.TargetKey{TargetGroupARN: "g", ID: id}
				if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
					r.Removed = append(r.Removed, key)
					delete(model[r.Zone], key)
					continue
				}
				h := lb.TargetHealth{State: states.Draw(t, "state")}
				r.Targets = append(r.Targets, lb.TargetHealthReport{Target: key, Health: h})
				model[r.Zone][key] = h
			}
			x.Take(r)
		}
		for zone, targets := range model {
			for _, id := range []string{"1", "2", "3"} {
				key := lb.TargetKey{TargetGroupARN: "g", ID: id}
				got, ok := x.Health(zone, key)
				if want, known := targets[key]; ok != known || got != want {
					t.Fatalf("%s says of %s: %v, %t; want %v, %t", zone, id, got, ok, want, known)
				}
			}
		}
	})
}

func TestAZoneIsConnectedFromItsFirstReportUntilItLeaves(t *testing.T) {
	x := NewRegistry()
	expect := func(want bool) {
		t.Helper()
		if got := x.Connected("a"); got != want {
			t.Errorf("Connected = %t, want %t", got, want)
		}
	}
	expect(false)
	x.Take(lb.HealthReport{Zone: "a", Full: true})
	expect(true)
	x.Disconnected("a")
	expect(false)
	x.Take(lb.HealthReport{Zone: "a", Full: true})
	expect(true)
}
