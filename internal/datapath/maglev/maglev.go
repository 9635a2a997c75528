// Package maglev fills the lookup tables that spread new flows over targets.
//
// The algorithm is the one of "Maglev: A Fast and Reliable Software Network Load
// Balancer" (NSDI 2016, section 3.4): every target walks the slots in an order
// of its own and takes the next free one when it is its turn. Shares are even,
// and when a target comes or goes few slots change hands between the others.
//
// Invariants: the package is pure, and a table depends only on the set of names
// with their weights and on the size, not on the order in which they are given.
package maglev

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// None fills the slots of a table that has no target.
const None = -1

// sizes are primes, so that every skip visits every slot.
var sizes = [...]int{1021, 4093, 16381, 65537}

// Target is one target to spread flows over.
type Target struct {
	Name   string // stable: the same target has the same name in every table
	Weight int    // share relative to the others; targets of weight 0 get no slot
}

// slotsPerTarget keeps shares within half a per cent, and below one per cent the
// slots that change hands between targets that stay when one of them leaves.
const slotsPerTarget = 250

// Size returns the number of slots for a number of targets: slotsPerTarget each,
// as long as a table can.
func Size(targets int) int {
	for _, size := range sizes {
		if size >= slotsPerTarget*targets {
			return size
		}
	}
	return sizes[len(sizes)-1]
}

// Build returns a table of the given size, which must be one of Size's. Slots
// hold indices into targets, or None when no target has a weight.
func Build(targets []Target, size int) []int {
	table := make([]int, size)
	for i := range table {
		table[i] = None
	}
	walks, heaviest := newWalks(targets, size)
	if len(walks) == 0 {
		return table
	}
	for filled := 0; ; {
		for i := range walks {
			if !walks[i].takesTurn(heaviest) {
				continue
			}
			table[walks[i].next(table)] = walks[i].target
			if filled++; filled == size {
				return table
			}
		}
	}
}

// walk is one target's way through the slots.
type walk struct {
	target int // index into the caller's slice
	name   string
	weight int
	credit int
	at     int
	skip   int
}

func newWalks(targets []Target, size int) (walks []walk, heaviest int) {
	for i, t := range targets {
		if t.Weight <= 0 {
			continue
		}
		heaviest = max(heaviest, t.Weight)
		sum := sha256.Sum256([]byte(t.Name))
		offset, skip := binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])
		walks = append(walks, walk{
			target: i, name: t.Name, weight: t.Weight,
			at:   int(offset % uint64(size)),
			skip: 1 + int(skip%uint64(size-1)),
		})
	}
	slices.SortFunc(walks, func(a, b walk) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.weight, b.weight))
	})
	return walks, heaviest
}

// takesTurn spreads the turns of lighter targets evenly over the rounds.
func (w *walk) takesTurn(heaviest int) bool {
	w.credit += w.weight
	if w.credit < heaviest {
		return false
	}
	w.credit -= heaviest
	return true
}

// next returns the first free slot on the walk and moves on.
func (w *walk) next(table []int) int {
	for {
		slot := w.at
		w.at = (w.at + w.skip) % len(table)
		if table[slot] == None {
			return slot
		}
	}
}
