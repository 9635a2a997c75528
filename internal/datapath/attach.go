package datapath

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mode is how the program is attached.
type Mode string

// Modes of attachment. Generic XDP runs after the kernel has made a socket
// buffer of the frame: it works on every interface and costs several times more.
const (
	Native   Mode = "native"
	Generic  Mode = "generic"
	Detached Mode = "detached"
)

const linkPin = "link"

// attachment ties the XDP program to the uplink.
type attachment struct {
	pinnedLink
	name string // of the uplink
	mode Mode

	want   Mode  // native, generic, or empty: native where it is sure to work
	lacked error // why it is generic although it could have been native
}

// attach adopts the pinned link, swapping the program in one step, or makes one.
// It acts in the network namespace of the calling thread.
func (a *attachment) attach() error {
	iface, err := net.InterfaceByName(a.name)
	if err != nil {
		return fmt.Errorf("find the uplink %s: %w", a.name, err)
	}
	if err := a.hearAll(iface.Index, true); err != nil {
		return err
	}
	if err := a.adopt(iface.Index); err == nil {
		if err := a.readMode(iface.Index); err != nil || a.want == "" || a.want == a.mode {
			return err
		}
	}
	a.drop()
	modes, err := a.candidates(iface.Index)
	if err != nil {
		return err
	}
	for _, mode := range modes {
		l, err := link.AttachXDP(link.XDPOptions{Program: a.prog, Interface: iface.Index, Flags: mode.flags()})
		if err == nil {
			a.mode = mode
			return a.keep(l)
		}
		a.lacked = err
	}
	return fmt.Errorf("attach XDP to %s: %w", a.name, a.lacked)
}

// why tells why the program is attached generically.
func (a *attachment) why() string {
	switch {
	case a.want == Generic:
		return "--xdp-mode generic asks for it"
	case a.lacked != nil:
		return "no native XDP: " + a.lacked.Error()
	}
	return "an edge before attached it so"
}

func (m Mode) flags() link.XDPAttachFlags {
	if m == Generic {
		return link.XDPGenericMode
	}
	return link.XDPDriverMode
}

// errPeer is why a virtual cable gets the generic program. What a native one
// sends waits in the peer's ring until the peer polls it, which it does only with
// a program of its own or with generic receive offload (veth_xdp_xmit); who runs
// an edge in a container usually cannot see the peer.
var errPeer = errors.New("a veth drops what a native program sends unless its peer has generic receive offload on ('ethtool -K PEER gro on'); when it has, use --xdp-mode native")

// candidates are the modes to try, the best first.
func (a *attachment) candidates(index int) ([]Mode, error) {
	if a.want != "" {
		return []Mode{a.want}, nil
	}
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil, fmt.Errorf("examine the uplink %s: %w", a.name, err)
	}
	if l.Type() == "veth" {
		a.lacked = errPeer
		return []Mode{Generic}, nil
	}
	return []Mode{Native, Generic}, nil
}

// hearAll has the uplink receive all multicast frames: neighbour solicitations
// for addresses that the kernel does not know come to groups it has not joined.
func (a *attachment) hearAll(index int, on bool) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("examine the uplink %s: %w", a.name, err)
	}
	set := netlink.LinkSetAllmulticastOff
	if on {
		set = netlink.LinkSetAllmulticastOn
	}
	if err := set(l); err != nil {
		return fmt.Errorf("set allmulti on %s: %w", a.name, err)
	}
	return nil
}

// detach takes the program off the uplink for good. An uplink that is gone has
// none.
func (a *attachment) detach() error {
	a.drop()
	iface, err := net.InterfaceByName(a.name)
	if err != nil {
		return nil //nolint:nilerr // the uplink is gone
	}
	return a.hearAll(iface.Index, false)
}

func (a *attachment) drop() {
	a.pinnedLink.drop()
	a.mode = Detached
}

func (a *attachment) readMode(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("examine the uplink %s: %w", a.name, err)
	}
	a.mode = Native
	if xdp := l.Attrs().Xdp; xdp != nil && xdp.AttachMode == nlXDPGeneric {
		a.mode = Generic
	}
	return nil
}

// nlXDPGeneric is XDP_ATTACHED_SKB of linux/if_link.h.
const nlXDPGeneric = 2

const threadNamespace = "/proc/thread-self/ns/net"

// namespace is the network namespace that a data path was opened in.
type namespace struct{ file *os.File }

func currentNamespace() (namespace, error) {
	f, err := os.Open(threadNamespace)
	if err != nil {
		return namespace{}, fmt.Errorf("open the network namespace: %w", err)
	}
	return namespace{f}, nil
}

// in runs f on a thread of the namespace: the caller's when it is there already,
// which spares an ordinary process the capability to change namespaces
// (CAP_SYS_ADMIN), else one that is given up afterwards: it may not be able to
// return.
func (n namespace) in(f func() error) error {
	runtime.LockOSThread()
	here, err := n.here()
	if err == nil && here {
		defer runtime.UnlockOSThread()
		return f()
	}
	runtime.UnlockOSThread()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// here says whether the calling thread is in the namespace.
func (n namespace) here() (bool, error) {
	theirs, err := n.file.Stat()
	if err != nil {
		return false, fmt.Errorf("examine the network namespace: %w", err)
	}
	ours, err := os.Stat(threadNamespace)
	if err != nil {
		return false, fmt.Errorf("examine the network namespace: %w", err)
	}
	return os.SameFile(theirs, ours), nil
}
