package datapath

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// pinnedLink ties a program to an interface, where its pin keeps it without a
// process.
type pinnedLink struct {
	pin  string // path; empty: not pinned
	prog *ebpf.Program
	link link.Link // nil: not attached
}

// adopt takes over the link that is pinned, if it is one to the interface, and
// swaps the program in one step. On an error only drop is of use.
func (p *pinnedLink) adopt(index int) error {
	if p.pin == "" {
		return os.ErrNotExist
	}
	l, err := link.LoadPinnedLink(p.pin, nil)
	if err != nil {
		return err
	}
	if p.link != nil {
		p.link.Close()
	}
	p.link = l
	if attachedTo(l) != index {
		return errors.New("the link is not attached any more")
	}
	return l.Update(p.prog)
}

// keep takes a link that was just made, and pins it.
func (p *pinnedLink) keep(l link.Link) error {
	p.link = l
	if p.pin == "" {
		return nil
	}
	if err := l.Pin(p.pin); err != nil {
		return fmt.Errorf("pin the link to %s: %w", p.pin, err)
	}
	return nil
}

// intact says whether the program is still where it was attached.
func (p *pinnedLink) intact() bool { return p.link != nil && attachedTo(p.link) != 0 }

// drop takes a link that is of no use any more off the interface. To close and
// unpin it would leave that to whenever the kernel frees it, and an interface takes
// no second XDP program meanwhile.
func (p *pinnedLink) drop() {
	if p.link != nil {
		_ = p.link.Detach() // fails only where nothing is attached
		p.link.Close()
		p.link = nil
	}
	if p.pin != "" {
		_ = os.Remove(p.pin)
	}
}

// close lets go of the link without stopping the program when it is pinned.
func (p *pinnedLink) close() error {
	if p.link == nil {
		return nil
	}
	return p.link.Close()
}

// attachedTo returns the interface index, 0 when the link has been detached.
func attachedTo(l link.Link) int {
	info, err := l.Info()
	if err != nil {
		return 0
	}
	if xdp := info.XDP(); xdp != nil {
		return int(xdp.Ifindex)
	}
	if tcx := info.TCX(); tcx != nil {
		return int(tcx.Ifindex)
	}
	return 0
}
