package engine

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// fill puts n load balancers with a listener and a group of ten targets each.
func fill(tx *store.Tx, n int) {
	for i := range n {
		name := fmt.Sprint("b", i)
		b := state.LoadBalancer{ARN: fmt.Sprintf("arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/%s/%016x", name, i), Name: name, DNSName: name, VPCID: "vpc-1",
			Zones: []state.ZoneMapping{{Zone: "us-west-2a", SubnetID: "subnet-a", IPv4: netip.MustParseAddr("198.18.16.5")}, {Zone: "us-west-2b", SubnetID: "subnet-b", IPv4: netip.MustParseAddr("198.18.32.5")}}}
		g := state.TargetGroup{ARN: fmt.Sprintf("arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/%s/%016x", name, i), Name: name, Protocol: lb.TCP, TargetType: lb.InstanceTarget, VPCID: "vpc-1"}
		state.LoadBalancers.Put(tx, b)
		state.TargetGroups.Put(tx, g)
		state.Listeners.Put(tx, state.Listener{ARN: b.ARN + "/1", RuleARN: b.ARN + "/2", LoadBalancerARN: b.ARN, Protocol: lb.TCP, Port: 80, Forward: []lb.WeightedGroup{{TargetGroupARN: g.ARN, Weight: 1}}})
		for port := range uint16(10) {
			state.Targets.Put(tx, state.Target{TargetGroupARN: g.ARN, ID: "i-a", Port: port + 1})
		}
	}
}

// BenchmarkOpen is the time from a state on disk to an engine that can answer,
// and the memory that it then holds.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			inventory := filepath.Join(dir, "inventory.yaml")
			if err := os.WriteFile(inventory, []byte(testInventory), 0o600); err != nil {
				b.Fatal(err)
			}
			open := func() *Engine {
				e, err := Open(Config{Region: "us-west-2", AccountID: "000000000000", StateDir: filepath.Join(dir, "state"), Inventory: inventory,
					Quotas: elbv2.DefaultQuotas(), Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
				if err != nil {
					b.Fatal(err)
				}
				return e
			}
			e := open()
			if err := e.db.Update(func(tx *store.Tx) error { fill(tx, n); return nil }); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				e = open()
			}
			runtime.GC()
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			b.ReportMetric(float64(memory.HeapAlloc)/(1<<20), "heap-MiB")
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
