package elbv2

import (
	"encoding/base64"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// maxPageSize is AWS's, and what a page holds when the client does not say.
const maxPageSize = 400

// cursor is a place in a list: what follows the key.
type cursor struct {
	after string
	size  int
}

// newCursor reads Marker and PageSize.
func newCursor(marker *string, size *int32) (cursor, error) {
	if err := checkRange("pageSize", size, 1, maxPageSize); err != nil {
		return cursor{}, err
	}
	c := cursor{size: maxPageSize}
	if size != nil {
		c.size = int(*size)
	}
	if aws.ToString(marker) == "" {
		return c, nil
	}
	after, err := base64.RawURLEncoding.DecodeString(*marker)
	if err != nil || len(after) == 0 {
		return cursor{}, invalid("'%s' is not a valid marker", *marker)
	}
	c.after = string(after)
	return c, nil
}

// first is the lowest key that may stand on the page.
func (c cursor) first() string {
	if c.after == "" {
		return ""
	}
	return c.after + "\x00"
}

// page takes one page from a list that is sorted by key and begins at or before
// the cursor, and returns the marker of the next, nil on the last.
func page[V any](c cursor, list iter.Seq[V], key func(V) string) (items []V, next *string) {
	for v := range list {
		if key(v) < c.first() {
			continue
		}
		if len(items) == c.size {
			marker := base64.RawURLEncoding.EncodeToString([]byte(key(items[len(items)-1])))
			return items, &marker
		}
		items = append(items, v)
	}
	return items, nil
}

// convert maps a list; the result is never nil, so that it is encoded.
func convert[A, B any](list []A, f func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, f(a))
	}
	return out
}

// distinct returns the values of a list without repetition, in order.
func distinct(list []string) []string {
	seen := make(map[string]bool, len(list))
	var out []string
	for _, v := range list {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}
