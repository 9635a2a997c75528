package sealed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsComeBackUnderTheirNameOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data-key.json")
	box, created, err := Open(path)
	if err != nil || !created {
		t.Fatalf("Open = created %t, %v", created, err)
	}
	secret := []byte("-----BEGIN PRIVATE KEY-----")
	closed := box.Seal(secret, "arn:a")
	if bytes.Contains(closed, secret) || bytes.Equal(closed, box.Seal(secret, "arn:a")) {
		t.Error("the secret can be seen, or two sealings are the same")
	}
	again, created, err := Open(path)
	if err != nil || created {
		t.Fatalf("Open again = created %t, %v", created, err)
	}
	if got, err := again.Open(closed, "arn:a"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("Open = %q, %v", got, err)
	}
	damaged := bytes.Clone(closed)
	damaged[len(damaged)-1] ^= 1
	for name, c := range map[string]struct {
		box  []byte
		name string
	}{"another name": {closed, "arn:b"}, "a flipped bit": {damaged, "arn:a"}, "nothing": {nil, "arn:a"}} {
		if got, err := again.Open(c.box, c.name); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	other, _, err := Open(filepath.Join(t.TempDir(), "data-key.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(closed, "arn:a"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("another key: %v", err)
	}
}

func TestTheKeyFileIsPrivateAndNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data-key.json")
	if _, _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	for _, bad := range []string{"", "{}", `{"dataKey":"c2hvcnQ="}`, `{"dataKey":"?"}`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v, want a refusal that names the file", bad, err)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != bad {
			t.Errorf("%q was replaced", bad)
		}
	}
}
