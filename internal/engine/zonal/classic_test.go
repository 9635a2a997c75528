package zonal_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

func TestSecurityGroupsOfAClassicLoadBalancer(t *testing.T) {
	f, err := inventory.Parse([]byte(guarded))
	if err != nil {
		t.Fatal(err)
	}
	db := statetest.New(t)
	b := state.ClassicLoadBalancer{
		ARN: "b", Name: "web", SecurityGroups: []string{"sg-lb"}, Zones: []state.ZoneMapping{{Zone: "a", IPv4: netip.MustParseAddr("198.18.16.100")}},
		Listeners: []lb.ClassicListener{
			{Port: 80, Protocol: lb.HTTP, InstancePort: 30080, InstanceProtocol: lb.HTTP},
			{Port: 443, Protocol: lb.HTTPS, InstancePort: 30080, InstanceProtocol: lb.HTTP, CertificateARN: "www"},
			{Port: 81, Protocol: lb.TCP, InstancePort: 30081, InstanceProtocol: lb.TCP},
		},
		Attributes: state.ClassicAttributes{AccessLog: state.ClassicAccessLog{Enabled: true, Bucket: "logs", EmitIntervalMinutes: 5}},
	}
	err = db.Update(func(tx *store.Tx) error {
		state.ClassicLoadBalancers.Put(tx, b)
		for _, id := range []string{"i-node", "i-db", "i-bare"} {
			state.ClassicInstances.Put(tx, state.ClassicInstance{LoadBalancerARN: "b", InstanceID: id})
		}
		for i, text := range []string{
			"sg-lb in tcp 80 203.0.113.0/24", "sg-lb in tcp 443 0.0.0.0/0", "sg-lb in tcp 443 ::/0",
			"sg-lb out -1 * 0.0.0.0/0", "sg-nodes in tcp 30080 sg-lb", "sg-db in -1 * 198.18.16.100/32",
		} {
			state.SecurityGroupRules.Put(tx, rule(t, string(rune('a'+i)), text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	part := zonal.ClassicParts(db.Current(), inventory.NewIndex(f), b)["a"]
	clients := map[uint16][]netip.Prefix{}
	for port, set := range part.Classic.Clients {
		clients[port] = part.ClientSets[set]
	}
	want := map[uint16][]netip.Prefix{80: {netip.MustParsePrefix("203.0.113.0/24")}, 81: {}}
	if diff := cmp.Diff(want, clients, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("clients by port, everyone left out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]uint16{"i-node": {30081}}, part.Classic.Unreachable); diff != "" {
		t.Errorf("instance ports out of reach (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&lb.AccessLog{Bucket: "logs", Interval: 5 * time.Minute}, part.Classic.AccessLog); diff != "" {
		t.Errorf("access log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"www"}, part.Certificates()); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
}

func TestAccessLogOfANetworkLoadBalancer(t *testing.T) {
	network := inventory.NewIndex(inventory.File{})
	b := state.LoadBalancer{ARN: "b", Zones: []state.ZoneMapping{{Zone: "a"}}, Attributes: map[string]string{lb.AttrAccessLogsBucket: "logs", lb.AttrAccessLogsPrefix: "shop"}}
	r := statetest.New(t).Current()
	if log := zonal.Parts(r, network, b)["a"].Balancer.AccessLog; log != nil {
		t.Errorf("got %+v while logs are off", log)
	}
	b.Attributes[lb.AttrAccessLogsEnabled] = "true"
	want := &lb.AccessLog{Bucket: "logs", Prefix: "shop", Interval: 5 * time.Minute}
	if diff := cmp.Diff(want, zonal.Parts(r, network, b)["a"].Balancer.AccessLog); diff != "" {
		t.Errorf("access log (-want +got):\n%s", diff)
	}
}
