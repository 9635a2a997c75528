package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	changeGroups = 1000
	changeTimes  = 15
)

// changes measures how long verdicts of health checks take to reach the maps,
// with a thousand target groups of ten targets each: from the verdict until new
// flows go elsewhere.
func changes(ctx context.Context) (rows []Row, err error) {
	site, targets := costSite(fmt.Sprintf("flchange%d-", os.Getpid()))
	defer func() { err = errors.Join(err, deleteNetwork(site)) }()
	if err := netlab.Apply(site); err != nil {
		return nil, err
	}
	s := manyGroups(targets)
	begin := time.Now()
	e, err := openEdge(ctx, site.Namespaces[0].Name, 1<<16, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	fmt.Fprintf(os.Stderr, "   %d target groups set up in %v\n", changeGroups, time.Since(begin))
	one := s.TargetGroups[0].Targets[0]
	each, err := e.flap(ctx, s, func(g lb.ZonalGroup, t lb.ZonalTarget) bool {
		return g.ARN == s.TargetGroups[0].ARN && t.Addr == one.Addr
	})
	if err != nil {
		return nil, err
	}
	rows = append(rows, Row{Name: "datapath.change.one_target_of_10000", Unit: "ms", Value: each.at(0.5)}.atMost(50))
	dead := one.Addr
	all, err := e.flap(ctx, s, func(_ lb.ZonalGroup, t lb.ZonalTarget) bool { return t.Addr == dead })
	if err != nil {
		return nil, err
	}
	return append(rows, Row{Name: "datapath.change.dead_node_of_1000_groups", Unit: "ms", Value: all.at(0.5)}.atMost(500)), nil
}

// manyGroups is changeGroups listeners with a group each, as node ports are: all
// have the same machines, each a port of its own.
func manyGroups(targets []netip.Addr) lb.ZoneSnapshot {
	s := lb.ZoneSnapshot{Revision: 1, Zone: zones[0]}
	b := lb.ZonalBalancer{ARN: "balancer", IPv4: netip.MustParseAddr(vip4)}
	for i := range changeGroups {
		g := lb.ZonalGroup{ARN: fmt.Sprintf("group-%d", i), Protocol: lb.TCP, PreserveClientIP: true}
		for _, a := range targets {
			if a.Is4() {
				g.Targets = append(g.Targets, lb.ZonalTarget{ID: a.String(), Port: uint16(30000 + i), Zone: s.Zone, Addr: a})
			}
		}
		s.TargetGroups = append(s.TargetGroups, g)
		b.Listeners = append(b.Listeners, lb.ZonalListener{
			ARN: fmt.Sprintf("listener-%d", i), Protocol: lb.TCP, Port: uint16(1000 + i), IdleTimeout: time.Hour,
			Forward: []lb.WeightedGroup{{TargetGroupARN: g.ARN, Weight: 1}},
		})
	}
	s.LoadBalancers = []lb.ZonalBalancer{b}
	return s
}

// flap has some targets fall ill and recover, and times each change.
func (e *benchEdge) flap(ctx context.Context, s lb.ZoneSnapshot, ill func(lb.ZonalGroup, lb.ZonalTarget) bool) (*sample, error) {
	health := map[lb.TargetKey]lb.HealthState{}
	out := &sample{}
	for i := range changeTimes {
		for _, g := range s.TargetGroups {
			for _, t := range g.Targets {
				state := lb.Healthy
				if i%2 == 0 && ill(g, t) {
					state = lb.Unhealthy
				}
				health[lb.TargetKey{TargetGroupARN: g.ARN, ID: t.ID, Port: t.Port}] = state
			}
		}
		begin := time.Now()
		if err := e.Apply(ctx, datapath.Desired(datapath.Input{Snapshot: s, Health: health, Now: begin})); err != nil {
			return nil, err
		}
		out.add(time.Since(begin))
	}
	return out, nil
}
