package ec2

import (
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Filter is a condition on a describe: one of Values matches. In values * stands
// for any characters and ? for one; a backslash takes their meaning away.
type Filter struct {
	Name   string   `ec2:"Name,required"`
	Values []string `ec2:"Value"`
}

// maxFilterValues is EC2's limit for one request.
const maxFilterValues = 200

// attributes tell the values of a resource by filter name. A filter holds when
// one of its values matches one of the resource's.
type attributes[T any] map[string]func(T) []string

// checkFilters refuses names that the resource does not have.
func (k kind[T]) checkFilters(filters []Filter) error {
	values := 0
	for _, f := range filters {
		_, known := k.attributes[f.Name]
		tag := f.Name == "tag-key" || strings.HasPrefix(f.Name, "tag:") && len(f.Name) > len("tag:")
		if !known && !(tag && k.tags != nil) {
			return invalidValue("The filter '%s' is invalid", f.Name)
		}
		if len(f.Values) == 0 {
			return wire.Errorf("MissingParameter", "The request must contain the parameter Value for the filter '%s'", f.Name)
		}
		values += len(f.Values)
	}
	if values > maxFilterValues {
		return wire.Errorf("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
	}
	return nil
}

// matches reports whether a resource passes all filters.
func (k kind[T]) matches(filters []Filter, v T) bool {
	for _, f := range filters {
		have := k.values(f.Name, v)
		if !slices.ContainsFunc(f.Values, func(pattern string) bool {
			return slices.ContainsFunc(have, func(value string) bool { return wildcard(pattern, value) })
		}) {
			return false
		}
	}
	return true
}

func (k kind[T]) values(name string, v T) []string {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		value, ok := k.tags(v)[key]
		if !ok {
			return nil
		}
		return []string{value}
	}
	if name == "tag-key" {
		var keys []string
		for key := range k.tags(v) {
			keys = append(keys, key)
		}
		return keys
	}
	return k.attributes[name](v)
}

// wildcard matches text with a pattern of a filter.
func wildcard(pattern, text string) bool {
	p, t := 0, 0
	star, mark := -1, 0 // after the last *, and where its match ends
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, mark = p, t
			continue
		}
		if n, ok := step(pattern[p:], text[t]); ok {
			p += n
			t++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, t = star, mark
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// step matches one byte and tells how much of the pattern that took.
func step(pattern string, b byte) (int, bool) {
	switch {
	case pattern == "":
		return 0, false
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, pattern[1] == b
	}
	return 1, pattern[0] == '?' || pattern[0] == b
}

// literals are the values of the filter of that name when they have no
// wildcards, so that an index can answer.
func literals(filters []Filter, name string) ([]string, bool) {
	for _, f := range filters {
		if f.Name == name && !slices.ContainsFunc(f.Values, func(v string) bool { return strings.ContainsAny(v, `*?\`) }) {
			return f.Values, true
		}
	}
	return nil, false
}

func yes(b bool) []string {
	if b {
		return []string{"true"}
	}
	return []string{"false"}
}
