package inventory

import (
	"net/netip"
	"strings"
	"testing"
)

func TestReservationsAreFoundByAddress(t *testing.T) {
	s := Subnet{CIDRReservations: []netip.Prefix{netip.MustParsePrefix("198.18.16.16/28"), netip.MustParsePrefix("2001:db8:0:1:1::/80")}}
	for address, want := range map[string]string{
		"198.18.16.15":      "invalid Prefix",
		"198.18.16.16":      "198.18.16.16/28",
		"198.18.16.31":      "198.18.16.16/28",
		"2001:db8:0:1:1::9": "2001:db8:0:1:1::/80",
	} {
		p, ok := s.Reservation(netip.MustParseAddr(address))
		if p.String() != want || ok != p.IsValid() {
			t.Errorf("Reservation(%s) = %s, %v, want %s", address, p, ok, want)
		}
	}
}

func TestReservationsOutsideTheSubnetAreRefused(t *testing.T) {
	for _, bad := range []string{"198.18.32.0/24", "198.18.0.0/16", "198.18.16.1/24", "2001:db8::/32"} {
		text := strings.Replace(good, "cidrBlock: 198.18.16.0/20,", "cidrBlock: 198.18.16.0/20, cidrReservations: [\""+bad+"\"],", 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "cidrReservations") {
			t.Errorf("%s: got %v, want it refused", bad, err)
		}
	}
}
