package main

import (
	"slices"
	"testing"
)

func TestSuitesAreChosenByName(t *testing.T) {
	all := []suite{{name: "api"}, {name: "chain"}, {name: "fan"}}
	for names, want := range map[string][]string{"": {"api", "chain", "fan"}, "fan": {"fan"}, "fan,api": {"fan", "api"}} {
		chosen, err := choose(all, names)
		var got []string
		for _, s := range chosen {
			got = append(got, s.name)
		}
		if !slices.Equal(got, want) || err != nil {
			t.Errorf("choose %q = %v, %v, want %v", names, got, err, want)
		}
	}
	for _, names := range []string{"fans", "fan,", "api,datapth"} {
		if _, err := choose(all, names); err == nil {
			t.Errorf("choose %q: no error", names)
		}
	}
}
