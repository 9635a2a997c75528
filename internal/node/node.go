// Package node is the helper on targets: it sends replies back through the edge
// that owns the flow.
//
// An edge keeps the client's address on the packets it forwards, so a target's
// own routes would answer the client directly, past the edge. Two programs on
// the target's uplink (bpf/node.bpf.c) remember the MAC address that a flow's
// packets come from, where it is not the one that the kernel would answer to,
// and give the flow's replies that address. Nothing is configured: edges may
// come, go and change without the helper being told.
//
// Invariants:
//   - Maps and links are pinned. When the process ends, traffic goes on; the
//     next process adopts the maps with all flows and replaces the programs
//     without a gap.
//   - A flow that does not come through an edge is left alone.
//   - Edges and targets share a segment: a reply can be given a MAC address only
//     where that address can be reached. Across a router edges use source NAT.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"

	"github.com/fairlead-lb/fairlead/internal/bpffs"
)

// DefaultMaxFlows is the number of flows that a target remembers. One takes
// about 120 bytes of kernel memory, which is allocated at the start.
const DefaultMaxFlows = 131072

// ErrKernel says that the kernel lacks what the helper needs.
var ErrKernel = errors.New("the kernel has no tcx (it came with Linux 6.6)")

// Config says where the helper works.
type Config struct {
	Interface string // the uplink that edges reach the target by
	PinDir    string // see bpffs.Open
	MaxFlows  uint32 // 0: DefaultMaxFlows; a pinned map keeps its own size
	Log       *slog.Logger
	Metrics   prometheus.Registerer // may be nil
}

// Run attaches the programs and keeps them attached, also when the interface
// disappears and comes back, until ctx ends. Maps and links stay pinned. It
// returns ctx's error, or what made attaching impossible.
func Run(ctx context.Context, cfg Config) error {
	lock, err := bpffs.Open(cfg.PinDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	updates := make(chan netlink.LinkUpdate, 16)
	if err := netlink.LinkSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	s, err := attach(cfg)
	if err != nil {
		return err
	}
	defer func() { s.Close() }()
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(s); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	warnAbout(cfg)
	cfg.Log.Info("replies go back through the edge of their flow", "interface", cfg.Interface)
	return s.follow(ctx, updates)
}

// follow attaches again when the interface is another one than it was.
func (s *steering) follow(ctx context.Context, updates <-chan netlink.LinkUpdate) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u, ok := <-updates:
			if !ok {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return errors.New("watch interfaces: the kernel ended the subscription")
			}
			if u.Attrs().Name != s.cfg.Interface || u.Attrs().Index == s.ifindex {
				continue
			}
			if err := s.attachLinks(); err != nil {
				s.cfg.Log.Error("interface came back, but the programs cannot be attached", "interface", s.cfg.Interface, "error", err)
				continue
			}
			s.cfg.Log.Info("attached to the interface that came back", "interface", s.cfg.Interface)
		}
	}
}

// uplink returns the interface to attach to.
func uplink(name string) (*net.Interface, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", name, err)
	}
	if len(iface.HardwareAddr) != 6 {
		return nil, fmt.Errorf("interface %s has no MAC address: the helper needs an Ethernet interface", name)
	}
	return iface, nil
}
