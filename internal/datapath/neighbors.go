package datapath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// thisMachine stands for the next hop of targets that are addresses of this very
// machine, or that it leads to by another interface: the kernel gets their packets.
// No next hop has this address.
var thisMachine = netip.IPv6Unspecified()

// neighbors knows the MAC of the next hop to each target. The kernel resolves
// and keeps fresh ("managed" neighbour entries); this follows what it says.
type neighbors struct {
	handle *netlink.Handle
	ns     namespace
	uplink net.Interface
	log    *slog.Logger

	changed chan struct{} // capacity 1: a next hop or a MAC has changed
	done    chan struct{}
	wg      sync.WaitGroup

	mu    sync.Mutex                // guards all below
	hops  map[netip.Addr]netip.Addr // target -> next hop; thisMachine; the zero Addr: none on this link
	macs  map[netip.Addr][6]byte    // next hop -> MAC
	fixed map[netip.Addr]bool       // next hops whose MAC an administrator has set for good
}

// newNeighbors subscribes before it lists, so that nothing falls in between. It
// belongs to the network namespace of the calling thread, which is ns.
func newNeighbors(ns namespace, uplink net.Interface, log *slog.Logger) (*neighbors, error) {
	own := [6]byte(uplink.HardwareAddr)
	n := &neighbors{
		ns: ns, uplink: uplink, log: log, changed: make(chan struct{}, 1), done: make(chan struct{}),
		hops: map[netip.Addr]netip.Addr{}, macs: map[netip.Addr][6]byte{thisMachine: own}, fixed: map[netip.Addr]bool{thisMachine: true},
	}
	updates, routes := make(chan netlink.NeighUpdate, 256), make(chan netlink.RouteUpdate, 256)
	onError := func(err error) {
		select {
		case <-n.done: // the sockets are being closed
		default:
			n.log.Warn("watching neighbours and routes", "error", err)
		}
	}
	err := netlink.NeighSubscribeWithOptions(updates, n.done, netlink.NeighSubscribeOptions{ErrorCallback: onError})
	if err != nil {
		return nil, fmt.Errorf("watch neighbours: %w", err)
	}
	err = netlink.RouteSubscribeWithOptions(routes, n.done, netlink.RouteSubscribeOptions{ErrorCallback: onError})
	if err != nil {
		close(n.done)
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	if n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		close(n.done)
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	if err := n.list(); err != nil {
		n.close()
		return nil, err
	}
	n.wg.Add(2)
	go n.followNeighbors(updates)
	go n.followRoutes(routes)
	return n, nil
}

func (n *neighbors) close() {
	close(n.done)
	n.wg.Wait()
	n.handle.Close()
}

// list reads all neighbours, again when the kernel's table changed under it.
func (n *neighbors) list() error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		var all []netlink.Neigh
		var err error
		for range 5 {
			if all, err = n.handle.NeighList(n.uplink.Index, family); !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		for _, one := range all {
			n.learn(one)
		}
	}
	return nil
}

func (n *neighbors) followNeighbors(updates <-chan netlink.NeighUpdate) {
	defer n.wg.Done()
	for u := range updates {
		if u.Type == unix.RTM_NEWNEIGH && u.LinkIndex == n.uplink.Index {
			n.learn(u.Neigh)
		}
	}
}

// followRoutes looks for other next hops whenever a route has changed.
func (n *neighbors) followRoutes(updates <-chan netlink.RouteUpdate) {
	defer n.wg.Done()
	for range updates {
		for len(updates) > 0 { // a change of many routes at once is one change
			<-updates
		}
		n.mu.Lock()
		targets := make([]netip.Addr, 0, len(n.hops))
		for t := range n.hops {
			targets = append(targets, t)
		}
		n.mu.Unlock()
		for _, t := range targets {
			n.route(t)
		}
	}
}

// learn takes over a neighbour's MAC. One that fails keeps its last MAC: whether
// the target still serves is for health checks to say.
func (n *neighbors) learn(one netlink.Neigh) {
	addr, ok := netip.AddrFromSlice(one.IP)
	if !ok || len(one.HardwareAddr) != 6 || one.State&(unix.NUD_FAILED|unix.NUD_INCOMPLETE|unix.NUD_NONE) != 0 {
		return
	}
	mac := [6]byte(one.HardwareAddr)
	n.mu.Lock()
	defer n.mu.Unlock()
	addr = addr.Unmap()
	n.fixed[addr] = one.State&unix.NUD_PERMANENT != 0
	if n.macs[addr] == mac {
		return
	}
	n.macs[addr] = mac
	n.signal()
}

func (n *neighbors) signal() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// resolve returns the MAC that packets for a target go to.
func (n *neighbors) resolve(target netip.Addr) ([6]byte, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	mac, ok := n.macs[n.hops[target]]
	return mac, ok
}

// want sets which targets matter and returns those that are new. New ones are
// asked for at once, next hops that serve no target any more are let go.
func (n *neighbors) want(targets map[netip.Addr]struct{}) (added map[netip.Addr]struct{}) {
	added = map[netip.Addr]struct{}{}
	n.mu.Lock()
	for t := range targets {
		if _, known := n.hops[t]; !known {
			added[t] = struct{}{}
		}
	}
	unused := map[netip.Addr]bool{}
	for t, hop := range n.hops {
		if _, wanted := targets[t]; !wanted {
			delete(n.hops, t)
			unused[hop] = true
		}
	}
	for _, hop := range n.hops {
		delete(unused, hop)
	}
	n.mu.Unlock()
	for t := range added {
		n.route(t)
	}
	for hop := range unused {
		n.release(hop)
	}
	return added
}

// route finds a target's next hop and has the kernel keep its MAC.
func (n *neighbors) route(target netip.Addr) {
	hop := n.nextHop(target)
	n.mu.Lock()
	old, known := n.hops[target]
	n.hops[target] = hop
	fixed := n.fixed[hop]
	n.mu.Unlock()
	if known && old == hop {
		return
	}
	n.signal()
	if !hop.IsValid() {
		n.log.Warn("target cannot be reached; it gets no traffic", "target", target)
	}
	if !hop.IsValid() || fixed {
		return
	}
	err := n.handle.NeighSet(&netlink.Neigh{
		LinkIndex: n.uplink.Index, Family: familyOf(hop), State: unix.NUD_NONE,
		Flags: unix.NTF_USE, FlagsExt: netlink.NTF_EXT_MANAGED, IP: hop.AsSlice(),
	})
	if err != nil {
		n.log.Warn("asking for a target's MAC", "target", target, "nextHop", hop, "error", err)
	}
}

func (n *neighbors) nextHop(target netip.Addr) netip.Addr {
	routes, err := n.handle.RouteGet(target.AsSlice())
	switch {
	case err != nil || len(routes) == 0:
		return netip.Addr{}
	case routes[0].Type == unix.RTN_LOCAL:
		return thisMachine
	case routes[0].Type != unix.RTN_UNICAST:
		return netip.Addr{}
	case routes[0].LinkIndex != n.uplink.Index:
		return n.behind(target)
	}
	if gw, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		return gw.Unmap()
	}
	return target
}

// behind is the next hop of a target behind another interface, such as a pod of
// this machine: it can be reached if the kernel forwards what comes by the uplink.
func (n *neighbors) behind(target netip.Addr) netip.Addr {
	setting := "/proc/sys/net/ipv6/conf/all/forwarding"
	if target.Is4() {
		setting = "/proc/sys/net/ipv4/conf/" + n.uplink.Name + "/forwarding"
	}
	var value []byte
	err := n.ns.in(func() (err error) { value, err = os.ReadFile(setting); return err })
	if err != nil || strings.TrimSpace(string(value)) == "0" {
		n.log.Warn("this machine does not forward to a target behind it", "target", target, "setting", setting, "error", err)
		return netip.Addr{}
	}
	return thisMachine
}

// release lets the kernel drop a next hop.
func (n *neighbors) release(hop netip.Addr) {
	n.mu.Lock()
	fixed := n.fixed[hop]
	if !fixed {
		delete(n.macs, hop)
	}
	n.mu.Unlock()
	if fixed || !hop.IsValid() {
		return
	}
	err := n.handle.NeighDel(&netlink.Neigh{LinkIndex: n.uplink.Index, Family: familyOf(hop), IP: hop.AsSlice()})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		n.log.Debug("letting a neighbour go", "nextHop", hop, "error", err)
	}
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// wait gives new targets the time that an answer on a segment takes.
func (n *neighbors) wait(ctx context.Context, targets []netip.Addr) {
	deadline := time.NewTimer(neighborPatience)
	defer deadline.Stop()
	for _, t := range targets {
		for !n.settled(t) {
			select {
			case <-n.changed:
			case <-deadline.C:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// settled says whether nothing more will be learnt about a target by waiting.
func (n *neighbors) settled(target netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	hop := n.hops[target]
	_, resolved := n.macs[hop]
	return resolved || !hop.IsValid()
}
