// Package attributes knows the attributes of Network Load Balancers, their
// listeners and target groups: keys, defaults, and which values are valid.
//
// Records keep what a client set; what it did not set has a default that may
// depend on the record (its protocol, its scheme), so that values are always
// read through this package. Keys, defaults and ranges are those of the ELBv2
// API reference (LoadBalancerAttribute, ListenerAttribute,
// TargetGroupAttribute); messages are AWS's where clients match them.
//
// Invariants: pure. A missing or differently spelled default would make
// controllers write it again and again, so every default is in the tables.
package attributes

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kinds of refusals, which AWS answers with different codes.
var (
	// ErrInvalid is a ValidationError: the key or the value can never be right.
	ErrInvalid = kind("invalid")
	// ErrUnsupported is an InvalidConfigurationRequest: not on this resource.
	ErrUnsupported = kind("unsupported")
)

type kind string

func (k kind) Error() string { return string(k) }

// refusal is a message for the client with its kind.
type refusal struct {
	kind    kind
	message string
}

func (r refusal) Error() string { return r.message }
func (r refusal) Unwrap() error { return r.kind }

func invalid(format string, args ...any) error {
	return refusal{ErrInvalid, fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) error {
	return refusal{ErrUnsupported, fmt.Sprintf(format, args...)}
}

// attribute is one key of resources of type R.
type attribute[R any] struct {
	key string
	// fallback is the default; applies tells whether the resource has the key
	// at all, nil means it does.
	fallback func(R) string
	applies  func(R) bool
	check    func(r R, key, value string) error
}

func constant[R any](value string) func(R) string { return func(R) string { return value } }

// table is the attributes of one kind of resource.
type table[R any] struct {
	noun       string // such as "Load balancer"
	attributes []attribute[R]
	told       []string // keys that are shown and cannot be set
	elsewhere  []string // keys, or their beginnings up to a dot, of other kinds of the same resource
	own        func(R) map[string]string
	unfit      func(r R, key string) string                          // the message for a key that the resource does not have
	together   func(t table[R], r R, merged map[string]string) error // rules between attributes; may be nil
}

// get returns the value of a key in force for r.
func (t table[R]) get(r R, key string) string {
	if v, set := t.own(r)[key]; set {
		return v
	}
	for _, a := range t.attributes {
		if a.key == key {
			return a.fallback(r)
		}
	}
	return ""
}

// all returns every attribute of r with the value in force.
func (t table[R]) all(r R) map[string]string {
	values := make(map[string]string, len(t.attributes))
	for _, a := range t.attributes {
		if a.applies == nil || a.applies(r) {
			values[a.key] = t.get(r, a.key)
		}
	}
	return values
}

// merge checks changes and returns what r's own attributes become.
func (t table[R]) merge(r R, changes map[string]string) (map[string]string, error) {
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		if err := t.checkOne(r, key, changes[key]); err != nil {
			return nil, err
		}
	}
	merged := maps.Clone(t.own(r))
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, changes)
	if t.together == nil {
		return merged, nil
	}
	return merged, t.together(t, r, merged)
}

func (t table[R]) checkOne(r R, key, value string) error {
	i := slices.IndexFunc(t.attributes, func(a attribute[R]) bool { return a.key == key })
	switch {
	case slices.Contains(t.told, key):
		return invalid("%s attribute key '%s' cannot be set: it tells how edges take packets, as their flags --data-path and --xdp-mode say", t.noun, key)
	case i < 0 && slices.ContainsFunc(t.elsewhere, func(k string) bool { return key == k || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k) }):
		return unsupported("%s", t.unfit(r, key))
	case i < 0:
		return invalid("%s attribute key '%s' is not recognized", t.noun, key)
	}
	a := t.attributes[i]
	if a.applies != nil && !a.applies(r) {
		return unsupported("%s", t.unfit(r, key))
	}
	return a.check(r, key, value)
}

// oneOf accepts a set of words.
func oneOf[R any](words ...string) func(R, string, string) error {
	return func(_ R, key, value string) error {
		if slices.Contains(words, value) {
			return nil
		}
		return invalid("'%s' value '%s' must be one of '%s'", key, value, strings.Join(words, ", "))
	}
}

func boolean[R any](r R, key, value string) error { return oneOf[R]("true", "false")(r, key, value) }

// between accepts whole numbers, and "off" when that is a value of the key.
func between[R any](low, high int, words ...string) func(R, string, string) error {
	return func(_ R, key, value string) error {
		if slices.Contains(words, value) {
			return nil
		}
		if n, err := strconv.Atoi(value); err != nil || n < low || n > high || strconv.Itoa(n) != value {
			return invalid("'%s' value '%s' must be between '%d-%d' inclusive", key, value, low, high)
		}
		return nil
	}
}

func text[R any](maxLength int) func(R, string, string) error {
	return func(_ R, key, value string) error {
		if len(value) > maxLength {
			return invalid("'%s' value '%s' cannot be longer than '%d' characters", key, value, maxLength)
		}
		return nil
	}
}

// off is the value of a threshold that is not in force.
const off = "off"

// number reads a value that was checked by between; "off" is 0.
func number(value string) int {
	n, _ := strconv.Atoi(value)
	return n
}

func seconds(value string) time.Duration { return time.Duration(number(value)) * time.Second }
