package layout_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

func two(t testing.TB) layout.Layout {
	t.Helper()
	zones := []string{"us-west-2a", "us-west-2b"}
	l, err := layout.New("fl-", zones, layout.RoundRobin(zones, 3))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAddressesFollowThePlan(t *testing.T) {
	l := two(t)
	type row struct{ name, zone, provider, v4, v6, pods4, pods6 string }
	var got []row
	for _, n := range l.Nodes {
		got = append(got, row{n.Name, n.Zone, n.ProviderID()[:len("aws:///us-west-2a/i-")], n.IPv4.String(), n.IPv6.String(), n.Pods4.String(), n.Pods6.String()})
	}
	want := []row{
		{"node-1", "us-west-2a", "aws:///us-west-2a/i-", "198.18.16.16", "2001:db8:0:1::10", "198.18.17.0/24", "2001:db8:0:1:1::/80"},
		{"node-2", "us-west-2b", "aws:///us-west-2b/i-", "198.18.32.16", "2001:db8:0:2::10", "198.18.33.0/24", "2001:db8:0:2:1::/80"},
		{"node-3", "us-west-2a", "aws:///us-west-2a/i-", "198.18.16.17", "2001:db8:0:1::11", "198.18.18.0/24", "2001:db8:0:1:2::/80"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	z := l.Zones[1]
	gotZone := []string{z.ID, z.Subnet4.String(), z.Subnet6.String(), z.Edge4.String(), z.Edge6.String(), l.Region}
	wantZone := []string{"usw2-az2", "198.18.32.0/20", "2001:db8:0:2::/64", "198.18.32.4", "2001:db8:0:2::4", "us-west-2"}
	if diff := cmp.Diff(wantZone, gotZone); diff != "" {
		t.Errorf("zone (-want +got):\n%s", diff)
	}
	if got, want := l.Nodes[0].MAC(), "02:fa:c6:12:10:10"; got != want {
		t.Errorf("MAC: got %s, want %s", got, want)
	}
}

func TestNetworkIsOneThatTheKernelWouldAccept(t *testing.T) {
	if err := two(t).Network().Validate(); err != nil {
		t.Error(err)
	}
}

func TestOnlyPortsThatFaceAnEdgeAreChangedForXDP(t *testing.T) {
	var changed []string
	for _, c := range two(t).Network().Cables {
		for _, p := range []netlab.Port{c.A, c.B} {
			if p.FacesXDP {
				changed = append(changed, p.Namespace+"/"+p.Name)
			}
		}
	}
	if diff := cmp.Diff([]string{"fl-vpc/edge-a", "fl-vpc/edge-b"}, changed); diff != "" {
		t.Errorf("ports that face XDP (-want +got):\n%s", diff)
	}
}

func TestInventoryIsConsistent(t *testing.T) {
	f := two(t).Inventory("fairlead")
	for _, problem := range f.Validate() {
		t.Error(problem)
	}
	if got, want := f.SecurityGroups[0].Tags["kubernetes.io/cluster/fairlead"], "owned"; got != want {
		t.Errorf("cluster tag of the nodes' group: got %q, want %q", got, want)
	}
	for _, s := range f.Subnets {
		if s.Tags["kubernetes.io/role/elb"] != "1" || s.Tags["kubernetes.io/role/internal-elb"] != "1" || s.Tags["kubernetes.io/cluster/fairlead"] != "shared" {
			t.Errorf("tags of %s: %v", s.SubnetID, s.Tags)
		}
	}
}

// Whatever nodes a lab has, no two things share an address, everything lies in
// its zone's subnet, and what may come later is reserved.
func TestPropertyNoAddressIsUsedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfNDistinct(rapid.SampledFrom(strings.Split("abcdefghijklmno", "")), 1, layout.MaxZones, rapid.ID[string]).Draw(t, "zones")
		zones := make([]string, len(letters))
		for i, letter := range letters {
			zones[i] = "us-west-2" + letter
		}
		n := rapid.IntRange(0, len(zones)*layout.MaxNodesPerZone).Draw(t, "nodes")
		l, err := layout.New("fl-", zones, layout.RoundRobin(zones, n))
		if err != nil {
			t.Fatal(err)
		}
		f := l.Inventory("fairlead")
		for _, problem := range f.Validate() {
			t.Error(problem)
		}
		for _, node := range l.Nodes {
			zone, _ := l.Zone(node.Zone)
			for _, p := range []netip.Prefix{netip.PrefixFrom(node.IPv4, 32), netip.PrefixFrom(node.IPv6, 128), node.Pods4, node.Pods6} {
				if !within(p, zone.Subnet4) && !within(p, zone.Subnet6) {
					t.Errorf("%s of %s is not in its zone", p, node.Name)
				}
				if !reserved(p, f.Subnets[zone.Number-1].CIDRReservations) {
					t.Errorf("%s of %s is not reserved", p, node.Name)
				}
			}
		}
		for i, z := range l.Zones {
			if reserved(netip.PrefixFrom(z.Edge4, 32), f.Subnets[i].CIDRReservations) {
				t.Errorf("edge %s lies in a range for nodes", z.Edge4)
			}
		}
		if err := l.Network().Validate(); err != nil {
			t.Error(err)
		}
	})
}

func within(p, outer netip.Prefix) bool { return outer.Overlaps(p) && p.Bits() >= outer.Bits() }

func reserved(p netip.Prefix, ranges []netip.Prefix) bool {
	for _, r := range ranges {
		if within(p, r) {
			return true
		}
	}
	return false
}

func TestMistakesAreReportedAllAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		zones []string
		nodes []layout.NodeSpec
		want  []string
	}{
		"zones that are none": {[]string{"a", "us-west-2a", "us-west-2a", "eu-west-1b"}, nil,
			[]string{`zone "a"`, `zone "us-west-2a": occurs twice`, `zone "eu-west-1b": must be in region us-west-2`}},
		"no zone": {nil, nil, []string{"0 zones"}},
		"nodes without a place": {[]string{"us-west-2a"},
			[]layout.NodeSpec{{Name: "n1", Zone: "us-west-2b"}, {Name: "n2", Zone: "us-west-2a", Index: 15}, {Name: "n3", Zone: "us-west-2a"}, {Name: "n3", Zone: "us-west-2a", Index: 1}},
			[]string{`node n1: zone "us-west-2b" is not one of us-west-2a`, "node n2: zone us-west-2a has room for 15 nodes", "node n3: its name or place is that of n3"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := layout.New("fl-", c.zones, c.nodes)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to contain %q", err, want)
				}
			}
		})
	}
}

func TestFreedPlacesAreTakenFirst(t *testing.T) {
	nodes := []layout.NodeSpec{{Name: "node-1", Zone: "us-west-2a", Index: 0}, {Name: "node-3", Zone: "us-west-2a", Index: 2}, {Name: "node-2", Zone: "us-west-2b", Index: 1}}
	if got, want := layout.FreeIndex(nodes, "us-west-2a"), 1; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got, want := layout.FreeIndex(nodes, "us-west-2b"), 0; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}
