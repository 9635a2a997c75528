package datapath

import "net/netip"

// vips gives every load balancer its counters and lists its addresses.
func (s *assigner) vips() map[string]uint32 {
	known, used := map[[16]byte]uint32{}, map[uint32]bool{}
	for _, v := range s.have.vips {
		known[v.Digest] = v.Balancer
		used[v.Balancer] = true
	}
	out, local := map[string]uint32{}, s.localAddrs()
	free := freeIndexes{limit: maxBalancers}
	for _, b := range s.tables.Balancers {
		sum := digest("balancer", b.ARN)
		index, ok := known[sum]
		if !ok {
			if index, ok = free.take(func(i uint32) bool { return used[i] }); !ok {
				s.lacking["load balancers"]++
				continue
			}
			s.want.counters[index] = struct{}{}
		}
		out[b.ARN] = index
		for _, addr := range b.Addrs {
			s.want.vips[addr] = edgeVip{Balancer: index, Digest: sum, EchoClients: clientsNumber(b.Echo[addr]), Flags: local[addr]}
		}
	}
	return out
}

// localAddrs are the flags of addresses that have a listener in user space.
func (s *assigner) localAddrs() map[netip.Addr]uint32 {
	flags := map[netip.Addr]uint32{}
	for _, l := range s.tables.Listeners {
		if l.Local {
			flags[l.VIP] = vipLocal
		}
	}
	return flags
}
