package netlabtest

import (
	"net/netip"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// Address returns an address of loopback that nobody listens on, for who has to
// know where it will listen before it does, and for what is never to answer.
func Address(t testing.TB) netip.AddrPort {
	t.Helper()
	free, err := netlab.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	return free[0]
}
