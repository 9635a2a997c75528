package datapath

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// The program keeps a bit for each slot of flows, which says whether some record
// may have its home there: where none does, a new flow need not look. The bits are
// of the program that keeps them. One that adopts flows begins with all bits set,
// and clears none before those that came before it have ended.

// homesBuckets is HOMES_BUCKETS in bpf/maps.h: an entry is 16 bits for each.
const homesBuckets = 32

// takeHomes sets all bits.
func takeHomes(homes *ebpf.Map) error {
	memory, err := homes.Memory()
	if err == nil {
		_, err = memory.WriteAt(bytes.Repeat([]byte{0xff}, int(memory.Size())), 0)
	}
	if err != nil {
		return fmt.Errorf("say that flows may be anywhere: %w", err)
	}
	return nil
}

func pinned(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// aloneNow lets the program clear bits. It comes after the program has taken the
// place of the one before.
func aloneNow(objs *edgeObjects) error {
	if err := awaitPrograms(); err != nil {
		return fmt.Errorf("wait for the last packet of another program: %w", err)
	}
	if err := objs.Alone.Set(uint32(1)); err != nil {
		return fmt.Errorf("let the program know that it is alone: %w", err)
	}
	return nil
}

// awaitPrograms returns when all BPF programs that run now have ended: the kernel
// waits for them when an entry of a map of maps is replaced (kernel/bpf/syscall.c,
// maybe_wait_bpf_programs).
func awaitPrograms() (err error) {
	inner := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	m, err := ebpf.NewMap(inner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	outer, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: inner})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, outer.Close()) }()
	return outer.Put(uint32(0), m)
}
