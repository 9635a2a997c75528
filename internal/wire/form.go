package wire

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxParameters bounds the pairs of a form. RegisterTargets with 1,000 targets
// and all members has 4,000.
const maxParameters = 16384

// form is a decoded request body: parameters sorted by name, no name twice.
// Members of a structure or list are a contiguous part of it, found by binary
// search, so that decoding needs no tree and no memory beyond the pairs.
type form []param

type param struct{ name, value string }

// parseForm decodes an application/x-www-form-urlencoded body.
func parseForm(body string) (form, error) {
	if n := strings.Count(body, "&") + 1; n > maxParameters {
		return nil, Errorf(codeMalformedQuery, "The request has %d parameters, more than %d.", n, maxParameters)
	}
	var f form
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p, err := parseParam(name, value)
		if err != nil {
			return nil, err
		}
		f = append(f, p)
	}
	slices.SortFunc(f, func(a, b param) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(f); i++ {
		if f[i].name == f[i-1].name {
			return nil, Errorf(codeMalformedQuery, "Duplicate parameter '%s'.", quotable(f[i].name))
		}
	}
	return f, nil
}

func parseParam(rawName, rawValue string) (param, error) {
	name, okName := unescape(rawName)
	value, okValue := unescape(rawValue)
	if !okName || !okValue {
		return param{}, Errorf(codeMalformedQuery, "Parameter '%s' is not valid percent-encoded UTF-8.", quotable(rawName))
	}
	return param{name, value}, nil
}

// unescape undoes percent-encoding and reports whether the result is UTF-8.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, utf8.ValidString(s)
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b = append(b, byte(n))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), utf8.Valid(b)
}

// quotable shortens outside text so that it can be part of an error message.
func quotable(s string) string {
	const most = 128
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// get returns the value of one parameter.
func (f form) get(name string) (string, bool) {
	i, ok := slices.BinarySearchFunc(f, name, func(p param, name string) int { return cmp.Compare(p.name, name) })
	if !ok {
		return "", false
	}
	return f[i].value, true
}

// under returns the parameters whose names begin with prefix.
func (f form) under(prefix string) form {
	lo, _ := slices.BinarySearchFunc(f, prefix, func(p param, prefix string) int { return cmp.Compare(p.name, prefix) })
	n, _ := slices.BinarySearchFunc(f[lo:], prefix, func(p param, prefix string) int {
		if strings.HasPrefix(p.name, prefix) {
			return -1
		}
		return 1
	})
	return f[lo : lo+n]
}

// indexes returns the list indexes that occur directly under prefix, in
// numerical order. Gaps are allowed, as AWS allows them: an index only orders.
func (f form) indexes(prefix string) ([]int, error) {
	var out []int
	for _, p := range f.under(prefix) {
		segment, _, _ := strings.Cut(p.name[len(prefix):], ".")
		n, err := strconv.ParseUint(segment, 10, 31)
		if err != nil || n == 0 || n == math.MaxInt32 || segment[0] == '0' || segment[0] == '+' {
			return nil, Errorf(codeMalformed, "'%s' is not a list index in parameter '%s'.", quotable(segment), quotable(p.name))
		}
		if len(out) == 0 || out[len(out)-1] != int(n) {
			out = append(out, int(n))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
