package datapath

import (
	"math"
	"strconv"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

func (s *assigner) listeners(groups, balancers map[string]uint32) {
	free := freeIndexes{limit: maxListeners}
	for _, l := range s.tables.Listeners {
		balancer, ok := balancers[l.Balancer]
		if !ok {
			continue
		}
		sum := digest("listener", l.ARN, l.VIP.String(), string(l.Protocol), strconv.Itoa(int(l.Port)))
		index, known := s.knownListener(l, sum, balancer)
		id := s.have.listeners[index].Id
		if !known {
			if index, ok = free.take(func(i uint32) bool { _, used := s.have.listeners[i]; return used }); !ok {
				s.lacking["listeners"]++
				continue
			}
			id = s.newID(index)
		}
		entry := edgeListener{
			Id: id, Balancer: balancer, Vip: addrToMap(l.VIP), Port: portToMap(l.Port),
			Proto: protocolNumber(l.Protocol), IdleSeconds: uint32(l.Idle / time.Second), Digest: sum,
			Clients: clientsNumber(l.Clients),
		}
		if l.Local {
			entry.Flags |= listenerLocal
		}
		if l.Sticky {
			entry.Flags |= listenerSticky
		}
		bounds(&entry, l.Forward, groups)
		s.want.listeners[index] = entry
		s.want.keys[keyOf(entry)] = id
	}
	s.keepUsedListeners()
}

func keyOf(l edgeListener) edgeListenerKey {
	return edgeListenerKey{Vip: l.Vip, Port: l.Port, Proto: l.Proto}
}

// knownListener returns the place of a listener that is in the maps already, or of
// the one before it at its address and port, whose connections it takes over.
func (s *assigner) knownListener(l Listener, sum [16]byte, balancer uint32) (uint32, bool) {
	if index, known := s.lisSum[sum]; known {
		return index, true
	}
	id, taken := s.have.keys[edgeListenerKey{Vip: addrToMap(l.VIP), Port: portToMap(l.Port), Proto: protocolNumber(l.Protocol)}]
	before := s.have.listeners[indexOf(id)]
	return indexOf(id), taken && before.Id == id && before.Balancer == balancer && l.Protocol == lb.TCP
}

// keepUsedListeners keeps deleted TCP listeners for their connections, which AWS
// has remain until they end or time out (user guide for Network Load Balancers,
// "Delete a listener"). Not so those of addresses that are gone, and of user
// space, whose connections end with their sockets.
func (s *assigner) keepUsedListeners() {
	for index, l := range s.have.listeners {
		if _, wanted := s.want.listeners[index]; wanted || l.Proto != ipProtoTCP || l.Flags&listenerLocal != 0 {
			continue
		}
		v, served := s.want.vips[addrFromMap(l.Vip)]
		if _, taken := s.want.keys[keyOf(l)]; taken || !served || v.Balancer != l.Balancer || !s.inUse.listener(l.Id) {
			continue
		}
		// No new flows: nothing is to be kept for them.
		l.Flags, l.Clients = listenerDeleted, clientsNobody
		l.Choices, l.Choice = 0, [maxChoices]edgeChoice{}
		s.want.listeners[index] = l
		s.want.keys[keyOf(l)] = l.Id
	}
}

func protocolNumber(p lb.Protocol) uint8 {
	if p == lb.UDP {
		return ipProtoUDP
	}
	return ipProtoTCP
}

// bounds writes weights as the upper bounds of ranges of a 32-bit hash.
func bounds(entry *edgeListener, forward []Choice, groups map[string]uint32) {
	total, sum := 0, 0
	for _, c := range forward {
		total += c.Weight
	}
	for _, c := range forward {
		index, ok := groups[c.Group]
		sum += c.Weight
		if !ok || entry.Choices == maxChoices {
			continue
		}
		bound := uint64(sum) * math.MaxUint32 / uint64(total)
		entry.Choice[entry.Choices] = edgeChoice{Group: index, Bound: uint32(bound)}
		entry.Choices++
	}
}
