package elbv2

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
)

func TestReservedRangesAreNotGivenOut(t *testing.T) {
	reserved := strings.Replace(network, "cidrBlock: 198.18.16.0/20,", "cidrBlock: 198.18.16.0/20, cidrReservations: [198.18.16.4/30, 198.18.16.8/29],", 1)
	f, err := inventory.Parse([]byte(reserved))
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, func(c *Config) { c.Network = func() *inventory.Index { return inventory.NewIndex(f) } })
	h.balancer("web")
	// .4 to .15 are reserved and .16 is an instance's.
	first := netip.MustParseAddr("198.18.16.17")
	if _, taken := state.ZonalAddresses.Get(h.db.Current(), state.ZonalAddressKey("subnet-a", first)); !taken {
		t.Errorf("the load balancer did not get %s, the first address outside the reservations", first)
	}
}
