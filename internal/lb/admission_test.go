package lb

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestSetsOfOneNameAreEqual(t *testing.T) {
	for name, pair := range map[string][2][]netip.Prefix{
		"nobody":  {nil, {}},
		"someone": {{netip.MustParsePrefix("192.0.2.0/24")}, {netip.MustParsePrefix("192.0.2.0/24")}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := ClientSets{}, ClientSets{}
			if x, y := a.Add(pair[0]), b.Add(pair[1]); x != y {
				t.Errorf("the sets are named %s and %s", x, y)
			}
			if !reflect.DeepEqual(a, b) {
				t.Errorf("%#v differs from %#v", a, b)
			}
		})
	}
}

func TestNobodyIsInTheSetOfNobody(t *testing.T) {
	s := ClientSets{}
	name := s.Add(nil)
	if name == "" {
		t.Fatal("the set of nobody has the name of everyone")
	}
	if client := netip.MustParseAddr("192.0.2.1"); s.Admits(name, client) {
		t.Errorf("%s is in the set of nobody", client)
	}
}
