package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Apply makes what the topology describes and is not there yet, and sets what
// is there to the described values. What the topology does not mention stays.
// After an error it may simply be called again.
func Apply(t Topology) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("build network: %w", err)
	}
	b := builder{handles: map[string]*netlink.Handle{}}
	defer b.close()
	for _, ns := range t.Namespaces {
		if err := b.namespace(ns); err != nil {
			return fmt.Errorf("build namespace %s: %w", ns.Name, err)
		}
	}
	for _, c := range t.Cables {
		if err := b.cable(c); err != nil {
			return fmt.Errorf("connect %s/%s with %s/%s: %w", c.A.Namespace, c.A.Name, c.B.Namespace, c.B.Name, err)
		}
	}
	for _, ns := range t.Namespaces {
		if err := b.routes(ns); err != nil {
			return fmt.Errorf("route in namespace %s: %w", ns.Name, err)
		}
	}
	return nil
}

// builder holds one netlink handle per namespace: a handle stays in the
// namespace it was made in, whatever thread uses it.
type builder struct {
	handles map[string]*netlink.Handle
}

func (b builder) close() {
	for _, h := range b.handles {
		h.Close()
	}
}

func (b builder) namespace(ns Namespace) error {
	if err := Create(ns.Name); err != nil {
		return err
	}
	f, err := open(ns.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	h, err := netlink.NewHandleAt(netns.NsHandle(f.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	b.handles[ns.Name] = h
	if err := writeSysctls(ns.Name, append(noDuplicateDetection(), ns.Sysctls...)); err != nil {
		return err
	}
	for _, name := range ns.Bridges {
		if err := bridge(h, name); err != nil {
			return fmt.Errorf("bridge %s: %w", name, err)
		}
	}
	return nil
}

// bridge makes a plain learning switch: no spanning tree, no multicast
// snooping (without a querier it loses neighbour solicitations).
func bridge(h *netlink.Handle, name string) error {
	snooping := false
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}, MulticastSnooping: &snooping}
	if err := h.LinkAdd(link); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	found, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	return h.LinkSetUp(found)
}

func (b builder) cable(c Cable) error {
	made, err := b.connected(c)
	if err != nil {
		return err
	}
	if !made {
		if err := b.connect(c); err != nil {
			return err
		}
	}
	for _, configure := range []func(Port) error{b.port, b.xdp} {
		for _, p := range []Port{c.A, c.B} {
			if err := configure(p); err != nil {
				return fmt.Errorf("port %s/%s: %w", p.Namespace, p.Name, err)
			}
		}
	}
	return nil
}

// connected reports whether both ends exist. A single one is in the way of the
// pair and is removed; its other end disappears with it.
func (b builder) connected(c Cable) (bool, error) {
	n := 0
	var single netlink.Link
	var owner *netlink.Handle
	for _, p := range []Port{c.A, c.B} {
		link, err := b.handles[p.Namespace].LinkByName(p.Name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			continue
		}
		if err != nil {
			return false, err
		}
		n, single, owner = n+1, link, b.handles[p.Namespace]
	}
	if n == 1 {
		return false, owner.LinkDel(single)
	}
	return n == 2, nil
}

func (b builder) connect(c Cable) error {
	peer, err := open(c.B.Namespace)
	if err != nil {
		return err
	}
	defer peer.Close()
	link := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: c.A.Name},
		PeerName:      c.B.Name,
		PeerNamespace: netlink.NsFd(peer.Fd()),
	}
	return b.handles[c.A.Namespace].LinkAdd(link)
}

func (b builder) port(p Port) error {
	h := b.handles[p.Namespace]
	link, err := h.LinkByName(p.Name)
	if err != nil {
		return err
	}
	if err := setMAC(h, link, p.MAC); err != nil {
		return fmt.Errorf("set MAC address %s: %w", p.MAC, err)
	}
	if err := writeSysctls(p.Namespace, p.Sysctls); err != nil {
		return err
	}
	if p.Bridge != "" {
		if err := h.LinkSetMaster(link, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: p.Bridge, Index: mustIndex(h, p.Bridge)}}); err != nil {
			return fmt.Errorf("join bridge %s: %w", p.Bridge, err)
		}
	}
	for _, a := range p.Addresses {
		if err := h.AddrReplace(link, address(a)); err != nil {
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}
	return h.LinkSetUp(link)
}

// xdp comes last for a cable: attached before the link has its carrier, a
// program delays the carrier by up to a second.
func (b builder) xdp(p Port) error {
	if !p.FacesXDP {
		return nil
	}
	link, err := b.handles[p.Namespace].LinkByName(p.Name)
	if err != nil {
		return err
	}
	return faceXDP(link, p)
}

// mustIndex returns 0 for a bridge that does not exist; the kernel refuses it.
func mustIndex(h *netlink.Handle, name string) int {
	if link, err := h.LinkByName(name); err == nil {
		return link.Attrs().Index
	}
	return 0
}

func setMAC(h *netlink.Handle, link netlink.Link, mac string) error {
	if mac == "" || link.Attrs().HardwareAddr.String() == mac {
		return nil
	}
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	return h.LinkSetHardwareAddr(link, hw)
}

// noDuplicateDetection makes link-local addresses usable at once: a router
// without one cannot ask for its neighbours, and a described network has no
// duplicates to detect.
func noDuplicateDetection() []Sysctl {
	return []Sysctl{
		{Key: "net/ipv6/conf/all/accept_dad", Value: "0"},
		{Key: "net/ipv6/conf/default/accept_dad", Value: "0"},
	}
}

// address skips duplicate address detection, which would keep an IPv6 address
// unusable for a second.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func (b builder) routes(ns Namespace) error {
	for _, r := range ns.Routes {
		route := &netlink.Route{Dst: ipNet(r.To.Masked())}
		if r.Via.IsValid() {
			route.Gw = r.Via.AsSlice()
		} else {
			route.Type = unix.RTN_UNREACHABLE
		}
		if err := b.handles[ns.Name].RouteReplace(route); err != nil {
			return fmt.Errorf("to %s: %w", r.To, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// loopbackUp works in the calling thread's namespace.
func loopbackUp() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	return h.LinkSetUp(lo)
}

func writeSysctls(name string, settings []Sysctl) error {
	if len(settings) == 0 {
		return nil
	}
	return In(name, func() error {
		for _, s := range settings {
			err := os.WriteFile(filepath.Join("/proc/sys", s.Key), []byte(s.Value), 0)
			if s.Optional && errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("set %s to %s: %w", s.Key, s.Value, err)
			}
		}
		return nil
	})
}
