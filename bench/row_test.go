package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestASuiteRunAloneKeepsTheRowsOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	for _, run := range [][]Row{{{Name: "api.a", Value: 1}, {Name: "datapath.b", Value: 2}}, {{Name: "api.a", Value: 3}, {Name: "api.c", Value: 4}}} {
		if err := write(path, run); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, r := range rows {
		if got[r.Name] = r.Value; r.Commit == "" || r.Machine == "" {
			t.Errorf("row %s does not say where it was measured: %+v", r.Name, r)
		}
	}
	if diff := cmp.Diff(map[string]float64{"api.a": 3, "datapath.b": 2, "api.c": 4}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestAResultsFileThatCannotBeReadIsNotOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(path, []Row{{Name: "api.a"}}); err == nil {
		t.Error("a torn file was overwritten")
	}
}
