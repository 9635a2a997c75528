package datapath

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
)

// bell wakes a loop; rung more than once before it is heard it wakes once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// listenersLeft says whether listeners that are in the maps have left, or stay for
// their flows alone from now on.
func listenersLeft(want, have contents) bool {
	for index, l := range have.listeners {
		now := want.listeners[index]
		if now.Id != l.Id || now.Flags&listenerDeleted > l.Flags&listenerDeleted {
			return true
		}
	}
	return false
}

// Sweep counts the flows, forgets those of listeners that are gone, and lets go of
// targets and listeners that left and that no flow uses any more.
func (d *Datapath) Sweep(ctx context.Context) error {
	deleted := d.deletedListeners()
	found, err := d.bpf.census(d.objs.Jiffies)
	if err != nil {
		return err
	}
	if gone := d.gone(found); len(gone) > 0 {
		n, err := d.bpf.reap(d.objs.Reap, gone)
		if err != nil {
			return err
		}
		d.log.Info("forgot the flows of listeners that are gone", "listeners", len(gone), "records", n)
		if found, err = d.bpf.census(d.objs.Jiffies); err != nil {
			return err
		}
	}
	found.deleted = deleted
	d.mu.Lock()
	defer d.mu.Unlock()
	d.census = found
	err = errors.Join(d.reconcile(ctx), d.watchRoom())
	// A flow that was made after the census may use any target that is still
	// chosen, but none that has left.
	d.census.targets, d.census.listeners = nil, nil
	d.near.want(d.addresses())
	return err
}

// deletedListeners are those that get no new flows any more.
func (d *Datapath) deletedListeners() map[uint32]struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[uint32]struct{}{}
	for _, l := range d.have.listeners {
		if l.Flags&listenerDeleted != 0 {
			out[l.Id] = struct{}{}
		}
	}
	return out
}

// gone are the listeners that records name and that are there no more. An ID is
// given once, so that none of them can come back.
func (d *Datapath) gone(found census) map[uint32]struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[uint32]struct{}{}
	if !d.known {
		return out
	}
	for id := range found.named {
		if d.have.listeners[indexOf(id)].Id != id {
			out[id] = struct{}{}
		}
	}
	return out
}

// inUse says what flows may refer to: without a census, everything.
func (c census) inUse() inUse {
	used := func(ids map[uint32]struct{}, id uint32) bool {
		_, used := ids[id]
		return used || ids == nil
	}
	return inUse{
		target: func(id uint32) bool { return used(c.targets, id) },
		listener: func(id uint32) bool {
			_, settled := c.deleted[id] // before the flows were counted
			return !settled || used(c.listeners, id)
		},
	}
}

// reapBatch is how many records the program reap takes at once, as in bpf/reap.h.
const reapBatch = 64

// reaped is struct reaped.
type reaped struct {
	bucket     uint32
	slot, half uint16
	listener   uint32
}

// reaper is a packet for the program reap.
type reaper struct {
	prog   *ebpf.Program
	record [reapBatch]reaped
	held   int
	freed  int
}

// reap frees all records that name one of the listeners and returns how many.
func (s *bpfStore) reap(prog *ebpf.Program, listeners map[uint32]struct{}) (int, error) {
	r := reaper{prog: prog}
	for half, m := range []*ebpf.Map{s.maps.Flows, s.maps.HalfOpen} {
		var failed error
		err := walkPlaces(m, func(at place, f *edgeFlow) {
			if _, gone := listeners[f.Listener]; gone && failed == nil {
				failed = r.add(reaped{at.bucket, at.slot, uint16(half), f.Listener})
			}
		})
		if err != nil {
			return r.freed, err
		}
		if failed != nil {
			return r.freed, failed
		}
	}
	return r.freed, r.flush()
}

func (r *reaper) add(one reaped) error {
	r.record[r.held] = one
	if r.held++; r.held < reapBatch {
		return nil
	}
	return r.flush()
}

func (r *reaper) flush() error {
	clear(r.record[r.held:])
	packet := unsafe.Slice((*byte)(unsafe.Pointer(&r.record[0])), unsafe.Sizeof(r.record))
	n, err := r.prog.Run(&ebpf.RunOptions{Data: packet})
	if err != nil {
		return fmt.Errorf("free records of listeners that are gone: %w", err)
	}
	r.freed, r.held = r.freed+int(n), 0
	return nil
}
