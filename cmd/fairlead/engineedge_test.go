package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRevokeEdgeMakesNoAuthority(t *testing.T) {
	dir := t.TempDir()
	cmd := newRevokeEdgeCommand(&dir)
	cmd.SetArgs([]string{"--zone", "us-west-2a"})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "edge authority") {
		t.Errorf("error = %v, want one about the authority that is not there", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the state directory holds %v, %v; want it empty", entries, err)
	}
}

func TestEdgeIdentitiesAreIssuedAndRevokedInTheStateDirectory(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	issue := newIssueEdgeCommand(&dir)
	issue.SetArgs([]string{"--zone", "us-west-2a", "--out", out})
	if err := issue.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.crt", "edge.crt", "edge.key"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	revoke := newRevokeEdgeCommand(&dir)
	revoke.SetArgs([]string{"--zone", "us-west-2a"})
	if err := revoke.Execute(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "revoked-edges", "us-west-2a")); err != nil {
		t.Errorf("the revocation was not written: %v", err)
	}
}
