package examples_test

import (
	"os"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/examples"
	"github.com/fairlead-lb/fairlead/internal/inventory"
)

func TestTheInventoryOfTheGuideIsTaken(t *testing.T) {
	shown, err := examples.FS.ReadFile("inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inventory.Parse(shown); err != nil {
		t.Error(err)
	}
	guide, err := os.ReadFile("../docs/own-machines.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "```yaml\n"+string(shown)+"```") {
		t.Error("docs/own-machines.md does not show examples/inventory.yaml as it is")
	}
}
