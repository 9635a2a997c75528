package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/fairlead-lb/fairlead/internal/datapath/cost"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	defaultTable = 1 << 19 // flows: what an edge has unless told otherwise
	largeTable   = 1 << 20
	costTargets  = 10
)

// costCase is one figure: packets of a kind, of traffic. Cases without a kind
// that opens flows establish theirs first.
type costCase struct {
	name    string
	traffic cost.Traffic
	kind    cost.Kind
	aim     float64 // ns; 0: none
}

func costCases(table int) []costCase {
	v4, v6 := netip.AddrPortFrom(netip.MustParseAddr(vip4), listenPort), netip.AddrPortFrom(netip.MustParseAddr(vip6), listenPort)
	if table == largeTable {
		return []costCase{
			{"established_1000000", cost.Traffic{VIP: v4, Flows: 1e6}, cost.FromClient, 260},
			{"reply_1000000", cost.Traffic{VIP: v4, Flows: 1e6}, cost.FromTarget, 0},
			{"floor_line_1000000", cost.Traffic{VIP: v4, Flows: 1e6}, cost.ReadLine, 0},
		}
	}
	return []costCase{
		{"established_1", cost.Traffic{VIP: v4, Flows: 1}, cost.FromClient, 0},
		{"established_1000", cost.Traffic{VIP: v4, Flows: 1e3}, cost.FromClient, 90},
		{"established_100000", cost.Traffic{VIP: v4, Flows: 1e5}, cost.FromClient, 180},
		{"reply_1000", cost.Traffic{VIP: v4, Flows: 1e3}, cost.FromTarget, 0},
		{"reply_100000", cost.Traffic{VIP: v4, Flows: 1e5}, cost.FromTarget, 0},
		{"udp_1000", cost.Traffic{VIP: v4, UDP: true, Flows: 1e3}, cost.FromClient, 0},
		{"ipv6_1000", cost.Traffic{VIP: v6, Flows: 1e3}, cost.FromClient, 0},
		{"ipv6_100000", cost.Traffic{VIP: v6, Flows: 1e5}, cost.FromClient, 0},
		{"floor_redirect", cost.Traffic{VIP: v4, Flows: 1}, cost.Redirect, 0},
		{"floor_line_1000", cost.Traffic{VIP: v4, Flows: 1e3}, cost.ReadLine, 0},
		{"floor_line_100000", cost.Traffic{VIP: v4, Flows: 1e5}, cost.ReadLine, 0},
		{"syn", cost.Traffic{VIP: v4, Flows: 1}, cost.Opening, 250},
		{"syn_flood", cost.Traffic{VIP: v4, Flows: 1}, cost.OpeningInFlood, 250},
	}
}

// packetCosts measures the program alone, as an edge has it attached.
func packetCosts(ctx context.Context) ([]Row, error) {
	var rows []Row
	for _, table := range []int{defaultTable, largeTable} {
		r, err := packetCostsWith(ctx, table)
		if err != nil {
			return nil, fmt.Errorf("with a table of %d flows: %w", table, err)
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

func packetCostsWith(ctx context.Context, table int) (rows []Row, err error) {
	site, targets := costSite(fmt.Sprintf("flcost%d-", os.Getpid()))
	defer func() { err = errors.Join(err, deleteNetwork(site)) }()
	if err := netlab.Apply(site); err != nil {
		return nil, err
	}
	edge := site.Namespaces[0].Name
	e, err := openEdge(ctx, edge, table, snapshotOf(targets))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	mac, err := macOf(edge)
	if err != nil {
		return nil, err
	}
	m, err := cost.Open(e.pins, mac)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	for _, c := range costCases(table) {
		row, err := c.measure(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		rows = append(rows, row)
	}
	if table == defaultTable {
		rows = append(rows, Row{Name: "datapath.memory_per_flow", Unit: "bytes", Value: m.BytesPerFlow()})
	}
	return rows, ctx.Err()
}

func (c costCase) measure(m *cost.Meter) (Row, error) {
	refused := 0
	if c.kind == cost.FromClient || c.kind == cost.FromTarget {
		var err error
		if refused, err = m.Establish(&c.traffic); err != nil {
			return Row{}, err
		}
	}
	r, err := m.Measure(&c.traffic, c.kind)
	if err != nil {
		return Row{}, fmt.Errorf("%w; %d flows were refused", err, refused)
	}
	fmt.Fprintf(os.Stderr, "   %s: %.1f ns, quartiles %.1f to %.1f, empty loop %.1f, %d flows refused\n", c.name, r.Median, r.Low, r.High, r.Loop, refused)
	row := Row{Name: "datapath.packet." + c.name, Unit: "ns", Value: r.Median}
	if c.aim > 0 {
		row = row.atMost(c.aim)
	}
	return row, nil
}

// costSite is an edge and a namespace that answers for its targets.
func costSite(prefix string) (t netlab.Topology, targets []netip.Addr) {
	edge := netlab.Port{Namespace: prefix + "edge", Name: "eth0", Addresses: onSegment(4)}
	far := netlab.Port{Namespace: prefix + "targets", Name: "eth0"}
	for i := range costTargets {
		for _, p := range onSegment(100 + i) {
			far.Addresses = append(far.Addresses, p)
			targets = append(targets, p.Addr())
		}
	}
	return netlab.Topology{
		Namespaces: []netlab.Namespace{{Name: edge.Namespace}, {Name: far.Namespace}},
		Cables:     []netlab.Cable{{A: edge, B: far}},
	}, targets
}

// onSegment are the addresses of a machine of the benchmarks' network.
func onSegment(host int) []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("198.18.0.%d/16", host)),
		netip.MustParsePrefix(fmt.Sprintf("2001:db8::%x/64", host)),
	}
}

func macOf(namespace string) (mac net.HardwareAddr, err error) {
	err = netlab.In(namespace, func() error {
		i, err := net.InterfaceByName("eth0")
		if err == nil {
			mac = i.HardwareAddr
		}
		return err
	})
	return mac, err
}

// deleteNetwork deletes the namespaces of a network, in which nothing runs any more.
func deleteNetwork(t netlab.Topology) error {
	var errs []error
	for _, name := range t.Names() {
		errs = append(errs, netlab.Delete(name))
	}
	return errors.Join(errs...)
}
