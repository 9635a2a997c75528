package intent

import "testing"

func TestNearest(t *testing.T) {
	tests := map[string]struct {
		word, want string
		among      []string
	}{
		"a swap":              {"scehme", "scheme", []string{"subnets", "scheme"}},
		"case does not count": {"NLB", "nlb", []string{"external", "nlb"}},
		"a letter too few":    {"interal", "internal", []string{"internet-facing", "internal"}},
		"nothing like it":     {"public", "", []string{"internet-facing", "internal"}},
		"an empty word":       {"", "", []string{"tcp"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := nearest(tt.word, tt.among); got != tt.want {
				t.Errorf("nearest to %q: got %q, want %q", tt.word, got, tt.want)
			}
		})
	}
}
