package health

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var netipCmp = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func TestDesired(t *testing.T) {
	snapshot := lb.ZoneSnapshot{
		LoadBalancers: []lb.ZonalBalancer{{
			IPv4: netip.MustParseAddr("198.18.16.200"), IPv6: netip.MustParseAddr("2001:db8:0:1::200"),
			Listeners: []lb.ZonalListener{{Port: 80, Forward: []lb.WeightedGroup{{TargetGroupARN: "web"}, {TargetGroupARN: "web6"}}}},
		}},
		TargetGroups: []lb.ZonalGroup{
			{ARN: "web",
				HealthCheck: lb.HealthCheck{Protocol: lb.HTTP, Port: "32000", Path: "/healthz", Matcher: "200", Interval: 5 * time.Second, Timeout: 2 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 3},
				Targets: []lb.ZonalTarget{{ID: "i-1", Port: 30080, Addr: netip.MustParseAddr("198.18.16.16")}, {ID: "i-gone", Port: 30080},
					{ID: "i-2", Port: 30080, Addr: netip.MustParseAddr("198.18.16.17"), HealthCheckBlocked: true}}},
			{ARN: "web6", UnhealthyDrainingInterval: time.Minute, HealthCheck: lb.HealthCheck{Protocol: lb.HTTPS, Port: lb.TrafficPort},
				Targets: []lb.ZonalTarget{{ID: "i-1", Port: 443, Addr: netip.MustParseAddr("2001:db8:0:1::10")}}},
			{ARN: "idle", UnhealthyTermination: true, UnhealthyDrainingInterval: time.Minute,
				Targets: []lb.ZonalTarget{{ID: "i-1", Port: 9000, Addr: netip.MustParseAddr("198.18.16.16")}}},
		},
	}
	got, err := Desired(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	want := map[lb.TargetKey]Target{
		{TargetGroupARN: "web", ID: "i-1", Port: 30080}: {
			Protocol: lb.HTTP, Addr: netip.MustParseAddrPort("198.18.16.16:32000"), Host: "198.18.16.200:80", Path: "/healthz", Matcher: "200",
			Interval: 5 * time.Second, Timeout: 2 * time.Second, Rules: Rules{HealthyThreshold: 2, UnhealthyThreshold: 3}},
		{TargetGroupARN: "web", ID: "i-2", Port: 30080}: {
			Protocol: lb.HTTP, Addr: netip.MustParseAddrPort("198.18.16.17:32000"), Host: "198.18.16.200:80", Path: "/healthz", Matcher: "200",
			Interval: 5 * time.Second, Timeout: 2 * time.Second, Rules: Rules{HealthyThreshold: 2, UnhealthyThreshold: 3}, Blocked: true},
		{TargetGroupARN: "web6", ID: "i-1", Port: 443}: {
			Protocol: lb.HTTPS, Addr: netip.MustParseAddrPort("[2001:db8:0:1::10]:443"), Host: "[2001:db8:0:1::200]:80", Path: "/", Matcher: "200-399",
			Interval: 30 * time.Second, Timeout: 10 * time.Second, Rules: Rules{HealthyThreshold: 5, UnhealthyThreshold: 2, UnhealthyDraining: time.Minute}},
		{TargetGroupARN: "idle", ID: "i-1", Port: 9000}: {
			Protocol: lb.TCP, Addr: netip.MustParseAddrPort("198.18.16.16:9000"), Host: "198.18.16.16:9000",
			Interval: 30 * time.Second, Timeout: 10 * time.Second, Rules: Rules{HealthyThreshold: 5, UnhealthyThreshold: 2}},
	}
	if diff := cmp.Diff(want, got, netipCmp); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDesiredReportsAllProblemsAndChecksNevertheless(t *testing.T) {
	target := []lb.ZonalTarget{{ID: "i-1", Port: 80, Addr: netip.MustParseAddr("198.18.16.16")}}
	got, err := Desired(lb.ZoneSnapshot{TargetGroups: []lb.ZonalGroup{
		{ARN: "a", Targets: target, HealthCheck: lb.HealthCheck{Protocol: lb.HTTP, Matcher: "fine"}},
		{ARN: "b", Targets: target, HealthCheck: lb.HealthCheck{Protocol: lb.UDP, Port: "http"}},
	}})
	for _, want := range []string{`"fine"`, `"UDP"`, `"http"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want it to name %s", err, want)
		}
	}
	if got[lb.TargetKey{TargetGroupARN: "a", ID: "i-1", Port: 80}].Matcher != DefaultMatcher {
		t.Errorf("group a is checked as %+v, want the default matcher", got)
	}
	if got[lb.TargetKey{TargetGroupARN: "b", ID: "i-1", Port: 80}].Addr.Port() != 80 {
		t.Errorf("group b is checked as %+v, want the traffic port", got)
	}
}
