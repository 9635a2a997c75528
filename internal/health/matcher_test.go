package health

import "testing"

func TestMatcherMatches(t *testing.T) {
	cases := map[string]struct{ in, out []int }{
		"200":         {in: []int{200}, out: []int{199, 201, 404}},
		"200-399":     {in: []int{200, 301, 399}, out: []int{100, 199, 400}},
		"200,202":     {in: []int{200, 202}, out: []int{201}},
		"200-201,404": {in: []int{200, 201, 404}, out: []int{202, 403}},
	}
	for matcher, c := range cases {
		m, err := ParseMatcher(matcher)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range c.in {
			if !m.Matches(code) {
				t.Errorf("%s does not match %d", matcher, code)
			}
		}
		for _, code := range c.out {
			if m.Matches(code) {
				t.Errorf("%s matches %d", matcher, code)
			}
		}
	}
}

func TestParseMatcherRefuses(t *testing.T) {
	for _, matcher := range []string{"", "ok", "199", "600", "300-200", "200-", "-200", "200,,201", "200;201", "2e2", "+200"} {
		if m, err := ParseMatcher(matcher); err == nil {
			t.Errorf("ParseMatcher(%q) = %v, want an error", matcher, m)
		}
	}
}

func FuzzParseMatcher(f *testing.F) {
	for _, seed := range []string{"200", "200-399", "200,202", "200-299,404", "a-b", ",-,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMatcher(s)
		if err != nil {
			return
		}
		for _, r := range m {
			if r.low < minCode || r.high > maxCode || r.low > r.high || !m.Matches(r.low) || !m.Matches(r.high) {
				t.Errorf("ParseMatcher(%q) holds the range %d-%d", s, r.low, r.high)
			}
		}
	})
}
