// Package datapath turns what an edge should do into the maps of the XDP program
// in bpf/ and keeps the two in step.
//
// Desired (pure) decides what the data path should do; assign (pure) gives it
// places in the maps; diff (pure) says what to write in which order; a store
// writes it. The program forwards without this process: maps and link are
// pinned, and the next process adopts them with all flows.
//
// Invariants: IDs in the maps are stable for as long as what they name lives, and
// never taken for another's afterwards; a target gets new flows only when its MAC
// is known; no step of a write leaves a reference to something that is not there.
package datapath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairlead-lb/fairlead/internal/announce"
	"github.com/fairlead-lb/fairlead/internal/bpffs"
)

// Config says where and how to run.
type Config struct {
	Interface string // the uplink: clients and targets are reached over it
	PinDir    string // maps and link survive the process here; empty: they do not
	Flows     int    // room for this many flows, 128 bytes each; default 524,288; kept by adopted maps
	Mode      Mode   // Native or Generic; empty: native where it is sure to work, else generic
	Echo      bool   // answer echo requests to load balancer addresses; NLB does not
	Logger    *slog.Logger
}

// Times of Run.
const (
	sweepInterval    = 10 * time.Second
	sweepPause       = time.Second            // between sweeps that cannot wait so long
	neighborPatience = 250 * time.Millisecond // what an answer on a segment may take
)

// Datapath is a loaded and attached program.
type Datapath struct {
	cfg   Config
	log   *slog.Logger
	ns    namespace
	mac   [6]byte
	link  int      // index of the uplink
	pins  *os.File // holds the pin directory; nil without one
	objs  *edgeObjects
	store store
	bpf   *bpfStore
	near  *neighbors
	hello *announce.Announcer
	left  bell // listeners have left: their flows are to be swept

	mu      sync.Mutex // guards all below
	at      attachment
	out     egressHook
	tables  Tables
	have    contents // what the store holds; nil maps when that is not known
	known   bool
	ready   bool // tables come from Apply; before, what was adopted must stay
	census  census
	room    room
	routes  kernelRoutes
	sockets socketPath
}

// Open loads the program, adopts what is pinned, and attaches to the uplink:
// natively, or generically where the driver cannot. It belongs to the network
// namespace of the calling thread. Run must be running for the data path to
// follow its surroundings.
func Open(cfg Config) (*Datapath, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	iface, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("find the uplink %s: %w", cfg.Interface, err)
	}
	if len(iface.HardwareAddr) != 6 {
		return nil, fmt.Errorf("the uplink %s has no Ethernet address", cfg.Interface)
	}
	d := &Datapath{cfg: cfg, log: cfg.Logger, mac: [6]byte(iface.HardwareAddr), link: iface.Index, left: newBell()}
	if err := d.start(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Datapath) start() error {
	var err error
	if d.cfg.PinDir != "" {
		if d.pins, err = bpffs.Open(d.cfg.PinDir); err != nil {
			return err
		}
	}
	if d.objs, d.bpf, err = load(d.cfg.PinDir, d.cfg.Flows, nil); err != nil {
		return err
	}
	d.store = d.bpf
	if d.ns, err = currentNamespace(); err != nil {
		return err
	}
	d.routes = kernelRoutes{ns: d.ns}
	d.sockets = socketPath{ns: d.ns, dev: d.link, prog: d.objs.Local, mayBeOpen: true}
	flags, err := settingFlags(d.cfg, d.link)
	if err != nil {
		return err
	}
	if err := d.bpf.restoreConfiguration(); err != nil {
		return err
	}
	if d.bpf.older.flows() {
		flags |= settingRestoring
	}
	if err := prepareSettings(d.bpf, d.objs.Jiffies, d.mac, flags); err != nil {
		return err
	}
	if _, err := d.bpf.restoreFlows(d.objs.Restore); err != nil {
		return err
	}
	if d.have, err = d.store.load(); err != nil {
		return err
	}
	d.known = true
	if d.near, err = newNeighbors(d.ns, net.Interface{Index: d.link, Name: d.cfg.Interface, HardwareAddr: d.mac[:]}, d.log); err != nil {
		return err
	}
	if d.hello, err = announce.New(d.link, d.mac, d.log); err != nil {
		return err
	}
	// Targets that flows use must be followed before the first Apply.
	d.near.want(d.addresses())
	if err := d.attach(); err != nil {
		return err
	}
	if err := d.swapped(); err != nil {
		return err
	}
	if err := aloneNow(d.objs); err != nil {
		return err
	}
	d.hello.Set(d.vips())
	if d.at.mode == Generic {
		d.log.Warn("packets take generic XDP, which costs several times the CPU of native XDP", "interface", d.cfg.Interface, "why", d.at.why())
	}
	d.log.Info("data path attached", "interface", d.cfg.Interface, "mode", d.at.mode)
	return nil
}

func settingFlags(cfg Config, link int) (flags uint32, err error) {
	l, err := netlink.LinkByIndex(link)
	if err != nil {
		return 0, fmt.Errorf("examine the uplink %s: %w", cfg.Interface, err)
	}
	if l.Type() == "veth" {
		flags |= settingRedirect
	}
	if cfg.Echo {
		flags |= settingEcho
	}
	return flags, nil
}

// Close lets go of the program without stopping it when it is pinned; otherwise
// forwarding ends.
func (d *Datapath) Close() error {
	var errs []error
	if d.hello != nil {
		errs = append(errs, d.hello.Close())
	}
	if d.near != nil {
		d.near.close()
	}
	errs = append(errs, d.sockets.detach())
	errs = append(errs, d.at.close(), d.out.close())
	if d.ns.file != nil {
		errs = append(errs, d.ns.file.Close())
	}
	if d.objs != nil {
		errs = append(errs, d.objs.Close())
		d.bpf.older.close()
	}
	if d.pins != nil {
		errs = append(errs, d.pins.Close())
	}
	return errors.Join(errs...)
}

// Detach stops forwarding and removes all that was pinned. The data path can
// only be closed afterwards.
func (d *Datapath) Detach() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := errors.Join(d.ns.in(d.at.detach), d.routes.keep(nil), d.sockets.close())
	d.out.drop()
	if d.pins == nil {
		return err
	}
	names, err2 := pinNames()
	err = errors.Join(err, err2, d.pins.Close()) // to remove them takes the directory anew
	d.pins = nil
	return errors.Join(err, bpffs.Remove(d.cfg.PinDir, names...))
}

// Mode says how the program is attached.
func (d *Datapath) Mode() Mode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at.mode
}

// Apply makes the data path do what the tables say and returns when it does. An
// error leaves it somewhere between before and after, each packet still seeing
// something whole; the next Apply finds out where and goes on.
func (d *Datapath) Apply(ctx context.Context, t Tables) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range t.Unserved {
		if _, told := slices.BinarySearch(d.tables.Unserved, u); !told {
			d.log.Warn("not served by the data path", "what", u)
		}
	}
	d.tables, d.ready = t, true
	added := d.near.want(d.addresses())
	d.near.wait(ctx, d.needed(added))
	err := d.reconcile(ctx)
	d.hello.Set(d.vips())
	if err != nil {
		return err
	}
	return d.settle(t)
}

// needed are the targets among new ones that take flows: worth to wait for.
func (d *Datapath) needed(added map[netip.Addr]struct{}) []netip.Addr {
	var out []netip.Addr
	for _, g := range d.tables.Groups {
		for _, t := range g.Targets {
			if _, isNew := added[t.Addr.Addr()]; isNew && t.Selectable {
				out = append(out, t.Addr.Addr())
			}
		}
	}
	return out
}

// addresses are all targets that packets go to.
func (d *Datapath) addresses() map[netip.Addr]struct{} {
	out := map[netip.Addr]struct{}{}
	for _, g := range d.tables.Groups {
		for _, t := range g.Targets {
			out[t.Addr.Addr()] = struct{}{}
		}
	}
	for _, t := range d.have.targets {
		out[addrFromMap(t.Addr)] = struct{}{}
	}
	return out
}

func (d *Datapath) vips() []netip.Addr {
	return slices.SortedFunc(maps.Keys(d.have.vips), netip.Addr.Compare)
}

// reconcile writes the difference between what should be in the maps and what is.
func (d *Datapath) reconcile(ctx context.Context) error {
	if !d.ready {
		return nil
	}
	if !d.known {
		have, err := d.store.load()
		if err != nil {
			return err
		}
		d.have, d.known = have, true
	}
	want, problem := assign(assignment{tables: d.tables, have: d.have, resolve: d.near.resolve, inUse: d.census.inUse()})
	for _, s := range diff(want, d.have) {
		if err := ctx.Err(); err != nil {
			d.known = false
			return fmt.Errorf("write %s: %w", s.what, err)
		}
		if err := errors.Join(d.store.put(s.put), d.store.remove(s.remove)); err != nil {
			d.known = false
			return fmt.Errorf("write %s: %w", s.what, err)
		}
	}
	if listenersLeft(want, d.have) {
		d.left.wake()
	}
	want.tables, want.counters = map[uint32][]uint32{}, map[uint32]struct{}{}
	d.have = want
	return problem
}

// Run keeps the data path in step with its surroundings until ctx ends: next
// hops and their MACs, flows that end, announcements of addresses, and the
// program itself should someone detach it.
func (d *Datapath) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { d.hello.Run(ctx) })
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	soon := time.NewTimer(0)
	soon.Stop()
	defer soon.Stop()
	var swept time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.near.changed:
			d.report("following neighbours", d.follow(ctx))
		case <-d.left:
			soon.Reset(time.Until(swept.Add(sweepPause)))
		case <-soon.C:
			d.report("sweeping flows of listeners that left", d.Sweep(ctx))
			swept = time.Now()
		case <-sweep.C:
			if err := d.reattach(); errors.Is(err, ErrUplinkReplaced) {
				return err
			} else if err != nil {
				d.report("checking the attachment", err)
			}
			d.report("sweeping flows", d.Sweep(ctx))
		}
	}
}

func (d *Datapath) report(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Error(what, "error", err)
	}
}

func (d *Datapath) follow(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reconcile(ctx)
}

// ErrUplinkReplaced says that the uplink is another interface now. All that was
// learnt over the old one is void: close the data path and open it again.
var ErrUplinkReplaced = errors.New("the uplink was replaced by another interface of its name")

func (d *Datapath) uplink() (iface *net.Interface, err error) {
	err = d.ns.in(func() (err error) {
		iface, err = net.InterfaceByName(d.cfg.Interface)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the uplink %s: %w", d.cfg.Interface, err)
	}
	return iface, nil
}

// reattach puts the programs back when they are gone from the uplink.
func (d *Datapath) reattach() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.intact() && d.out.intact() {
		return d.sockets.restore()
	}
	iface, err := d.uplink()
	if err != nil {
		return err
	}
	if iface.Index != d.link {
		return ErrUplinkReplaced
	}
	d.log.Warn("the program was detached from the uplink; attaching it again", "interface", d.cfg.Interface)
	return d.ns.in(func() error { return errors.Join(d.out.attach(), d.at.attach()) })
}
