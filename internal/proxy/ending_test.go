package proxy

import (
	"net/netip"
	"testing"
	"time"
)

func TestWhichConnectionsEnd(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	addr := netip.MustParseAddrPort("198.18.0.1:80")
	at := placement{pool: "p", id: "i-1", addr: addr}
	healthy := Target{ID: "i-1", Addr: addr, Eligible: true, Healthy: true}
	with := func(change func(*Target)) []Target {
		target := healthy
		change(&target)
		return []Target{target}
	}
	draining := func(until time.Duration) []Target {
		return with(func(t *Target) { t.Eligible, t.DrainUntil = false, now.Add(until) })
	}
	unhealthy := with(func(t *Target) { t.Healthy, t.Eligible = false, false })
	for name, test := range map[string]struct {
		pools []Pool
		want  bool
	}{
		"a healthy target's stay":                                  {[]Pool{{Key: "p", Targets: []Target{healthy}, UnhealthyTermination: true, DrainTermination: true}}, false},
		"an unhealthy target's end":                                {[]Pool{{Key: "p", Targets: unhealthy, UnhealthyTermination: true}}, true},
		"an unhealthy target's stay without termination":           {[]Pool{{Key: "p", Targets: unhealthy}}, false},
		"an unhealthy target's stay when the pool fails open":      {[]Pool{{Key: "p", Targets: with(func(t *Target) { t.Healthy = false }), UnhealthyTermination: true}}, false},
		"a draining target's stay":                                 {[]Pool{{Key: "p", Targets: draining(time.Second), DrainTermination: true}}, false},
		"a drained target's end":                                   {[]Pool{{Key: "p", Targets: draining(0), DrainTermination: true}}, true},
		"a drained target's stay without termination":              {[]Pool{{Key: "p", Targets: draining(-time.Hour)}}, false},
		"a target that is gone ends them":                          {[]Pool{{Key: "p", DrainTermination: true}}, true},
		"a target that is gone lets them be without termination":   {[]Pool{{Key: "p"}}, false},
		"another address under the same ID is another target":      {[]Pool{{Key: "p", DrainTermination: true, Targets: with(func(t *Target) { t.Addr = netip.MustParseAddrPort("198.18.0.2:80") })}}, true},
		"a pool that is gone lets them be":                         {[]Pool{{Key: "other", DrainTermination: true}}, false},
		"a weight of zero ends them":                               {[]Pool{{Key: "p", Targets: []Target{healthy}}, {Key: "other", Weight: 1}}, true},
		"a single pool's weight means nothing":                     {[]Pool{{Key: "p", Targets: []Target{healthy}}}, false},
		"a positive weight beside others keeps them":               {[]Pool{{Key: "p", Weight: 1, Targets: []Target{healthy}}, {Key: "other"}}, false},
		"the same target in another pool does not save them":       {[]Pool{{Key: "other", Weight: 1, Targets: []Target{healthy}}, {Key: "p", Weight: 1, DrainTermination: true}}, true},
		"a listener without pools lets them be (they are not its)": {nil, false},
	} {
		if got := ends(test.pools, at, now); got != test.want {
			t.Errorf("%s: ends = %v", name, got)
		}
	}
}

func TestNextEndIsTheFirstDrainTimeThatTerminates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	until := func(offsets ...time.Duration) (all []Target) {
		for _, o := range offsets {
			all = append(all, Target{DrainUntil: now.Add(o)})
		}
		return all
	}
	pools := []Pool{
		{Key: "stays", Targets: until(time.Second)},
		{Key: "ends", DrainTermination: true, Targets: append(until(-time.Second, 0, 3*time.Second, 2*time.Second), Target{})},
	}
	if got, want := nextEnd(pools, now), now.Add(2*time.Second); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := nextEnd(pools[:1], now); !got.IsZero() {
		t.Errorf("without termination: got %v, want never", got)
	}
}
