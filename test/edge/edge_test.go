// Package edge_test proves edge and node helper together: the real binary, a
// hand-written snapshot, real TCP across namespaces.
package edge_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// snapshot has one load balancer per address family in front of both targets.
func snapshot(revision uint64) lb.ZoneSnapshot {
	const arn = "arn:aws:elasticloadbalancing:us-west-2:000000000000:"
	family := func(name, vip string, targets ...string) (lb.ZonalBalancer, lb.ZonalGroup) {
		group := lb.ZonalGroup{
			ARN: arn + "targetgroup/" + name + "/0123456789abcdef", Name: name, Protocol: lb.TCP,
			HealthCheck: lb.HealthCheck{Protocol: lb.TCP, Port: lb.TrafficPort, Interval: 5 * time.Second, Timeout: 2 * time.Second,
				HealthyThreshold: 2, UnhealthyThreshold: 2},
			PreserveClientIP: true, UnhealthyTermination: true, UnhealthyRoutingMinCount: 1,
		}
		for i, addr := range targets {
			group.Targets = append(group.Targets, lb.ZonalTarget{ID: fmt.Sprintf("i-%d", i+1), Port: 30080, Zone: zone, Addr: netip.MustParseAddr(addr)})
		}
		balancer := lb.ZonalBalancer{ARN: arn + "loadbalancer/net/" + name + "/0123456789abcdef", Name: name,
			Listeners: []lb.ZonalListener{{ARN: arn + "listener/net/" + name + "/0123456789abcdef/1", Protocol: lb.TCP, Port: 80,
				IdleTimeout: 350 * time.Second, Forward: []lb.WeightedGroup{{TargetGroupARN: group.ARN}}}}}
		if addr := netip.MustParseAddr(vip); addr.Is4() {
			balancer.IPv4 = addr
		} else {
			balancer.IPv6 = addr
		}
		return balancer, group
	}
	b4, g4 := family("web4", "198.18.16.200", "198.18.16.16", "198.18.16.17")
	b6, g6 := family("web6", "2001:db8:0:1::200", "2001:db8:0:1::10", "2001:db8:0:1::11")
	return lb.ZoneSnapshot{Revision: revision, Zone: zone,
		LoadBalancers: []lb.ZonalBalancer{b4, b6}, TargetGroups: []lb.ZonalGroup{g4, g6}}
}

const web4, web6 = "198.18.16.200:80", "[2001:db8:0:1::200]:80"

// spread opens connections until each wanted target has answered, and fails when
// another one does.
func (b *bench) spread(t *testing.T, ns, addr string, targets ...string) {
	t.Helper()
	missing := map[string]bool{}
	for _, target := range targets {
		missing[target] = true
	}
	for range 60 { // two targets stay unseen once in 2^59 runs
		c := b.connect(t, ns, addr)
		if !strings.Contains(strings.Join(targets, " "), c.target) {
			t.Fatalf("%s answers, want one of %v", c.target, targets)
		}
		delete(missing, c.target)
		if len(missing) == 0 && len(targets) > 1 {
			return
		}
	}
	if len(missing) > 0 {
		t.Errorf("no flow went to %v", missing)
	}
}

// everybody opens connections and returns what says something on them and on new
// ones.
func (b *bench) everybody(t *testing.T) (say func(what string)) {
	t.Helper()
	held4, held6 := b.connect(t, "client", web4), b.connect(t, "client", web6)
	return func(what string) {
		t.Helper()
		held4.say(t, what)
		held6.say(t, what)
		b.connect(t, "client", web4).say(t, what)
		b.connect(t, "near", web6).say(t, what)
	}
}

func TestTrafficThroughEdgeAndNodes(t *testing.T) {
	b := newBench(t)
	b.serve(t, "target1")
	stop2 := b.serve(t, "target2")
	b.node(t, "target1")
	node2 := b.node(t, "target2")
	edge := b.edge(t)
	b.engine.publish(snapshot(1))
	b.engine.wait(t, 1, 4, 0)

	for _, from := range []string{"client", "near"} {
		for _, addr := range []string{web4, web6} {
			b.spread(t, from, addr, "target1", "target2")
		}
	}
	everybody := b.everybody(t)
	everybody(strings.Repeat("bulk ", 200_000))

	edge.end(syscall.SIGTERM)
	everybody("without an edge process")
	edge = b.edge(t)
	b.engine.wait(t, 1, 4, 0)
	everybody("after the edge's restart")
	edge.end(syscall.SIGKILL)
	everybody("after the edge was killed")
	edge = b.edge(t)

	node2.end(syscall.SIGTERM)
	everybody("without one of the node helpers")
	b.node(t, "target2")
	everybody("after the helper's restart")

	stop2()
	b.engine.wait(t, 1, 2, 2)
	b.spread(t, "client", web4, "target1")
	b.serve(t, "target2")
	b.engine.wait(t, 1, 4, 0)
	b.spread(t, "client", web4, "target1", "target2")

	left := snapshot(2)
	for i := range left.TargetGroups {
		left.TargetGroups[i].Targets = left.TargetGroups[i].Targets[:1]
	}
	b.engine.publish(left)
	b.engine.wait(t, 2, 2, 0)
	b.spread(t, "client", web6, "target1")

	edge.end(syscall.SIGTERM)
	b.run(t, "edge", "edge", "detach", "--interface", "eth0", "--pin-dir", filepath.Join(b.dir, "pins-edge"), "--state-dir", filepath.Join(b.dir, "edge"))
	if c, err := b.dial("client", web4, time.Second); err == nil {
		t.Errorf("%s answers after the edge was detached", c.target)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "pins-edge")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pins after the edge was detached: %v", err)
	}
}
