package datapath

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// targetsOf builds a group of one target per state, 198.18.0.1 and on.
func targetsOf(states ...lb.HealthState) (lb.ZonalGroup, map[lb.TargetKey]lb.HealthState) {
	g := lb.ZonalGroup{ARN: "tg", Protocol: lb.TCP, PreserveClientIP: true, UnhealthyTermination: true}
	health := map[lb.TargetKey]lb.HealthState{}
	addr := netip.MustParseAddr("198.18.0.0")
	for i, s := range states {
		addr = addr.Next()
		id := string(rune('a' + i))
		g.Targets = append(g.Targets, lb.ZonalTarget{ID: id, Port: 80, Addr: addr})
		if s != "" {
			health[lb.TargetKey{TargetGroupARN: "tg", ID: id, Port: 80}] = s
		}
	}
	return g, health
}

func TestTargetsTakeFlowsAsTheirHealthSays(t *testing.T) {
	const (
		s = 1 // selectable
		x = 2 // terminate
	)
	drain := func(at time.Time) func(*lb.ZonalGroup) {
		return func(g *lb.ZonalGroup) { g.Targets[0].DrainUntil = at }
	}
	for name, tc := range map[string]struct {
		states   []lb.HealthState
		edit     func(*lb.ZonalGroup)
		want     []int
		failOpen bool
	}{
		"only healthy targets take flows":                  {states: []lb.HealthState{lb.Healthy, lb.Initial, lb.Unhealthy}, want: []int{s, 0, x}},
		"a target that was never asked is initial":         {states: []lb.HealthState{lb.Healthy, ""}, want: []int{s, 0}},
		"disabled checks do not exclude":                   {states: []lb.HealthState{lb.Unavailable}, want: []int{s}},
		"unhealthy draining keeps flows":                   {states: []lb.HealthState{lb.Healthy, lb.UnhealthyDraining}, want: []int{s, 0}},
		"all unhealthy fails open and terminates nothing":  {states: []lb.HealthState{lb.Unhealthy, lb.Unhealthy}, want: []int{s, s}, failOpen: true},
		"failing open leaves out who was never asked":      {states: []lb.HealthState{lb.Unhealthy, lb.Initial}, want: []int{s, 0}, failOpen: true},
		"nobody was asked yet":                             {states: []lb.HealthState{lb.Initial, lb.Initial}, want: []int{0, 0}, failOpen: true},
		"below the minimum count fails open":               {states: []lb.HealthState{lb.Healthy, lb.Unhealthy}, edit: func(g *lb.ZonalGroup) { g.UnhealthyRoutingMinCount = 2 }, want: []int{s, s}, failOpen: true},
		"below the minimum percentage fails open":          {states: []lb.HealthState{lb.Healthy, lb.Unhealthy, lb.Unhealthy}, edit: func(g *lb.ZonalGroup) { g.UnhealthyRoutingMinPercentage = 50 }, want: []int{s, s, s}, failOpen: true},
		"at the minimum percentage it does not":            {states: []lb.HealthState{lb.Healthy, lb.Unhealthy}, edit: func(g *lb.ZonalGroup) { g.UnhealthyRoutingMinPercentage = 50 }, want: []int{s, x}},
		"without unhealthy termination old flows go on":    {states: []lb.HealthState{lb.Healthy, lb.Unhealthy}, edit: func(g *lb.ZonalGroup) { g.UnhealthyTermination = false }, want: []int{s, 0}},
		"a draining target takes none and keeps its flows": {states: []lb.HealthState{lb.Healthy, lb.Healthy}, edit: drain(now.Add(-time.Hour)), want: []int{0, s}},
		"draining with termination lasts until its end": {states: []lb.HealthState{lb.Healthy, lb.Healthy}, want: []int{0, s}, edit: func(g *lb.ZonalGroup) {
			g.DeregistrationTermination = true
			drain(now.Add(time.Second))(g)
		}},
		"and no longer": {states: []lb.HealthState{lb.Healthy, lb.Healthy}, want: []int{x, s}, edit: func(g *lb.ZonalGroup) {
			g.DeregistrationTermination = true
			drain(now)(g)
		}},
		"draining targets do not count as healthy": {states: []lb.HealthState{lb.Healthy, lb.Unhealthy}, edit: drain(now), want: []int{0, s}, failOpen: true},
	} {
		t.Run(name, func(t *testing.T) {
			g, health := targetsOf(tc.states...)
			if tc.edit != nil {
				tc.edit(&g)
			}
			out := Desired(Input{Snapshot: lb.ZoneSnapshot{TargetGroups: []lb.ZonalGroup{g}}, Health: health, Now: now})
			var got []int
			for _, one := range out.Groups[0].Targets {
				bits := 0
				if one.Selectable {
					bits |= s
				}
				if one.Terminate {
					bits |= x
				}
				got = append(got, bits)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("1 selectable, 2 terminated (-want +got):\n%s", diff)
			}
			if out.Groups[0].FailOpen != tc.failOpen {
				t.Errorf("fails open: %t, want %t", out.Groups[0].FailOpen, tc.failOpen)
			}
		})
	}
}

func TestListenersBecomeOneEntryPerAddressAndProtocol(t *testing.T) {
	g, health := targetsOf(lb.Healthy)
	out := Desired(Input{Health: health, Now: now, Snapshot: lb.ZoneSnapshot{
		TargetGroups: []lb.ZonalGroup{g},
		LoadBalancers: []lb.ZonalBalancer{{
			ARN: "lb", IPv4: netip.MustParseAddr("198.18.0.100"), IPv6: netip.MustParseAddr("2001:db8::100"),
			Listeners: []lb.ZonalListener{
				{ARN: "both", Protocol: lb.TCPUDP, Port: 53, IdleTimeout: time.Minute, Forward: []lb.WeightedGroup{{TargetGroupARN: "tg"}}},
				{ARN: "tls", Protocol: lb.TLS, Port: 443, Forward: []lb.WeightedGroup{{TargetGroupARN: "tg"}}},
			},
		}},
	}})
	type entry struct {
		VIP      string
		Protocol lb.Protocol
		Idle     time.Duration
		Weight   int
	}
	var got []entry
	for _, l := range out.Listeners {
		got = append(got, entry{l.VIP.String(), l.Protocol, l.Idle, l.Forward[0].Weight})
	}
	want := []entry{
		{"198.18.0.100", lb.TCP, time.Minute, 1}, {"198.18.0.100", lb.UDP, 2 * time.Minute, 1},
		{"2001:db8::100", lb.TCP, time.Minute, 1}, {"2001:db8::100", lb.UDP, 2 * time.Minute, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listeners (-want +got):\n%s", diff)
	}
	unserved := []string{
		"listener both: 2001:db8::100 cannot reach target 198.18.0.1 of the other address family",
		"listener tls: protocol TLS needs a userspace listener",
	}
	if diff := cmp.Diff(unserved, out.Unserved); diff != "" {
		t.Errorf("unserved (-want +got):\n%s", diff)
	}
}

func TestListenersInUserSpaceAreLeftToTheKernel(t *testing.T) {
	g, health := targetsOf(lb.Healthy)
	vip4, vip6, classic := netip.MustParseAddr("198.18.0.100"), netip.MustParseAddr("2001:db8::100"), netip.MustParseAddr("198.18.0.101")
	sets := lb.ClientSets{}
	some := sets.Add([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")})
	out := Desired(Input{Health: health, Now: now, Snapshot: lb.ZoneSnapshot{
		TargetGroups: []lb.ZonalGroup{g}, ClientSets: sets,
		LoadBalancers: []lb.ZonalBalancer{{
			ARN: "lb", IPv4: vip4, IPv6: vip6,
			Listeners: []lb.ZonalListener{
				{ARN: "both", Protocol: lb.TCPUDP, Port: 53, Forward: []lb.WeightedGroup{{TargetGroupARN: "tg"}}},
				{ARN: "tls", Protocol: lb.TLS, Port: 443, Forward: []lb.WeightedGroup{{TargetGroupARN: "tg"}}},
			},
		}},
		Classic: []lb.ClassicBalancer{{
			ARN: "old", IPv4: classic, Clients: map[uint16]string{80: some},
			Listeners: []lb.ClassicListener{{Port: 80, Protocol: lb.HTTP}, {Port: 81, Protocol: lb.TCP}, {Port: 82, Protocol: lb.TCP}},
		}},
	}, Userspace: map[netip.AddrPort]bool{
		netip.AddrPortFrom(vip6, 53): true, netip.AddrPortFrom(vip4, 443): true, netip.AddrPortFrom(classic, 80): true, netip.AddrPortFrom(classic, 81): true,
	}})
	var got []string
	for _, l := range out.Listeners {
		got = append(got, fmt.Sprintf("%s %s %s local=%t clients=%q", l.ARN, netip.AddrPortFrom(l.VIP, l.Port), l.Protocol, l.Local, l.Clients))
	}
	want := []string{
		`both 198.18.0.100:53 TCP local=false clients=""`, `both 198.18.0.100:53 UDP local=false clients=""`,
		`both [2001:db8::100]:53 TCP local=true clients=""`, `both [2001:db8::100]:53 UDP local=false clients=""`,
		`old 198.18.0.101:80 TCP local=true clients="203.0.113.0/24"`, `old 198.18.0.101:81 TCP local=true clients=""`,
		`tls 198.18.0.100:443 TCP local=true clients=""`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listeners (-want +got):\n%s", diff)
	}
	unserved := []string{
		"listener 82 of old: protocol TCP needs a userspace listener",
		"listener both: 2001:db8::100 cannot reach target 198.18.0.1 of the other address family",
		"listener tls: protocol TLS needs a userspace listener",
	}
	if diff := cmp.Diff(unserved, out.Unserved); diff != "" {
		t.Errorf("unserved (-want +got):\n%s", diff)
	}
}

// TestClientsAreOfOneFamily: an address only meets clients of its family, so a
// set that holds all of them is everyone's, and one that holds none nobody's.
func TestClientsAreOfOneFamily(t *testing.T) {
	g, health := targetsOf(lb.Healthy)
	sets := lb.ClientSets{}
	name := func(prefixes ...string) string {
		var set []netip.Prefix
		for _, p := range prefixes {
			set = append(set, netip.MustParsePrefix(p))
		}
		return sets.Add(set)
	}
	all4, some := name("0.0.0.0/0"), name("203.0.113.0/24", "192.0.2.10/32", "2001:db8::/32")
	g.Targets[0].Clients = lb.Admission{TCP: all4, UDP: name()}
	g.Targets[0].OutboundBlocked = []lb.Protocol{lb.UDP}
	out := Desired(Input{Health: health, Now: now, Snapshot: lb.ZoneSnapshot{
		TargetGroups: []lb.ZonalGroup{g}, ClientSets: sets,
		LoadBalancers: []lb.ZonalBalancer{{
			ARN: "lb", IPv4: netip.MustParseAddr("198.18.0.100"), IPv6: netip.MustParseAddr("2001:db8::100"), EchoClients: "absent",
			Listeners: []lb.ZonalListener{
				{ARN: "l", Protocol: lb.TCPUDP, Port: 53, Clients: lb.Admission{TCP: all4, UDP: some}, Forward: []lb.WeightedGroup{{TargetGroupARN: "tg"}}},
			},
		}},
	}})
	got := map[string]string{}
	for _, l := range out.Listeners {
		got[string(l.Protocol)+" "+l.VIP.String()] = l.Clients
	}
	for vip, clients := range out.Balancers[0].Echo {
		got["echo "+vip.String()] = clients
	}
	target := out.Groups[0].Targets[0]
	got["target's TCP"], got["target's UDP"] = target.ClientsTCP, target.ClientsUDP
	want := map[string]string{
		"TCP 198.18.0.100": everyone, "UDP 198.18.0.100": "192.0.2.10/32 203.0.113.0/24",
		"TCP 2001:db8::100": nobody, "UDP 2001:db8::100": "2001:db8::/32",
		"echo 198.18.0.100": nobody, "echo 2001:db8::100": nobody,
		"target's TCP": everyone, "target's UDP": nobody,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if target.NoTCP || !target.NoUDP {
		t.Errorf("TCP is kept from the target: %t, UDP: %t; want UDP alone", target.NoTCP, target.NoUDP)
	}
	if len(out.Clients) != 2 {
		t.Errorf("sets of clients: %v, want those with prefixes alone", out.Clients)
	}
}

func TestOneAddressUnderTwoIDsIsOneTarget(t *testing.T) {
	g, health := targetsOf(lb.Healthy, lb.Unhealthy)
	g.Targets[1].Addr = g.Targets[0].Addr
	out := Desired(Input{Snapshot: lb.ZoneSnapshot{TargetGroups: []lb.ZonalGroup{g}}, Health: health, Now: now})
	want := []Target{{Addr: netip.MustParseAddrPort("198.18.0.1:80"), Selectable: true}}
	if diff := cmp.Diff(want, out.Groups[0].Targets, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestWeightZeroTakesNoNewFlows(t *testing.T) {
	snap := snapshot()
	forward := func(weights ...int) []Choice {
		l := &snap.LoadBalancers[0].Listeners[0]
		l.Forward, l.Stickiness = nil, true
		for i, w := range weights {
			l.Forward = append(l.Forward, lb.WeightedGroup{TargetGroupARN: snap.TargetGroups[i].ARN, Weight: w})
		}
		listener := Desired(Input{Snapshot: snap, Health: healthy(snap)}).Listeners[0]
		if !listener.Sticky {
			t.Error("stickiness of the forward action is lost")
		}
		return listener.Forward
	}
	snap.TargetGroups[1].Targets = nil
	if diff := cmp.Diff([]Choice{{"tg4", 3}, {"tg6", 1}}, forward(3, 1)); diff != "" {
		t.Errorf("both (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Choice{{"tg4", 1}}, forward(1, 0)); diff != "" {
		t.Errorf("second without weight (-want +got):\n%s", diff)
	}
	if got := forward(0, 0); len(got) != 0 {
		t.Errorf("neither has weight, and yet flows go to %v", got)
	}
}
