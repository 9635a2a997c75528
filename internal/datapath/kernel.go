package datapath

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes that are ours (rtnetlink(7), rtm_protocol; the
// numbers from 5 on are for whoever wants to tell its routes apart).
const routeProtocol = 241

// kernelRoutes are the load balancer addresses that are local to the kernel: it
// takes what is sent to them and sends from them, without having the addresses
// on an interface, where it might choose them for itself.
type kernelRoutes struct {
	ns   namespace
	kept map[netip.Addr]bool // by the last keep; nil before
}

// add makes addresses local.
func (k *kernelRoutes) add(addrs map[netip.Addr]bool) error {
	missing := func(a netip.Addr) bool { return !k.kept[a] }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(addrs)), missing) {
		return nil
	}
	k.kept = nil // until the next keep has looked
	return k.ns.in(func() error {
		have, err := localRoutes()
		if err != nil {
			return err
		}
		lo, err := loopback()
		if err != nil {
			return err
		}
		for a := range addrs {
			if _, there := have[a]; there {
				continue
			}
			if err := netlink.RouteReplace(localRoute(a, lo)); err != nil {
				return fmt.Errorf("make %s local: %w", a, err)
			}
		}
		return nil
	})
}

// keep undoes add for all other addresses, whichever process added them.
func (k *kernelRoutes) keep(addrs map[netip.Addr]bool) error {
	if k.kept != nil && maps.Equal(k.kept, addrs) {
		return nil
	}
	err := k.ns.in(func() error {
		have, err := localRoutes()
		if err != nil {
			return err
		}
		var errs []error
		for a, route := range have {
			if addrs[a] {
				continue
			}
			if err := netlink.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("make %s local no more: %w", a, err))
			}
		}
		return errors.Join(errs...)
	})
	if err == nil {
		k.kept = addrs
	}
	return err
}

func localRoute(a netip.Addr, lo int) *netlink.Route {
	return &netlink.Route{
		Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}, LinkIndex: lo,
		Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: routeProtocol,
	}
}

// loopback returns the index of the loopback interface, which has to be up.
func loopback() (int, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return 0, fmt.Errorf("find the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return 0, fmt.Errorf("set the loopback interface up: %w", err)
	}
	return lo.Attrs().Index, nil
}

// listAttempts is how often a list of routes is asked for again that changed
// while it was read.
const listAttempts = 5

// localRoutes are our routes by address.
func localRoutes() (map[netip.Addr]netlink.Route, error) {
	out := map[netip.Addr]netlink.Route{}
	filter := &netlink.Route{Table: unix.RT_TABLE_LOCAL, Protocol: routeProtocol}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		var all []netlink.Route
		var err error
		for range listAttempts {
			if all, err = netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL); !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("list local routes: %w", err)
		}
		for _, r := range all {
			if r.Dst == nil {
				continue
			}
			if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
				out[a.Unmap()] = r
			}
		}
	}
	return out, nil
}

// localOf are the addresses with a listener in user space.
func (t Tables) localOf() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, l := range t.Listeners {
		if l.Local {
			out[l.VIP] = true
		}
	}
	return out
}

// settle takes back what the kernel no longer needs.
func (d *Datapath) settle(t Tables) error {
	addrs := t.localOf()
	err := d.routes.keep(addrs)
	if len(addrs) > 0 || !d.sockets.mayBeOpen {
		return err
	}
	return errors.Join(err, d.sockets.close())
}

// Prepare makes the kernel ready for the sockets of listeners in user space. It
// comes before they listen, and they listen before Apply leaves packets to them.
func (d *Datapath) Prepare(_ context.Context, t Tables) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	addrs := t.localOf()
	if len(addrs) == 0 {
		return nil
	}
	return errors.Join(d.sockets.open(), d.routes.add(addrs))
}
