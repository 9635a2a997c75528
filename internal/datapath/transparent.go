package datapath

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Packets that the program in bpf/local.h marks are for this machine whatever
// their address is: a rule leads them to a table that says so.
const (
	markLocal     = 0x00100000 // as in bpf/local.h
	localTable    = 7440
	localPriority = 100 // of the rule: before the main table's, behind the local one's
)

// socketPath leads packets to the sockets of listeners in user space. It is there
// while there are any; the rule and its table also outlive the process.
type socketPath struct {
	ns   namespace
	dev  int // the uplink's index
	prog *ebpf.Program
	link link.Link // nil: not attached

	mayBeOpen bool // by this process or one before
}

// open sets the path up; again is no error.
func (s *socketPath) open() error {
	if s.link != nil {
		return nil
	}
	s.mayBeOpen = true
	return s.ns.in(func() error {
		if err := addRules(); err != nil {
			return err
		}
		attached, err := link.AttachTCX(link.TCXOptions{Interface: s.dev, Program: s.prog, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return fmt.Errorf("attach the program that finds sockets to the uplink: %w", err)
		}
		s.link = attached
		return nil
	})
}

// restore puts the program back when someone took it off the uplink.
func (s *socketPath) restore() error {
	if s.link == nil {
		return nil
	}
	if info, err := s.link.Info(); err == nil && info.TCX() != nil && info.TCX().Ifindex != 0 {
		return nil
	}
	return errors.Join(s.detach(), s.open())
}

// detach takes the program off the uplink.
func (s *socketPath) detach() error {
	if s.link == nil {
		return nil
	}
	err := s.link.Close()
	s.link = nil
	return err
}

// close takes down all of the path.
func (s *socketPath) close() error {
	err := errors.Join(s.detach(), s.ns.in(removeRules))
	s.mayBeOpen = err != nil
	return err
}

func families() []int { return []int{netlink.FAMILY_V4, netlink.FAMILY_V6} }

func addRules() error {
	lo, err := loopback()
	if err != nil {
		return err
	}
	for _, family := range families() {
		if err := netlink.RouteReplace(everythingLocal(family, lo)); err != nil {
			return fmt.Errorf("make marked packets local: %w", err)
		}
		if err := netlink.RuleAdd(markRule(family)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route marked packets to this machine: %w", err)
		}
	}
	return nil
}

func removeRules() error {
	var errs []error
	for _, family := range families() {
		if err := netlink.RuleDel(markRule(family)); err != nil && !isAbsent(err) {
			errs = append(errs, fmt.Errorf("remove the rule for marked packets: %w", err))
		}
		if err := netlink.RouteDel(everythingLocal(family, 0)); err != nil && !isAbsent(err) {
			errs = append(errs, fmt.Errorf("remove the route of marked packets: %w", err))
		}
	}
	return errors.Join(errs...)
}

func isAbsent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EAFNOSUPPORT)
}

func markRule(family int) *netlink.Rule {
	r := netlink.NewRule()
	mask := uint32(markLocal)
	r.Family, r.Priority, r.Table, r.Mark, r.Mask = family, localPriority, localTable, markLocal, &mask
	return r
}

func everythingLocal(family, lo int) *netlink.Route {
	all := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if family == netlink.FAMILY_V6 {
		all = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &netlink.Route{Dst: all, LinkIndex: lo, Table: localTable, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: routeProtocol}
}
