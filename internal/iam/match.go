package iam

import (
	"strings"
	"unicode/utf8"
)

// like matches text with a pattern in which * stands for any characters and ?
// for one character. It takes time proportional to the product of the lengths at worst.
func like(pattern, text string) bool {
	p, t := 0, 0
	star, mark := -1, 0 // the last * and where its match ends
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			_, size := utf8.DecodeRuneInString(text[t:])
			p++
			t += size
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// arnParts is the number of parts of an ARN between colons; the last may
// contain colons itself.
const arnParts = 6

// arnLike matches an ARN part by part, so that a wildcard never reaches over a
// colon between the first five. Parts that the pattern leaves out match all.
func arnLike(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	have := strings.SplitN(arn, ":", arnParts)
	want := strings.SplitN(pattern, ":", arnParts)
	if len(have) < len(want) {
		return false
	}
	for i, w := range want {
		if !like(w, have[i]) {
			return false
		}
	}
	return true
}
