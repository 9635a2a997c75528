package edge_test

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Targets are the edge's own machine, with the node helper beside the edge, and
// another one.
func TestAnEdgeOnAMachineThatIsATarget(t *testing.T) {
	b := newBench(t)
	b.serve(t, "edge")
	b.serve(t, "target1")
	node := b.besideTheEdge(t)
	b.node(t, "target1")
	edge := b.edge(t)
	both := snapshot(1)
	for i, own := range []string{"198.18.16.4", "2001:db8:0:1::4"} {
		both.TargetGroups[i].Targets[1].Addr = netip.MustParseAddr(own)
	}
	b.engine.publish(both)
	b.engine.wait(t, 1, 4, 0)
	for _, from := range []string{"client", "near"} {
		for _, addr := range []string{web4, web6} {
			b.spread(t, from, addr, "edge", "target1")
		}
	}
	own := snapshot(2)
	for i := range own.TargetGroups {
		own.TargetGroups[i].Targets = both.TargetGroups[i].Targets[1:]
	}
	b.engine.publish(own)
	b.engine.wait(t, 2, 2, 0)
	others := b.everybody(t)
	everybody := func(what string) {
		t.Helper()
		others(what)
		b.itself(t, what)
	}
	everybody(strings.Repeat("bulk ", 200_000))
	node.end(syscall.SIGKILL)
	b.besideTheEdge(t)
	edge.end(syscall.SIGKILL)
	everybody("after both were killed")
	b.edge(t)
	b.engine.wait(t, 2, 2, 0)
	everybody("after the edge's restart")
}

// besideTheEdge starts the node helper on the edge's machine.
func (b *bench) besideTheEdge(t *testing.T) *process {
	t.Helper()
	return b.start(t, "edge", "node", "--interface", "eth0", "--pin-dir", b.pins(t, "edge-node"), "--max-flows", "4096")
}

// itself wants connections of the edge's machine to itself through the load
// balancer, whose address the target then sees.
func (b *bench) itself(t *testing.T, what string) {
	t.Helper()
	for _, addr := range []string{web4, web6} {
		c, err := b.dial("edge", addr, patience)
		if err != nil {
			t.Fatalf("the edge's machine to %s: %v", addr, err)
		}
		defer c.Close()
		vip, seen := netip.MustParseAddrPort(addr).Addr(), netip.MustParseAddrPort(c.peer).Addr()
		if c.target != "edge" || seen != vip {
			t.Errorf("%s answers, who sees %s; want edge and the load balancer's address", c.target, c.peer)
		}
		c.say(t, what)
	}
}

// The edge runs on instance i-3 of the inventory.
func TestTheEdgesOwnInstanceIsRegisteredThroughTheAPI(t *testing.T) {
	a := newAccountOf(t, strings.Replace(inventory, "edges:", `- instanceId: i-3
  networkInterfaces: [{subnetId: subnet-a, addresses: [198.18.16.4, "2001:db8:0:1::4"], securityGroups: [sg-nodes]}]
edges:`, 1))
	a.bench.serve(t, "edge")
	a.bench.besideTheEdge(t)
	a.bench.edge(t)
	n := a.network()
	arn := a.aws("elbv2", "create-target-group", "--name", "own", "--protocol", "TCP", "--port", "30080", "--vpc-id", "vpc-1", "--target-type", "instance",
		"--health-check-interval-seconds", "5", "--health-check-timeout-seconds", "2", "--healthy-threshold-count", "2", "--query", "TargetGroups[0].TargetGroupArn")
	a.aws("elbv2", "register-targets", "--target-group-arn", arn, "--targets", "Id=i-3")
	n.listener("TCP", "80", arn)
	wait(t, "the edge's own machine is healthy", func() bool {
		return a.aws("elbv2", "describe-target-health", "--target-group-arn", arn, "--query", "TargetHealthDescriptions[].TargetHealth.State") == "healthy"
	})
	for _, from := range []string{"client", "near"} {
		if c := a.bench.connect(t, from, at(n.vip4, 80)); c.target != "edge" {
			t.Errorf("%s is answered by %s, want edge", from, c.target)
		}
	}
	own, err := a.bench.dial("edge", at(n.vip4, 80), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	own.say(t, "from its own machine")
	own.Close()
}
