package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/fairlead-lb/fairlead/internal/bpffs"
)

// Names of the pinned links.
const (
	ingressPin = "node_ingress_link"
	egressPin  = "node_egress_link"
)

func (h *Helper) load() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("lift the limit of locked memory: %w", err)
	}
	spec, err := loadBpf()
	if err != nil {
		return fmt.Errorf("read the embedded programs: %w", err)
	}
	if err := size(spec, h.cfg); err != nil {
		return err
	}
	err = spec.LoadAndAssign(&h.objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: h.cfg.PinDir}})
	switch {
	case errors.Is(err, ebpf.ErrMapIncompatible):
		return fmt.Errorf("adopt the maps pinned in %s, which another version made: %w", h.cfg.PinDir, err)
	case err != nil:
		return fmt.Errorf("load the programs: %w", err)
	}
	return nil
}

// size sets the size of the flow map: that of the pinned one, so that its flows
// can be adopted, or the configured one.
func size(spec *ebpf.CollectionSpec, cfg Config) error {
	flows := spec.Maps[bpfMapNodeFlowsV1]
	flows.MaxEntries = cfg.MaxFlows
	if cfg.MaxFlows == 0 {
		flows.MaxEntries = DefaultMaxFlows
	}
	pinned, err := ebpf.LoadPinnedMap(filepath.Join(cfg.PinDir, bpfMapNodeFlowsV1), &ebpf.LoadPinOptions{ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pinned flows: %w", err)
	}
	defer pinned.Close()
	if have := pinned.MaxEntries(); have != flows.MaxEntries {
		cfg.Log.Warn("the pinned flow table keeps its size; 'fairlead node detach' removes it with all flows",
			"pinned", have, "wanted", flows.MaxEntries)
		flows.MaxEntries = have
	}
	return nil
}

// attach attaches egress first: a flow that is learned can be answered.
// Ingress runs before other programs and egress after them, so that both see
// what is on the wire.
func (h *Helper) attach() error {
	iface, err := uplink(h.cfg.Interface)
	if err != nil {
		return err
	}
	hooks := []struct {
		pin string
		opt link.TCXOptions
	}{
		{egressPin, link.TCXOptions{Program: h.objects.NodeEgress, Attach: ebpf.AttachTCXEgress, Anchor: link.Tail()}},
		{ingressPin, link.TCXOptions{Program: h.objects.NodeIngress, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()}},
	}
	for _, hook := range hooks {
		hook.opt.Interface = iface.Index
		if err := attachLink(filepath.Join(h.cfg.PinDir, hook.pin), hook.opt); err != nil {
			return fmt.Errorf("attach to interface %s: %w", iface.Name, err)
		}
	}
	h.ifindex = iface.Index
	return nil
}

// attachLink puts the program into the pinned link, or makes and pins a link
// where there is none on this interface.
func attachLink(pin string, opt link.TCXOptions) error {
	replaced, err := replace(pin, opt)
	if replaced || err != nil {
		return err
	}
	l, err := link.AttachTCX(opt)
	if errors.Is(err, ebpf.ErrNotSupported) {
		return ErrKernel
	}
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

// replace swaps the program of a pinned link. A link to an interface that is
// gone, or to another one, is removed.
func replace(pin string, opt link.TCXOptions) (bool, error) {
	pinned, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open the pinned link %s: %w", pin, err)
	}
	defer pinned.Close()
	info, err := pinned.Info()
	if err != nil {
		return false, fmt.Errorf("ask the pinned link %s: %w", pin, err)
	}
	if tcx := info.TCX(); tcx != nil && int(tcx.Ifindex) == opt.Interface {
		return true, pinned.Update(opt.Program)
	}
	return false, errors.Join(pinned.Detach(), pinned.Unpin())
}

// Detach removes the programs and forgets all flows. Connections through edges
// break unless another way leads their replies back.
func Detach(pinDir string) error {
	return errors.Join(
		detachLink(filepath.Join(pinDir, ingressPin)),
		detachLink(filepath.Join(pinDir, egressPin)),
		bpffs.Remove(pinDir, ingressPin, egressPin, bpfMapNodeNewV1, bpfMapNodeFlowsV1, bpfMapNodeFragmentsV1, bpfMapNodeCountersV1),
	)
}

// detachLink takes a program off now; unpinning alone leaves that to whenever
// the kernel frees the link.
func detachLink(pin string) error {
	pinned, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pinned link %s: %w", pin, err)
	}
	defer pinned.Close()
	if err := pinned.Detach(); err != nil {
		return fmt.Errorf("detach the pinned link %s: %w", pin, err)
	}
	return nil
}
