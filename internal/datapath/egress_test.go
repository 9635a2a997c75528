package datapath

import (
	"strings"
	"testing"
)

// A map that both programs have and only one knows would be two.
func TestBothHooksWorkOnTheSameMaps(t *testing.T) {
	spec, err := loadEgress()
	if err != nil {
		t.Fatal(err)
	}
	shared := new(edgeMaps).byName()
	for name := range spec.Maps {
		if strings.HasPrefix(name, ".") {
			continue // variables: constants, and a switch that is off unless somebody sets it
		}
		if _, ok := shared[name]; !ok {
			t.Errorf("the egress program has a map %s of its own", name)
		}
	}
}
