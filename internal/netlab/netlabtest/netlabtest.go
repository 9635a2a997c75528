// Package netlabtest gives tests names for network namespaces that no other
// test or lab uses, and takes everything under them away afterwards.
package netlabtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// cleanupTimeout bounds the killing of what a test left running.
const cleanupTimeout = time.Minute

// Prefix returns a prefix for namespace names, unique on this machine, and
// removes all namespaces with it, and the processes in them, when the test
// ends. It ends the test at once without the rights to make namespaces.
func Prefix(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and must run as root")
	}
	var random [3]byte
	if _, err := rand.Read(random[:]); err != nil {
		t.Fatal(err)
	}
	prefix := fmt.Sprintf("t%d-%s-", os.Getpid(), hex.EncodeToString(random[:]))
	t.Cleanup(func() { remove(t, prefix) })
	return prefix
}

func remove(t testing.TB, prefix string) {
	all, err := netlab.Names()
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	for _, name := range all {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := netlab.Kill(ctx, []string{name}); err != nil {
			t.Errorf("clean up namespace %s: %v", name, err)
		}
		if err := netlab.Delete(name); err != nil {
			t.Error(err)
		}
	}
}
