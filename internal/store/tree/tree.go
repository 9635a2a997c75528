// Package tree is a persistent ordered map from strings: every version is
// immutable, a write shares all but one path with the version before it, and
// two versions can be compared in time that depends on their difference alone.
//
// It is a treap whose priorities are a hash of the key. Its shape is therefore
// a function of its keys, not of the order of writes, which is what lets Diff
// skip every subtree that two versions share. Keys are hashed with a random
// seed, so that no choice of names can make it deep.
//
// Invariants: pure; a Map is a value, the zero Map is empty, and no method
// changes its receiver. Reading needs no lock. Depth is O(log n) expected.
package tree

import (
	"hash/maphash"
	"iter"
	"strings"
)

// seed makes priorities unpredictable; it is fixed for the life of the process.
var seed = maphash.MakeSeed()

// Map is one version of a map from string to V.
type Map[V any] struct {
	root *node[V]
	size int
}

type node[V any] struct {
	key         string
	priority    uint64
	value       *V // a new box for every Put, so that identity tells a change
	left, right *node[V]
}

// above reports whether a node with this priority and key stands over n.
func (n *node[V]) above(priority uint64, key string) bool {
	if n.priority != priority {
		return n.priority > priority
	}
	return n.key < key
}

// Len is the number of keys.
func (m Map[V]) Len() int { return m.size }

// Get returns the value of a key.
func (m Map[V]) Get(key string) (V, bool) {
	for n := m.root; n != nil; {
		switch {
		case key < n.key:
			n = n.left
		case key > n.key:
			n = n.right
		default:
			return *n.value, true
		}
	}
	var none V
	return none, false
}

// Put returns the version in which key has this value.
func (m Map[V]) Put(key string, value V) Map[V] {
	_, had := m.Get(key)
	if !had {
		m.size++
	}
	m.root = put(m.root, &node[V]{key: key, priority: maphash.String(seed, key), value: &value})
	return m
}

func put[V any](n, fresh *node[V]) *node[V] {
	if n == nil {
		return fresh
	}
	if n.key == fresh.key {
		fresh.left, fresh.right = n.left, n.right
		return fresh
	}
	if fresh.above(n.priority, n.key) {
		fresh.left, _, fresh.right = split(n, fresh.key)
		return fresh
	}
	c := *n
	if fresh.key < n.key {
		c.left = put(n.left, fresh)
	} else {
		c.right = put(n.right, fresh)
	}
	return &c
}

// FromSorted returns the map of keys, which ascend strictly, to their values, in
// time that is linear in their number.
func FromSorted[V any](keys []string, values []V) Map[V] {
	var spine []*node[V] // the root, its right child, that one's right child, ...
	for i, key := range keys {
		value := values[i] // a box of its own: it must not keep the others alive
		fresh := &node[V]{key: key, priority: maphash.String(seed, key), value: &value}
		for len(spine) > 0 && !spine[len(spine)-1].above(fresh.priority, key) {
			fresh.left, spine = spine[len(spine)-1], spine[:len(spine)-1]
		}
		if len(spine) > 0 {
			spine[len(spine)-1].right = fresh
		}
		spine = append(spine, fresh)
	}
	if len(spine) == 0 {
		return Map[V]{}
	}
	return Map[V]{root: spine[0], size: len(keys)}
}

// Delete returns the version without key.
func (m Map[V]) Delete(key string) Map[V] {
	if _, had := m.Get(key); !had {
		return m
	}
	return Map[V]{root: remove(m.root, key), size: m.size - 1}
}

func remove[V any](n *node[V], key string) *node[V] {
	if n.key == key {
		return merge(n.left, n.right)
	}
	c := *n
	if key < n.key {
		c.left = remove(n.left, key)
	} else {
		c.right = remove(n.right, key)
	}
	return &c
}

// merge joins two trees of which every key of a is below every key of b.
func merge[V any](a, b *node[V]) *node[V] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.above(b.priority, b.key):
		c := *a
		c.right = merge(a.right, b)
		return &c
	default:
		c := *b
		c.left = merge(a, b.left)
		return &c
	}
}

// split parts a tree at key: what is below, the node itself, what is above.
func split[V any](n *node[V], key string) (low, at, high *node[V]) {
	if n == nil {
		return nil, nil, nil
	}
	if n.key == key {
		return n.left, n, n.right
	}
	c := *n
	if key < n.key {
		low, at, c.left = split(n.left, key)
		return low, at, &c
	}
	c.right, at, high = split(n.right, key)
	return &c, at, high
}

// From yields the entries whose key is not below first, in ascending order.
func (m Map[V]) From(first string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { m.root.from(first, yield) }
}

// All yields every entry in ascending order of keys.
func (m Map[V]) All() iter.Seq2[string, V] { return m.From("") }

// Prefix yields the entries whose key begins with prefix, in ascending order.
func (m Map[V]) Prefix(prefix string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		m.root.from(prefix, func(key string, value V) bool {
			return strings.HasPrefix(key, prefix) && yield(key, value)
		})
	}
}

func (n *node[V]) from(first string, yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.key >= first {
		if !n.left.from(first, yield) || !yield(n.key, *n.value) {
			return false
		}
	}
	return n.right.from(first, yield)
}

// Delta is one key whose value differs between two versions. Before is nil
// for a new key, After for one that is gone. The values must not be changed.
type Delta[V any] struct {
	Key           string
	Before, After *V
}

// Diff yields what changed from a to b, in ascending order of keys. A Put of an
// equal value counts as a change.
func Diff[V any](a, b Map[V]) iter.Seq[Delta[V]] {
	return func(yield func(Delta[V]) bool) { diff(a.root, b.root, yield) }
}

func diff[V any](a, b *node[V], yield func(Delta[V]) bool) bool {
	if a == b {
		return true
	}
	if b == nil || a != nil && a.above(b.priority, b.key) {
		low, at, high := split(b, a.key)
		return diff(a.left, low, yield) && emit(a, at, yield) && diff(a.right, high, yield)
	}
	low, at, high := split(a, b.key)
	return diff(low, b.left, yield) && emit(at, b, yield) && diff(high, b.right, yield)
}

// emit compares two nodes of the same key, either of which may be absent.
func emit[V any](a, b *node[V], yield func(Delta[V]) bool) bool {
	switch {
	case a == nil:
		return yield(Delta[V]{Key: b.key, After: b.value})
	case b == nil:
		return yield(Delta[V]{Key: a.key, Before: a.value})
	case a.value == b.value:
		return true
	default:
		return yield(Delta[V]{Key: a.key, Before: a.value, After: b.value})
	}
}
