package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// The addresses that pods route through. No interface has them: the pod's
// neighbour entry for them is permanent, as the node's is for the pod.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

// podInterface is the name of a pod's interface inside its namespace.
const podInterface = "eth0"

// Network is a pod's network namespace and how it is joined to the node's. The
// node's must forward packets and have proxy NDP on at its uplink.
type Network struct {
	NetNS    string // name of the namespace
	HostLink string // the node's end of the pod's link
	Addrs    []netip.Addr
	Uplink   string // the node's interface on which the addresses are answered
	NodeIPs  []netip.Addr
}

// sysctl sets kernel settings of the calling thread's network namespace.
func sysctl(settings map[string]string) error {
	var errs []error
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("set %s to %s: %w", name, value, err))
		}
	}
	return errors.Join(errs...)
}

// Create makes the namespace and everything in it, from within the node's. What
// is left after a failure is removed by Delete.
func (n Network) Create() error {
	if err := netlab.Create(n.NetNS); err != nil {
		return err
	}
	if err := netlab.In(n.NetNS, preparePod); err != nil {
		return err
	}
	fd, err := unix.Open(netlab.Path(n.NetNS), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ends, err := n.connect(fd)
	if err != nil {
		return err
	}
	if err := netlab.In(n.NetNS, func() error { return n.configurePod(ends) }); err != nil {
		return fmt.Errorf("configure the pod's network: %w", err)
	}
	if err := n.configureNode(ends); err != nil {
		return fmt.Errorf("configure the node's side of the pod's network: %w", err)
	}
	return nil
}

// preparePod sets what container runtimes set: ports and ping for everyone.
func preparePod() error {
	return sysctl(map[string]string{
		"net/ipv4/ip_unprivileged_port_start": "0",
		"net/ipv4/ping_group_range":           "0 2147483647",
		"net/ipv6/conf/default/accept_dad":    "0",
		"net/ipv6/conf/default/accept_ra":     "0",
	})
}

// ends are the hardware addresses of a pod's link.
type ends struct{ node, pod net.HardwareAddr }

func (n Network) connect(podNS int) (ends, error) {
	uplink, err := netlink.LinkByName(n.Uplink)
	if err != nil {
		return ends{}, fmt.Errorf("uplink %s: %w", n.Uplink, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = n.HostLink, uplink.Attrs().MTU
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: podInterface, PeerNamespace: netlink.NsFd(podNS)}
	if err := netlink.LinkAdd(veth); err != nil {
		return ends{}, fmt.Errorf("add link %s: %w", n.HostLink, err)
	}
	// No address at all on this end, not even a link-local one.
	none := map[string]string{"net/ipv6/conf/" + n.HostLink + "/addr_gen_mode": "1"}
	if err := sysctl(none); err != nil {
		return ends{}, err
	}
	link, err := netlink.LinkByName(n.HostLink)
	if err != nil {
		return ends{}, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return ends{}, err
	}
	e := ends{node: link.Attrs().HardwareAddr}
	err = netlab.In(n.NetNS, func() error {
		pod, err := netlink.LinkByName(podInterface)
		if err == nil {
			e.pod = pod.Attrs().HardwareAddr
		}
		return err
	})
	return e, err
}

// configurePod runs in the pod's namespace.
func (n Network) configurePod(e ends) error {
	for _, name := range []string{"lo", podInterface} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	link, err := netlink.LinkByName(podInterface)
	if err != nil {
		return err
	}
	for _, a := range n.Addrs {
		if err := n.configurePodFamily(link.Attrs().Index, a, e); err != nil {
			return err
		}
	}
	return nil
}

func (n Network) configurePodFamily(index int, a netip.Addr, e ends) error {
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: hostNet(a), Flags: unix.IFA_F_NODAD}); err != nil {
		return fmt.Errorf("add address %s: %w", a, err)
	}
	gw := gateway4
	if a.Is6() {
		gw = gateway6
	}
	neigh := permanent(index, gw, e.node)
	if err := netlink.NeighSet(&neigh); err != nil {
		return fmt.Errorf("set neighbour %s: %w", gw, err)
	}
	route := netlink.Route{LinkIndex: index, Gw: gw.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := netlink.RouteAdd(&route); err != nil {
		return fmt.Errorf("add default route by %s: %w", gw, err)
	}
	return nil
}

// configureNode leads the pod's addresses to its link and answers for them on
// the uplink.
func (n Network) configureNode(e ends) error {
	host, err := netlink.LinkByName(n.HostLink)
	if err != nil {
		return err
	}
	uplink, err := netlink.LinkByName(n.Uplink)
	if err != nil {
		return err
	}
	for _, a := range n.Addrs {
		neigh := permanent(host.Attrs().Index, a, e.pod)
		if err := netlink.NeighSet(&neigh); err != nil {
			return fmt.Errorf("set neighbour %s: %w", a, err)
		}
		route := netlink.Route{LinkIndex: host.Attrs().Index, Dst: hostNet(a), Scope: netlink.SCOPE_LINK, Src: n.source(a)}
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("add route to %s: %w", a, err)
		}
		if err := netlink.NeighSet(proxy(uplink.Attrs().Index, a)); err != nil {
			return fmt.Errorf("answer for %s on %s: %w", a, n.Uplink, err)
		}
	}
	return nil
}

// source is the address by which the node itself speaks to its pods.
func (n Network) source(pod netip.Addr) net.IP {
	for _, ip := range n.NodeIPs {
		if ip.Is4() == pod.Is4() {
			return ip.AsSlice()
		}
	}
	return nil
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func permanent(link int, a netip.Addr, mac net.HardwareAddr) netlink.Neigh {
	return netlink.Neigh{LinkIndex: link, Family: family(a), State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac}
}

func proxy(link int, a netip.Addr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: link, Family: family(a), Flags: netlink.NTF_PROXY, IP: a.AsSlice()}
}

// Delete removes what Create made, also half of it. It is not an error when
// nothing is there.
func (n Network) Delete() error {
	errs := []error{netlab.Delete(n.NetNS)}
	// The link goes with the namespace, but not before the last process in it
	// has been reaped, and the addresses shall be free at once.
	if link, err := netlink.LinkByName(n.HostLink); err == nil {
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("delete link %s: %w", n.HostLink, err))
		}
	}
	if uplink, err := netlink.LinkByName(n.Uplink); err == nil {
		for _, a := range n.Addrs {
			if err := netlink.NeighDel(proxy(uplink.Attrs().Index, a)); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("stop answering for %s: %w", a, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Sweep stops answering on the uplink for pods that an earlier agent left.
func Sweep(uplink string, ranges []netip.Prefix) error {
	link, err := netlink.LinkByName(uplink)
	if err != nil {
		return fmt.Errorf("uplink %s: %w", uplink, err)
	}
	var errs []error
	for _, r := range ranges {
		neighs, err := netlink.NeighProxyList(link.Attrs().Index, family(r.Addr()))
		errs = append(errs, err)
		for _, have := range neighs {
			if a, ok := netip.AddrFromSlice(have.IP); ok && r.Contains(a.Unmap()) {
				errs = append(errs, netlink.NeighDel(proxy(link.Attrs().Index, a.Unmap())))
			}
		}
	}
	return errors.Join(errs...)
}
