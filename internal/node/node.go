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
	"os"

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

// Helper is the attached programs and their upkeep.
type Helper struct {
	cfg     Config
	pins    *os.File // held until Close
	objects bpfObjects
	ifindex int
	updates chan netlink.LinkUpdate
	done    chan struct{}
}

// Open loads the programs, with the pinned maps where there are any, and
// attaches them, in place of a former process's where there was one. It belongs
// to the network namespace of the calling thread.
func Open(cfg Config) (*Helper, error) {
	h := &Helper{cfg: cfg, updates: make(chan netlink.LinkUpdate, 16), done: make(chan struct{})}
	var err error
	if h.pins, err = bpffs.Open(cfg.PinDir); err != nil {
		return nil, err
	}
	if err := h.start(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	warnAbout(cfg)
	cfg.Log.Info("replies go back through the edge of their flow", "interface", cfg.Interface)
	return h, nil
}

func (h *Helper) start() error {
	if err := h.load(); err != nil {
		return err
	}
	// Watching comes first: an interface that is replaced meanwhile is noticed.
	if err := netlink.LinkSubscribe(h.updates, h.done); err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	if err := h.attach(); err != nil {
		return err
	}
	if h.cfg.Metrics == nil {
		return nil
	}
	if err := h.cfg.Metrics.Register(h); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// Close lets go of the programs; what is pinned stays and works on.
func (h *Helper) Close() error {
	close(h.done)
	return errors.Join(h.objects.Close(), h.pins.Close())
}

// Run keeps the programs attached, also when the interface disappears and comes
// back, until ctx ends; it returns ctx's error, or why it cannot go on. It runs
// in the network namespace of the calling thread.
func (h *Helper) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u, ok := <-h.updates:
			if !ok {
				return errors.New("watch interfaces: the kernel ended the subscription")
			}
			if u.Attrs().Name != h.cfg.Interface || u.Attrs().Index == h.ifindex {
				continue
			}
			if err := h.attach(); err != nil {
				h.cfg.Log.Error("interface came back, but the programs cannot be attached", "interface", h.cfg.Interface, "error", err)
				continue
			}
			h.cfg.Log.Info("attached to the interface that came back", "interface", h.cfg.Interface)
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
