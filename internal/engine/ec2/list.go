package ec2

import (
	"encoding/base64"
	"iter"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Query is what most Describe requests have in common.
type Query struct {
	DryRun
	Filters    []Filter `ec2:"Filter"`
	MaxResults *int32   `ec2:"MaxResults"`
	NextToken  string   `ec2:"NextToken"`
}

// EC2's bounds for MaxResults.
const (
	minResults = 5
	maxResults = 1000
)

// kind is what the Describe action of a resource needs to know about it.
type kind[T any] struct {
	id         func(T) string
	idFilter   string                    // the filter that is the ID
	tags       func(T) map[string]string // nil when it has none
	attributes attributes[T]
	absent     func(ids []string) error // the error for IDs that do not exist
}

// source is where resources are found: one by its ID, or all of them in any order.
type source[T any] struct {
	get func(id string) (T, bool)
	all iter.Seq[T]
}

// find answers a Describe: the resources named by ids, or all, that pass the
// filters, in order of their IDs, a page of them when that was asked for.
func (k kind[T]) find(from source[T], ids []string, q Query) (found []T, next string, err error) {
	page, err := newPage(q)
	if err != nil {
		return nil, "", err
	}
	if err := k.checkFilters(q.Filters); err != nil {
		return nil, "", err
	}
	candidates, err := k.candidates(from, ids, q.Filters)
	if err != nil {
		return nil, "", err
	}
	found = []T{}
	for v := range candidates {
		if k.id(v) > page.after && k.matches(q.Filters, v) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b T) int { return strings.Compare(k.id(a), k.id(b)) })
	found = slices.CompactFunc(found, func(a, b T) bool { return k.id(a) == k.id(b) })
	if page.size > 0 && len(found) > page.size {
		found = found[:page.size]
		next = base64.RawURLEncoding.EncodeToString([]byte(k.id(found[page.size-1])))
	}
	return found, next, nil
}

// candidates are the resources that may pass: those named, else those that the
// ID filter names, else all.
func (k kind[T]) candidates(from source[T], ids []string, filters []Filter) (iter.Seq[T], error) {
	named, byFilter := ids, false
	if len(ids) == 0 {
		if named, byFilter = literals(filters, k.idFilter); !byFilter {
			return from.all, nil
		}
	}
	var found []T
	var missing []string
	for _, id := range named {
		if v, ok := from.get(id); ok {
			found = append(found, v)
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 && !byFilter {
		return nil, k.absent(missing)
	}
	return slices.Values(found), nil
}

// page is the part of a list that was asked for; size 0 means all.
type page struct {
	after string
	size  int
}

func newPage(q Query) (page, error) {
	var p page
	if n := q.MaxResults; n != nil {
		if *n < minResults || *n > maxResults {
			return p, invalidValue("Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", *n, minResults, maxResults)
		}
		p.size = int(*n)
	}
	if q.NextToken == "" {
		return p, nil
	}
	after, err := base64.RawURLEncoding.DecodeString(q.NextToken)
	if err != nil || len(after) == 0 {
		return p, invalidValue("Unable to parse pagination token")
	}
	p.after = string(after)
	return p, nil
}

// token is a NextToken in a response: absent on the last page.
func token(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}

func convert[A, B any](list []A, f func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, f(a))
	}
	return out
}

func invalidValue(format string, args ...any) error {
	return wire.Errorf("InvalidParameterValue", format, args...)
}

// notFound makes the error for absent IDs of one noun: the singular and the
// plural of the message.
func notFound(code, noun string) func(ids []string) error {
	return func(ids []string) error {
		if len(ids) == 1 {
			return wire.Errorf(code, "The %s ID '%s' does not exist", noun, ids[0])
		}
		return wire.Errorf(code, "The %s IDs '%s' do not exist", noun, strings.Join(ids, ", "))
	}
}
