package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/datapath/maglev"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// dataPath measures the XDP program and its tables by themselves.
func dataPath(ctx context.Context, _ programs) ([]Row, error) {
	rows, err := packetCosts(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "   load averages: %s\n", loadAverages())
	changes, err := changes(ctx)
	if err != nil {
		return nil, err
	}
	return append(append(rows, changes...), hashTables()...), nil
}

// loadAverages tell how busy the machine was with other things.
func loadAverages() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return string(data[:14])
}

// benchEdge is a data path in a namespace of its own.
type benchEdge struct {
	*datapath.Datapath
	pins string
	stop func() error
}

// openEdge opens a data path on eth0 of a namespace and has it do what the
// snapshot says, with all targets healthy.
func openEdge(ctx context.Context, namespace string, flows int, s lb.ZoneSnapshot) (*benchEdge, error) {
	if err := meet(ctx, namespace, s); err != nil {
		return nil, err
	}
	e := &benchEdge{pins: filepath.Join(os.TempDir(), namespace+"-pins")}
	err := netlab.In(namespace, func() (err error) {
		e.Datapath, err = datapath.Open(datapath.Config{Interface: "eth0", PinDir: e.pins, Flows: flows, Mode: datapath.Native})
		return err
	})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Run(running) }() // it ends with running
	e.stop = func() error {
		cancel()
		<-done
		if err := e.Detach(); err != nil {
			return err
		}
		return e.Close()
	}
	health := map[lb.TargetKey]lb.HealthState{}
	for _, g := range s.TargetGroups {
		for _, t := range g.Targets {
			health[lb.TargetKey{TargetGroupARN: g.ARN, ID: t.ID, Port: t.Port}] = lb.Healthy
		}
	}
	if err := e.Apply(ctx, datapath.Desired(datapath.Input{Snapshot: s, Health: health, Now: time.Now()})); err != nil {
		return nil, fmt.Errorf("configure the edge: %w", err)
	}
	return e, nil
}

// meet has the kernel learn the MACs of all targets, so that all of them take
// flows from the start: their ports refuse connections or accept them.
func meet(ctx context.Context, namespace string, s lb.ZoneSnapshot) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, g := range s.TargetGroups {
		for _, t := range g.Targets {
			c, err := netlab.Dial(ctx, namespace, "tcp", netip.AddrPortFrom(t.Addr, t.Port).String())
			if err == nil {
				err = c.Close()
			}
			if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("reach a target: %w", err)
			}
		}
	}
	return nil
}

const (
	vip4       = "198.18.0.200"
	vip6       = "2001:db8::200"
	listenPort = 80
	targetPort = 8080
)

// snapshotOf has a listener for each protocol on both addresses, forwarding to
// the same targets.
func snapshotOf(targets []netip.Addr) lb.ZoneSnapshot {
	s := lb.ZoneSnapshot{Revision: 1, Zone: zones[0]}
	for _, protocol := range []lb.Protocol{lb.TCP, lb.UDP} {
		arn := "group-" + string(protocol)
		g := lb.ZonalGroup{ARN: arn, Protocol: protocol, PreserveClientIP: true}
		for _, a := range targets {
			if a.Is4() {
				g.Targets = append(g.Targets, lb.ZonalTarget{ID: a.String(), Port: targetPort, Zone: s.Zone, Addr: a})
			}
		}
		g6 := g
		g6.ARN, g6.Targets = arn+"-6", nil
		for _, a := range targets {
			if a.Is6() {
				g6.Targets = append(g6.Targets, lb.ZonalTarget{ID: a.String(), Port: targetPort, Zone: s.Zone, Addr: a})
			}
		}
		s.TargetGroups = append(s.TargetGroups, g, g6)
	}
	for i, vip := range []string{vip4, vip6} {
		b := lb.ZonalBalancer{ARN: "balancer-" + vip}
		if i == 0 {
			b.IPv4 = netip.MustParseAddr(vip)
		} else {
			b.IPv6 = netip.MustParseAddr(vip)
		}
		for _, protocol := range []lb.Protocol{lb.TCP, lb.UDP} {
			group := "group-" + string(protocol)
			if i == 1 {
				group += "-6"
			}
			b.Listeners = append(b.Listeners, lb.ZonalListener{
				ARN: "listener-" + vip + string(protocol), Protocol: protocol, Port: listenPort, IdleTimeout: time.Hour,
				Forward: []lb.WeightedGroup{{TargetGroupARN: group, Weight: 1}},
			})
		}
		s.LoadBalancers = append(s.LoadBalancers, b)
	}
	return s
}

// hashTables times the tables that spread new flows, and counts the slots that
// change hands between targets that stay when one of them leaves.
func hashTables() (rows []Row) {
	for _, n := range []int{1, 10, 100, 500} {
		targets := make([]maglev.Target, n)
		for i := range targets {
			targets[i] = maglev.Target{Name: fmt.Sprintf("i-%017x:80", i), Weight: 1}
		}
		size := maglev.Size(n)
		begin, builds := time.Now(), 0
		for time.Since(begin) < 200*time.Millisecond {
			maglev.Build(targets, size)
			builds++
		}
		each := float64(time.Since(begin)) / float64(time.Millisecond) / float64(builds)
		rows = append(rows, Row{Name: fmt.Sprintf("datapath.table.build_%d", n), Unit: "ms", Value: each})
		if n == 100 {
			rows = append(rows, Row{Name: "datapath.table.extra_moved_1_of_100", Unit: "% of slots", Value: moved(targets, size)}.atMost(1))
		}
	}
	return rows
}

// moved is the share of slots, in per cent, that change although their target
// stays, when one target leaves: the mean over who leaves.
func moved(targets []maglev.Target, size int) float64 {
	before, n := maglev.Build(targets, size), 0
	for left := range targets {
		weightless := slices.Clone(targets)
		weightless[left].Weight = 0
		for i, now := range maglev.Build(weightless, size) {
			if before[i] != left && before[i] != now {
				n++
			}
		}
	}
	return 100 * float64(n) / float64(size*len(targets))
}
