package health

import (
	"fmt"
	"strconv"
	"strings"
)

// HTTP codes that a matcher may name, and the one that a group without a
// matcher has (ELBv2 API reference, Matcher).
const (
	minCode = 200
	maxCode = 599

	DefaultMatcher = "200-399"
)

// Matcher is a set of HTTP codes.
type Matcher []codeRange

type codeRange struct{ low, high int }

// ParseMatcher reads codes and ranges separated by commas, such as "200",
// "200,202" or "200-299,404". Codes lie between 200 and 599.
func ParseMatcher(s string) (Matcher, error) {
	var m Matcher
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		r, err := parseRange(low, high)
		if err != nil {
			return nil, fmt.Errorf("matcher %q: %w", s, err)
		}
		m = append(m, r)
	}
	return m, nil
}

func parseRange(low, high string) (codeRange, error) {
	l, err := parseCode(low)
	if err != nil {
		return codeRange{}, err
	}
	h, err := parseCode(high)
	if err != nil {
		return codeRange{}, err
	}
	if h < l {
		return codeRange{}, fmt.Errorf("the range %s-%s ends before it begins", low, high)
	}
	return codeRange{l, h}, nil
}

func parseCode(s string) (int, error) {
	code, err := strconv.ParseUint(s, 10, 16)
	if err != nil || code < minCode || code > maxCode {
		return 0, fmt.Errorf("%q is no HTTP code between %d and %d", s, minCode, maxCode)
	}
	return int(code), nil
}

// Matches says whether an HTTP code is in the set.
func (m Matcher) Matches(code int) bool {
	for _, r := range m {
		if r.low <= code && code <= r.high {
			return true
		}
	}
	return false
}
