package balancing

import (
	"encoding/base64"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// maxPageSize is AWS's, and what a page holds when the client does not say.
const maxPageSize = 400

// Cursor is a place in a list: what follows a key.
type Cursor struct {
	after string
	size  int
}

// NewCursor reads Marker and PageSize.
func NewCursor(marker *string, size *int32) (Cursor, error) {
	if err := CheckRange("pageSize", size, 1, maxPageSize); err != nil {
		return Cursor{}, err
	}
	c := Cursor{size: maxPageSize}
	if size != nil {
		c.size = int(*size)
	}
	if aws.ToString(marker) == "" {
		return c, nil
	}
	after, err := base64.RawURLEncoding.DecodeString(*marker)
	if err != nil || len(after) == 0 {
		return Cursor{}, invalid("'%s' is not a valid marker", *marker)
	}
	c.after = string(after)
	return c, nil
}

// First is the lowest key that may stand on the page.
func (c Cursor) First() string {
	if c.after == "" {
		return ""
	}
	return c.after + "\x00"
}

// Page takes one page from a list that is sorted by key and begins at or before
// the cursor, and returns the marker of the next, nil on the last.
func Page[V any](c Cursor, list iter.Seq[V], key func(V) string) (items []V, next *string) {
	for v := range list {
		if key(v) < c.First() {
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

// Convert maps a list; the result is never nil, so that it is encoded.
func Convert[A, B any](list []A, f func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, f(a))
	}
	return out
}

// Distinct returns the values of a list without repetition, in order.
func Distinct(list []string) []string {
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
