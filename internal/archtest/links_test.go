package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestDocumentationLinks follows every link of every page inside the tree, to its
// heading, and wants each page to be found by one.
func TestDocumentationLinks(t *testing.T) {
	root := os.DirFS("../..")
	pages := map[string]string{}
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".md") {
			return err
		}
		text, err := fs.ReadFile(root, path)
		pages[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{"README.md": true}
	for page, text := range pages {
		for _, m := range mdLink.FindAllStringSubmatch(text, -1) {
			to, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], "://") {
				continue
			}
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
			}
			if _, err := fs.Stat(root, target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
			if heading != "" && !headings(pages[target])[heading] {
				t.Errorf("%s links to %s, a heading that is not there", page, m[1])
			}
			linked[target] = linked[target] || target != page
		}
	}
	for page := range pages {
		if !linked[page] {
			t.Errorf("no page links to %s", page)
		}
	}
}

// headings are those of a page, as links name them.
func headings(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range mdHeading.FindAllStringSubmatch(text, -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		found[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return found
}
