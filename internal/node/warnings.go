package node

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// facts are the settings of a target that decide whether forwarded packets are
// accepted and answered.
type facts struct {
	iface       string
	rpFilter    int // effective: the larger of conf/all and conf/IFACE; 1 is strict
	forwarding4 bool
	forwarding6 bool
	defaults4   []string // interfaces of the IPv4 default routes
}

// warnings says what in the settings breaks traffic through edges, and what to
// do about it.
//
// accept_local matters to nobody here: an edge gives a packet its own address
// when the client's is one of the target's.
func warnings(f facts) []string {
	var w []string
	switch {
	case len(f.defaults4) == 0:
		w = append(w, "there is no IPv4 default route: the kernel drops replies to clients beyond its networks before they can be sent to an edge; "+
			"add a default route by "+f.iface)
	case f.rpFilter == 1 && !slices.Contains(f.defaults4, f.iface):
		w = append(w, fmt.Sprintf("the default route leaves by %s and reverse path filtering is strict: packets of clients that edges forward to %s are dropped; "+
			"set net.ipv4.conf.%s.rp_filter=2", strings.Join(f.defaults4, ", "), f.iface, f.iface))
	}
	const slow = " is off: the kernel does not tell where it would answer to, so all flows are remembered, not only those through edges; set it to 1 or expect a fuller table"
	if !f.forwarding4 {
		w = append(w, "net.ipv4.conf."+f.iface+".forwarding"+slow)
	}
	if !f.forwarding6 {
		w = append(w, "net.ipv6.conf."+f.iface+".forwarding"+slow)
	}
	return w
}

func warnAbout(cfg Config) {
	f, err := readFacts(cfg.Interface)
	if err != nil {
		cfg.Log.Warn("the target's settings cannot be checked", "error", err)
	}
	for _, w := range warnings(f) {
		cfg.Log.Warn(w, "interface", cfg.Interface)
	}
}

func readFacts(iface string) (facts, error) {
	f := facts{iface: iface}
	all, err1 := readSysctl("ipv4/conf/all/rp_filter")
	own, err2 := readSysctl("ipv4/conf/" + iface + "/rp_filter")
	four, err3 := readSysctl("ipv4/conf/" + iface + "/forwarding")
	six, err4 := readSysctl("ipv6/conf/" + iface + "/forwarding")
	if errors.Is(err4, os.ErrNotExist) {
		six, err4 = 1, nil // a kernel without IPv6 has nothing to set
	}
	defaults, err5 := defaultInterfaces()
	f.rpFilter, f.forwarding4, f.forwarding6, f.defaults4 = max(all, own), four == 1, six == 1, defaults
	return f, errors.Join(err1, err2, err3, err4, err5)
}

func readSysctl(key string) (int, error) {
	data, err := os.ReadFile("/proc/sys/net/" + key)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// defaultInterfaces names the interfaces of all IPv4 default routes.
func defaultInterfaces() ([]string, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	for errors.Is(err, netlink.ErrDumpInterrupted) {
		routes, err = netlink.RouteList(nil, netlink.FAMILY_V4)
	}
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var names []string
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		hops := r.MultiPath
		if len(hops) == 0 {
			hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex}}
		}
		for _, hop := range hops {
			link, err := netlink.LinkByIndex(hop.LinkIndex)
			if err != nil {
				return nil, fmt.Errorf("name interface %d: %w", hop.LinkIndex, err)
			}
			names = append(names, link.Attrs().Name)
		}
	}
	return names, nil
}
