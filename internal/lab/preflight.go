package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/cli"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// problem is one thing that is in the way of starting a lab.
type problem struct {
	what string
	why  string
	next string
}

// problems is all of them, as one error for people.
func asError(all []problem) error {
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d in the way, nothing has been changed", len(all))
	for _, p := range all {
		fmt.Fprintf(&b, "\n  ✗ %s\n    why:  %s\n    next: %s", p.what, p.why, p.next)
	}
	return &cli.Error{What: "start the lab", Err: errors.New(b.String())}
}

// preflight looks for everything that would keep the lab from coming up. It
// changes nothing. leftover says that a crashed lab will be removed first.
func preflight(o Options, leftover bool) []problem {
	var all []problem
	all = append(all, checkRights()...)
	all = append(all, checkPrograms()...)
	if len(all) == 0 { // without rights it could not be tried
		all = append(all, checkKernel()...)
	}
	all = append(all, checkPorts(o)...)
	all = append(all, checkStateDir(o.StateDir, o.Prefix)...)
	if !o.AllowOverlap {
		all = append(all, checkAddresses()...)
	}
	if !leftover {
		all = append(all, checkNamespaces(o.Prefix)...)
	}
	return all
}

// Capabilities that making namespaces, links and BPF programs takes, by number
// (linux/capability.h).
var capabilities = map[string]uint{"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21}

func checkRights() []problem {
	if uid := os.Geteuid(); uid != 0 {
		return []problem{{
			fmt.Sprintf("root is needed, this is user %d", uid),
			"the lab makes network namespaces, mounts and BPF programs",
			"run the same command with sudo",
		}}
	}
	var missing []string
	for name, bit := range capabilities {
		if held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(bit), 0, 0, 0); err != nil || held == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return []problem{{
		"root here lacks " + strings.Join(missing, ", "),
		"the lab makes network namespaces, mounts and BPF programs",
		"run on the machine itself or in a container that is started with --privileged",
	}}
}

// checkPrograms looks for what the lab's programs call.
func checkPrograms() []problem {
	if _, err := netlab.LookPath("nft"); err == nil {
		return nil
	}
	return []problem{{"there is no nft program", "kube-proxy makes its rules with it", "apt-get install nftables"}}
}

// checkKernel tries in a namespace without a name what the lab will do in its
// own.
func checkKernel() []problem {
	var all []problem
	if err := netlab.Probe(); err != nil {
		all = append(all, problem{
			"this kernel cannot make the lab's network", err.Error(),
			"use a kernel with network namespaces, IPv6, bridge, veth, XDP and nftables with NAT; Debian 12's has them",
		})
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil || !slices.Contains(strings.Fields(string(filesystems)), "bpf") {
		all = append(all, problem{
			"this kernel has no BPF file system", "the edges keep their programs and tables in it",
			"use a kernel with CONFIG_BPF_SYSCALL; Debian 12's has it",
		})
	}
	return all
}

func checkPorts(o Options) []problem {
	var all []problem
	for _, p := range []struct {
		flag string
		port uint16
	}{{"--api-port", o.APIPort}, {"--engine-port", o.EnginePort}} {
		l, err := net.Listen("tcp", loopback(p.port).String())
		if err == nil {
			l.Close()
			continue
		}
		all = append(all, problem{
			fmt.Sprintf("port %d of loopback cannot be used", p.port), err.Error(),
			fmt.Sprintf("choose another with %s, or end who has it ('ss -ltnp sport = :%d' names it)", p.flag, p.port),
		})
	}
	return all
}

// checkStateDir refuses directories with other things in them: down removes
// the whole content. A lab's is fine if it is the one that has been swept.
func checkStateDir(dir, prefix string) []problem {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return []problem{{"the state directory cannot be used", err.Error(), "choose another with --state-dir"}}
	}
	s, err := loadState(component.Dir(dir))
	switch {
	case err == nil && s.Prefix == prefix:
		return nil
	case err == nil:
		return []problem{{
			fmt.Sprintf("the state directory %s is that of a lab with the prefix %s", dir, s.Prefix),
			"two labs cannot share one", "choose another with --state-dir, or take that lab away with 'fairlead-lab down'",
		}}
	}
	return []problem{{
		"the state directory " + dir + " has things in it that are not a lab's",
		"'fairlead-lab down' removes all that is in it", "choose another with --state-dir, or empty it",
	}}
}

// checkAddresses finds the lab's ranges on the host. Nothing would break, but
// the same address would mean one thing on the host and another in the lab.
func checkAddresses() []problem {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return []problem{{"the host's addresses cannot be read", err.Error(), "see why, or pass --allow-overlap"}}
	}
	var all []problem
	for _, a := range addrs {
		have, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		i := slices.IndexFunc(layout.Networks(), have.Masked().Overlaps)
		if i < 0 {
			continue
		}
		all = append(all, problem{
			fmt.Sprintf("the host has the address %s of the lab's range %s", have, layout.Networks()[i]),
			"the address would mean one machine on the host and another inside the lab",
			"remove it, or pass --allow-overlap if the two need not reach each other",
		})
	}
	return all
}

func checkNamespaces(prefix string) []problem {
	names, err := prefixed(prefix)
	if err != nil {
		return []problem{{"the machine's network namespaces cannot be listed", err.Error(), "see why"}}
	}
	if len(names) == 0 {
		return nil
	}
	return []problem{{
		"there are network namespaces with the lab's prefix already: " + strings.Join(names, ", "),
		"'fairlead-lab down' removes all that begin with " + prefix,
		"delete them with 'ip netns delete NAME', or choose another --prefix",
	}}
}
