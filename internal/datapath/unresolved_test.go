package datapath

import (
	"net/netip"
	"testing"
)

// The first flows of a group must not be reset because its next hops are still
// being asked for; where there is nothing to ask for, a reset is the answer.
func TestGroupsSayThatTheirNextHopsAreUnknown(t *testing.T) {
	near, far := netip.MustParseAddr("198.18.0.21"), netip.MustParseAddr("198.18.0.22")
	target := func(a netip.Addr, selectable bool) Target {
		return Target{Addr: netip.AddrPortFrom(a, 80), Selectable: selectable}
	}
	for name, c := range map[string]struct {
		targets    []Target
		unresolved bool
	}{
		"none of several is known":     {[]Target{target(far, true), target(far.Next(), true)}, true},
		"one of several is known":      {[]Target{target(near, true), target(far, true)}, false},
		"the unknown one takes no new": {[]Target{target(far, false)}, false},
		"no targets":                   {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := assign(assignment{
				tables:  Tables{Groups: []Group{{ARN: "group", Targets: c.targets}}},
				have:    newContents(),
				resolve: func(a netip.Addr) ([6]byte, bool) { return [6]byte{2}, a == near },
				inUse:   inUse{never, never},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := want.groups[0].Flags&groupUnresolved != 0; got != c.unresolved {
				t.Errorf("unresolved = %v, want %v", got, c.unresolved)
			}
			if got, want := int(want.groups[0].Slots), len(want.tables[0]); got != want {
				t.Errorf("the group says %d slots, its table has %d", got, want)
			}
		})
	}
}
