package balancing

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// AWS keeps the first four addresses and the last of every subnet to itself
// (VPC user guide, subnet sizing).
const reservedAtStart = 4

// Assignable reports whether an address of a subnet may be given out at all.
func Assignable(subnet netip.Prefix, a netip.Addr) bool {
	if !subnet.Contains(a) {
		return false
	}
	return firstAssignable(subnet).Compare(a) <= 0 && a != last(subnet)
}

func firstAssignable(subnet netip.Prefix) netip.Addr {
	a := subnet.Masked().Addr()
	for range reservedAtStart {
		a = a.Next()
	}
	return a
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b) // b is 4 or 16 bytes
	return a
}

// nextFree returns the lowest free address of a subnet after the one given out
// last, starting over at the end. taken returns the range that an address is
// blocked by, which is skipped whole. ok is false when nothing is free.
func nextFree(subnet netip.Prefix, after netip.Addr, taken func(netip.Addr) (netip.Prefix, bool)) (a netip.Addr, ok bool) {
	first := firstAssignable(subnet)
	start := first
	if after.IsValid() && Assignable(subnet, after.Next()) {
		start = after.Next()
	}
	wrapped := start == first
	for a = start; ; {
		if !Assignable(subnet, a) {
			if wrapped {
				return netip.Addr{}, false
			}
			wrapped, a = true, first
			continue
		}
		blocked, busy := taken(a)
		if !busy {
			return a, true
		}
		a = last(blocked).Next()
	}
}

// Holder is a load balancer that has addresses.
type Holder struct {
	ARN       string
	Zones     []state.ZoneMapping
	DualStack bool // has IPv6 addresses as well
}

// Assign completes the zones of a load balancer with addresses, marks them
// taken and returns the zones. Zones that have addresses keep them.
func Assign(tx *store.Tx, network *inventory.Index, h Holder) ([]state.ZoneMapping, error) {
	zones := make([]state.ZoneMapping, len(h.Zones))
	for i, z := range h.Zones {
		subnet, _ := network.Subnet(z.SubnetID)
		if _, there := state.Subnets.Get(tx, z.SubnetID); subnet.Made && !there { // deleted since it was looked at
			return nil, wire.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", z.SubnetID)
		}
		cursor, _ := state.AddressCursors.Get(tx, z.SubnetID)
		cursor.SubnetID = z.SubnetID
		var err error
		if z.AllocationID != "" {
			z.IPv4, err = takeElastic(tx, h.ARN, z.AllocationID)
		} else {
			z.IPv4, err = take(tx, network, h.ARN, want{subnet.SubnetID, subnet.CIDRBlock, z.IPv4, &cursor.IPv4})
		}
		if err == nil && h.DualStack {
			z.IPv6, err = take(tx, network, h.ARN, want{subnet.SubnetID, subnet.IPv6CIDRBlock, z.IPv6, &cursor.IPv6})
		}
		if err != nil {
			return nil, err
		}
		state.AddressCursors.Put(tx, cursor)
		zones[i] = z
	}
	return zones, nil
}

// Claim is an address of a subnet for an instance: a chosen one, or the next
// free one of the family.
type Claim struct {
	InstanceID string
	Subnet     inventory.Subnet
	IPv6       bool
	Chosen     netip.Addr
}

// Take marks the address taken and returns it. Release of ZonalAddresses is the
// holder's.
func (c Claim) Take(tx *store.Tx, network *inventory.Index) (netip.Addr, error) {
	cursor, _ := state.AddressCursors.Get(tx, c.Subnet.SubnetID)
	cursor.SubnetID = c.Subnet.SubnetID
	w := want{c.Subnet.SubnetID, c.Subnet.CIDRBlock, c.Chosen, &cursor.IPv4}
	if c.IPv6 {
		w.block, w.cursor = c.Subnet.IPv6CIDRBlock, &cursor.IPv6
	}
	addr, err := take(tx, network, c.InstanceID, w)
	if err != nil {
		return addr, err
	}
	state.AddressCursors.Put(tx, cursor)
	return addr, nil
}

// want is an address to take: a chosen one, or the next free one.
type want struct {
	subnetID string
	block    netip.Prefix
	chosen   netip.Addr
	cursor   *netip.Addr
}

func take(tx *store.Tx, network *inventory.Index, holder string, w want) (netip.Addr, error) {
	blocked := func(a netip.Addr) (netip.Prefix, bool) {
		if p, _, held := network.Holder(a); held {
			return p, true
		}
		held, ok := state.ZonalAddresses.Get(tx, state.ZonalAddressKey(w.subnetID, a))
		return netip.PrefixFrom(a, a.BitLen()), ok && held.Holder != holder
	}
	addr := w.chosen
	if addr.IsValid() {
		if _, busy := blocked(addr); busy {
			return addr, wire.Errorf("ResourceInUse", "The address '%s' is in use", addr)
		}
	} else {
		subnet, _ := network.Subnet(w.subnetID)
		free, ok := nextFree(w.block, *w.cursor, func(a netip.Addr) (netip.Prefix, bool) {
			if p, reserved := subnet.Reservation(a); reserved {
				return p, true
			}
			return blocked(a)
		})
		if !ok {
			return addr, wire.Errorf("InvalidSubnet", "Not enough IP space available in %s. ELB requires at least 1 free IP address in each subnet.", w.subnetID)
		}
		addr, *w.cursor = free, free
	}
	state.ZonalAddresses.Put(tx, state.ZonalAddress{SubnetID: w.subnetID, Address: addr, Holder: holder})
	return addr, nil
}

func takeElastic(tx *store.Tx, balancerARN, allocationID string) (netip.Addr, error) {
	e, ok := state.ElasticAddresses.Get(tx, allocationID)
	if !ok {
		return netip.Addr{}, wire.Errorf("AllocationIdNotFound", "The allocation IDs '%s' are not available for use", allocationID)
	}
	if e.LoadBalancerARN != "" && e.LoadBalancerARN != balancerARN || e.InterfaceID != "" {
		return netip.Addr{}, wire.Errorf("ResourceInUse", "The allocation ID '%s' is in use", allocationID)
	}
	e.LoadBalancerARN = balancerARN
	state.ElasticAddresses.Put(tx, e)
	return e.Address, nil
}

// Release frees the addresses of a zone.
func Release(tx *store.Tx, z state.ZoneMapping) {
	if e, ok := state.ElasticAddresses.Get(tx, z.AllocationID); ok {
		e.LoadBalancerARN = ""
		state.ElasticAddresses.Put(tx, e)
	}
	for _, a := range []netip.Addr{z.IPv4, z.IPv6} {
		if a.IsValid() {
			state.ZonalAddresses.Delete(tx, state.ZonalAddressKey(z.SubnetID, a))
		}
	}
}
