package podplan

import "strings"

// expand replaces each $(NAME) in s by its value, as Kubernetes does in
// commands, args and values of env: $$ is a literal $, and a reference to an
// unknown name stays as it is written.
func expand(s string, lookup func(string) (string, bool)) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		taken, text := reference(s[i:], lookup)
		b.WriteString(text)
		s = s[i+taken:]
	}
}

// reference reads what starts with the $ at the head of s: how many bytes it
// takes and what stands for it. s has at least two bytes.
func reference(s string, lookup func(string) (string, bool)) (int, string) {
	switch s[1] {
	case '$':
		return 2, "$"
	case '(':
		end := strings.IndexByte(s, ')')
		if end < 0 {
			return 2, s[:2]
		}
		if v, ok := lookup(s[2:end]); ok {
			return end + 1, v
		}
		return end + 1, s[:end+1]
	}
	// Any other character keeps its $.
	return 2, s[:2]
}

func expandAll(list []string, lookup func(string) (string, bool)) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = expand(s, lookup)
	}
	return out
}
