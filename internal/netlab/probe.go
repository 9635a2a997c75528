package netlab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// probeRules are one of each kind of rule that kube-proxy makes.
const probeRules = `table inet probe {
	map services { type ipv4_addr . inet_proto . inet_service : verdict; }
	chain translate {
		type nat hook prerouting priority dstnat;
		fib daddr type local counter
		ip daddr . meta l4proto . th dport vmap @services
	}
	chain leave { type nat hook postrouting priority srcnat; meta mark 1 masquerade fully-random; }
}
`

// Probe tries what a lab needs of the kernel in a namespace that has no name
// and is gone when Probe returns.
func Probe() error {
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		if _, err := os.Stat("/proc/sys/net/ipv6/conf/all/forwarding"); err != nil {
			return fmt.Errorf("look for IPv6: %w", err)
		}
		if err := probeLinks(); err != nil {
			return err
		}
		prog, err := loadXDP(xdpPass)
		if err != nil {
			return err
		}
		unix.Close(prog)
		path, err := LookPath("nft")
		if err != nil {
			return err
		}
		nft := exec.Command(path, "-f", "-")
		nft.Stdin = bytes.NewReader([]byte(probeRules))
		if out, err := nft.CombinedOutput(); err != nil {
			return fmt.Errorf("make nftables rules: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// LookPath finds a program on PATH or where administrators' programs are.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err == nil {
			return path, nil
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

func probeLinks() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := bridge(h, "probe"); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}
	if err := h.LinkAdd(veth); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}
	return nil
}
