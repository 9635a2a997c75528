package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

const (
	floodRate     = 50_000 // SYNs a second
	floodFlows    = 1 << 16
	floodRounds   = 12
	floodHeld     = 1000 // established flows that must live through all floods
	floodedPort   = listenPort + 1
	droppedPort   = listenPort + 2 // nobody listens there
	floodAim      = 0.9            // requests under the flood of a served port over those under the other
	floodTolerate = 0.95           // of the SYNs asked for must meet the program
	swallower     = chainTarget + 50
)

// floodClients: one asks for pages, one holds connections, one floods.
const (
	floodAsks = iota
	floodHolds
	floodFloods
	floodClients
)

// flood measures what a flood of SYNs from clients that do not exist costs those
// that do: requests on kept connections while it goes to a port with a listener,
// beside those while it goes to one without, which the program drops at sight.
// The flooded listener's target swallows the SYNs, so that its work, on the same
// processors, is not counted as the edge's.
func flood(ctx context.Context, _ programs) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ours := hops(1)[0]
	s := newSegment("flood", dir, floodClients, 1, []hop{ours})
	s.addSwallower()
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx, nil); err != nil {
		return nil, err
	}
	e, err := openEdge(ctx, s.machine(ours), floodFlows, s.floodSnapshot())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	mac, err := macOf(s.machine(ours))
	if err != nil {
		return nil, err
	}
	gun, err := newFlooder(s.client(ours, floodFloods), mac)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, gun.close()) }()
	f := &floodTest{segment: s, edge: e, gun: gun, ours: ours}
	return f.run(ctx)
}

// addSwallower adds a target that takes SYNs without a word: it knows no way back
// to the clients of the flood, and drops what it has no way back for.
func (s *segment) addSwallower() {
	s.add(netlab.Namespace{Name: s.swallower(), Sysctls: []netlab.Sysctl{
		{Key: "net/ipv4/conf/all/rp_filter", Value: "1"}, {Key: "net/ipv4/conf/default/rp_filter", Value: "1"},
	}}, "swallower", swallower, hop{})
}

func (s *segment) swallower() string { return s.prefix + "swallower" }

// floodSnapshot is the usual one with a listener more.
func (s *segment) floodSnapshot() lb.ZoneSnapshot {
	snapshot := snapshotOf(s.targetAddresses())
	addr := hostAddress(swallower)
	snapshot.TargetGroups = append(snapshot.TargetGroups, lb.ZonalGroup{ARN: "group-flooded", Protocol: lb.TCP, PreserveClientIP: true,
		Targets: []lb.ZonalTarget{{ID: addr.String(), Port: targetPort, Zone: snapshot.Zone, Addr: addr}}})
	b := &snapshot.LoadBalancers[0]
	b.Listeners = append(b.Listeners, lb.ZonalListener{ARN: "listener-flooded", Protocol: lb.TCP, Port: floodedPort, IdleTimeout: time.Hour,
		Forward: []lb.WeightedGroup{{TargetGroupARN: "group-flooded", Weight: 1}}})
	return snapshot
}

// floodTest is an edge under floods.
type floodTest struct {
	segment *segment
	edge    *benchEdge
	gun     *flooder
	ours    hop
}

// shot is a load under a flood.
type shot struct {
	result
	met float64 // SYNs that the program met, a second
	syn float64 // µs of CPU for one, from being sent to being swallowed or dropped
}

func (f *floodTest) run(ctx context.Context) ([]Row, error) {
	held, err := f.hold(ctx, floodHeld)
	if err != nil {
		return nil, err
	}
	defer held.close()
	before, err := f.edge.Counters()
	if err != nil {
		return nil, err
	}
	shots, err := f.rounds(ctx)
	if err != nil {
		return nil, err
	}
	after, err := f.edge.Counters()
	if err != nil {
		return nil, err
	}
	evicted := func(event string) float64 { return float64(after.Events[event] - before.Events[event]) }
	if evicted("half_open_evicted") == 0 {
		return nil, errors.New("the floods displaced no half-open flow: they prove nothing about established ones")
	}
	lost := float64(held.lost())
	return append(floodRows(shots),
		Row{Name: "datapath.flood.held_lost", Unit: fmt.Sprintf("of %d flows", floodHeld), Value: lost}.atMost(0),
		Row{Name: "datapath.flood.established_evicted", Unit: "flows", Value: evicted("idle_evicted") + evicted("closing_evicted")}.atMost(0),
		Row{Name: "datapath.flood.half_open_evicted", Unit: "flows", Value: evicted("half_open_evicted")}), nil
}

// rounds are those in which both floods met the program as they should; the
// machine can be too busy for one.
func (f *floodTest) rounds(ctx context.Context) (map[int][]shot, error) {
	shots, spoilt := map[int][]shot{}, 0
	ports := []int{0, floodedPort, droppedPort}
	for len(shots[0]) < floodRounds {
		slices.Reverse(ports) // who is first differs from round to round
		round := map[int]shot{}
		for _, port := range ports {
			var err error
			if round[port], err = f.shoot(ctx, port); err != nil {
				return nil, fmt.Errorf("requests under a flood of port %d (0: none): %w", port, err)
			}
		}
		served, dropped := round[floodedPort].met, round[droppedPort].met
		if min(served, dropped) < floodTolerate*floodRate {
			if spoilt++; spoilt > 2*floodRounds {
				return nil, fmt.Errorf("the program met %.0f and %.0f SYNs a second instead of %d, and so in %d rounds: the machine is too busy to tell anything", served, dropped, floodRate, spoilt)
			}
			continue
		}
		for port, one := range round {
			shots[port] = append(shots[port], one)
		}
	}
	fmt.Fprintf(os.Stderr, "   floods done, %d rounds left out, load averages: %s\n", spoilt, loadAverages())
	return shots, nil
}

func floodRows(shots map[int][]shot) []Row {
	of := func(port int, value func(shot) float64) (values []float64) {
		for _, s := range shots[port] {
			values = append(values, value(s))
		}
		return values
	}
	met := func(s shot) float64 { return s.met }
	syn := func(s shot) float64 { return s.syn }
	rows := []Row{
		paired(Row{Name: "datapath.flood.syns", Unit: "1/s"}, of(floodedPort, met), of(droppedPort, met), "dropped_port"),
		paired(Row{Name: "datapath.flood.cpu_per_syn", Unit: "µs"}, of(floodedPort, syn), of(droppedPort, syn), "dropped_port"),
	}
	for _, fig := range timesAndRate() {
		value := func(s shot) float64 { return fig.of(s.result) }
		row := paired(Row{Name: "datapath.flood.keepalive." + fig.name, Unit: fig.unit}, of(floodedPort, value), of(droppedPort, value), "dropped_port")
		if fig.name == "rate" {
			row = row.atLeastOfPeer(floodAim)
		}
		rows = append(rows, row, paired(Row{Name: row.Name + ".no_flood", Unit: fig.unit}, of(floodedPort, value), of(0, value), "no_flood"))
	}
	return rows
}

// shoot loads the served port while a flood goes to a port, and counts the SYNs
// of the flood that the program met.
func (f *floodTest) shoot(ctx context.Context, port int) (shot, error) {
	if port == 0 {
		r, err := f.segment.wrkFrom(ctx, f.ours, keepAlive(), []int{floodAsks})
		return shot{result: r}, err
	}
	before, err := f.met(port)
	if err != nil {
		return shot{}, err
	}
	begin := time.Now()
	stop := f.gun.fire(port, floodRate)
	r, err := f.segment.wrkFrom(ctx, f.ours, keepAlive(), []int{floodAsks})
	fired := stop()
	if err := errors.Join(err, fired.err); err != nil {
		return shot{}, err
	}
	took := time.Since(begin)
	after, err := f.met(port)
	if err != nil {
		return shot{}, err
	}
	return shot{r, float64(after-before) / took.Seconds(), float64(fired.cpu.Microseconds()) / float64(fired.syns)}, nil
}

// met counts the SYNs to a port: those to a served one come to the swallower, and
// nothing else does.
func (f *floodTest) met(port int) (n uint64, err error) {
	if port == droppedPort {
		c, err := f.edge.Counters()
		return c.Reasons["drop_no_listener"], err
	}
	err = netlab.In(f.segment.swallower(), func() (err error) {
		n, err = received("eth0")
		return err
	})
	return n, err
}

// received is how many packets an interface of the thread's namespace has taken
// (proc_pid_net(5)).
func received(name string) (uint64, error) {
	data, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == name+":" { // bytes come before packets
			return strconv.ParseUint(f[2], 10, 64)
		}
	}
	return 0, fmt.Errorf("there is no interface %s", name)
}

// hold opens connections, on each of which a request has been answered.
func (f *floodTest) hold(ctx context.Context, n int) (*heldConnections, error) {
	h := &heldConnections{}
	for range n {
		c, err := netlab.Dial(ctx, f.segment.client(f.ours, floodHolds), "tcp", f.ours.address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hold connection %d: %w", len(h.conns)+1, err), h.close())
		}
		h.conns = append(h.conns, c)
	}
	if lost := h.lost(); lost > 0 {
		return nil, errors.Join(fmt.Errorf("%d of %d connections are not answered before any flood", lost, n), h.close())
	}
	return h, nil
}
