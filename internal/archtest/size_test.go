package archtest

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNothingKeepsTheLinkerFromDroppingMethods: who executes templates calls
// methods by names that the linker cannot know, so that it keeps every method of
// every type: half of the binary, and of what a process holds of it in memory.
func TestNothingKeepsTheLinkerFromDroppingMethods(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	tags := regexp.MustCompile(`(?m)^TAGS := (.+)$`).FindSubmatch(makefile)
	if tags == nil {
		t.Fatal("the Makefile sets no TAGS")
	}
	out, err := exec.Command("go", "list", "-tags", string(tags[1]), "-deps", module+"cmd/fairlead").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, p := range []string{"html/template", "golang.org/x/net/trace"} {
		if slices.Contains(deps, p) {
			t.Errorf("cmd/fairlead depends on %s, which executes templates", p)
		}
	}
}
