package edgeapi

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAuthorityIsCreatedOnceWithAPrivateKeyFile(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.cert.Raw, second.cert.Raw) {
		t.Error("opening again made another authority")
	}
	info, err := os.Stat(filepath.Join(dir, authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("key file mode = %v, want 0600", mode)
	}
}

func TestDamagedAuthorityIsAnErrorAndIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, authorityFile)
	if err := os.WriteFile(path, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error = %v, want one that names %s", err, path)
	}
	if data, _ := os.ReadFile(path); string(data) != "half a key" {
		t.Error("the damaged file was overwritten")
	}
}

func TestIssueRefusesWhatIsNoZoneName(t *testing.T) {
	a := authority(t)
	for _, zone := range []string{"", "US-WEST-2A", "a/b", "zone a", strings.Repeat("z", 64)} {
		if _, err := a.Issue(zone); err == nil {
			t.Errorf("issued an identity for zone %q", zone)
		}
	}
}

func TestIdentityKeyFileIsPrivate(t *testing.T) {
	info, err := os.Stat(filepath.Join(identity(t, authority(t), zone), keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode = %v, want 0600", mode)
	}
}
