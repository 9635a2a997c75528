package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Reference pages give a test as evidence by its name in backquotes, and its
// cases in quotes behind that: `TestNext` "a case", "another".
var (
	evidence = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`((?:,? *\"[^\"|]+\")*)")
	cases    = regexp.MustCompile(`"[^"]+"`)
	declared = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

func TestReferencePagesNameTestsThatExist(t *testing.T) {
	where, text := tests(t)
	pages, err := filepath.Glob("../../docs/reference/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no reference pages: %v", err)
	}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range evidence.FindAllStringSubmatch(string(data), -1) {
			name := m[1]
			if len(where[name]) == 0 {
				t.Errorf("%s: there is no %s", filepath.Base(page), name)
			}
			for _, c := range cases.FindAllString(m[2], -1) {
				if !inAny(text, where[name], c) {
					t.Errorf("%s: %s has no case %s", filepath.Base(page), name, c)
				}
			}
		}
	}
}

// inAny says whether the tests of any of the directories have the text.
func inAny(text map[string]string, dirs []string, want string) bool {
	for _, dir := range dirs {
		if strings.Contains(text[dir], want) {
			return true
		}
	}
	return false
}

// tests reads all test files: the directories that declare each test, and the
// text of the tests of each directory.
func tests(t *testing.T) (where map[string][]string, text map[string]string) {
	t.Helper()
	where, text = map[string][]string{}, map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		text[dir] += string(data)
		for _, m := range declared.FindAllStringSubmatch(string(data), -1) {
			where[m[1]] = append(where[m[1]], dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return where, text
}
