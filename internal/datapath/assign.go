package datapath

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/datapath/maglev"
)

// Sizes of the maps, as in bpf/maps.h.
const (
	maxListeners = 16384
	maxGroups    = 16384
	maxTargets   = 65536
	maxBalancers = 4096
	maxClients   = 262144
)

const (
	ipProtoTCP = 6
	ipProtoUDP = 17
)

// Flags of groups, listeners, addresses and targets, as in bpf/maps.h.
const (
	groupSourceNAT  = 1
	groupSticky     = 2
	groupFailOpen   = 4
	groupUnresolved = 8

	listenerLocal   = 1
	listenerSticky  = 2
	listenerDeleted = 4
	vipLocal        = 1

	targetTerminate        = 1
	targetTerminateOnLeave = 2
	targetNoTCP            = 4
	targetNoUDP            = 8
)

// assignment is what assign needs to know.
type assignment struct {
	tables Tables
	have   contents
	// resolve returns the next hop's MAC. A target without one gets no new flows.
	resolve func(netip.Addr) ([6]byte, bool)
	inUse   inUse
}

// inUse says what flows still refer to, by ID.
type inUse struct{ target, listener func(id uint32) bool }

// assign turns Tables into map contents. Whatever is in the maps already keeps
// its index and its ID; targets and listeners that left stay as long as flows use
// them. It is pure; an error means that something does not fit, and the rest is
// still right.
func assign(a assignment) (contents, error) {
	s := assigner{assignment: a, want: newContents(), fresh: a.have.generation + 1}
	if s.fresh&0xffff == 0 {
		s.fresh++ // an ID is never zero
	}
	s.want.generation = a.have.generation
	s.indexHave()
	groups := s.groups()
	s.targets(groups)
	s.choices(groups)
	s.prefixes()
	s.clients()
	balancers := s.vips()
	s.listeners(groups, balancers)
	return s.want, s.problem()
}

type targetName struct {
	group uint32
	addr  netip.AddrPort
}

type assigner struct {
	assignment
	want    contents
	fresh   uint32 // generation of IDs that are made now
	byName  map[targetName]uint32
	bySum   map[[16]byte]uint32 // groups
	lisSum  map[[16]byte]uint32 // listeners
	ids     map[targetName]uint32
	lacking map[string]int
}

func (s *assigner) indexHave() {
	s.byName, s.bySum, s.lisSum = map[targetName]uint32{}, map[[16]byte]uint32{}, map[[16]byte]uint32{}
	s.ids, s.lacking = map[targetName]uint32{}, map[string]int{}
	for i, t := range s.have.targets {
		s.byName[nameOf(t)] = i
	}
	for i, g := range s.have.groups {
		s.bySum[g.Digest] = i
	}
	for i, l := range s.have.listeners {
		s.lisSum[l.Digest] = i
	}
}

func nameOf(t edgeTarget) targetName {
	return targetName{t.Group, netip.AddrPortFrom(addrFromMap(t.Addr), portFromMap(t.Port))}
}

func (s *assigner) problem() error {
	var errs []string
	for what, n := range s.lacking {
		errs = append(errs, fmt.Sprintf("%d %s more than there is room for", n, what))
	}
	if len(errs) == 0 {
		return nil
	}
	slices.Sort(errs)
	return fmt.Errorf("assign map entries: %v", errs)
}

// freeIndexes hands out the indexes that neither of two maps uses.
type freeIndexes struct{ next, limit uint32 }

func (f *freeIndexes) take(used func(uint32) bool) (uint32, bool) {
	for ; f.next < f.limit; f.next++ {
		if !used(f.next) {
			f.next++
			return f.next - 1, true
		}
	}
	return 0, false
}

func (s *assigner) newID(index uint32) uint32 {
	s.want.generation = s.fresh
	return makeID(s.fresh, index)
}

// groups gives every group its index.
func (s *assigner) groups() map[string]uint32 {
	out := map[string]uint32{}
	free := freeIndexes{limit: maxGroups}
	for _, g := range s.tables.Groups {
		sum := digest("group", g.ARN)
		index, known := s.bySum[sum]
		if !known {
			var ok bool
			index, ok = free.take(func(i uint32) bool { _, used := s.have.groups[i]; return used })
			if !ok {
				s.lacking["target groups"]++
				continue
			}
		}
		out[g.ARN] = index
		s.want.groups[index] = edgeGroup{Digest: sum, Flags: groupFlags(g)}
	}
	return out
}

func groupFlags(g Group) (flags uint32) {
	if g.SourceNAT {
		flags |= groupSourceNAT
	}
	if g.Sticky {
		flags |= groupSticky
	}
	if g.FailOpen {
		flags |= groupFailOpen
	}
	return flags
}

// targets gives every target its place: those that are known keep theirs, those
// that left keep theirs while flows use them.
func (s *assigner) targets(groups map[string]uint32) {
	instances := s.instances()
	var added []edgeTarget
	for _, g := range s.tables.Groups {
		group, ok := groups[g.ARN]
		if !ok {
			continue
		}
		for _, t := range g.Targets {
			entry := edgeTarget{
				Addr: addrToMap(t.Addr.Addr()), Port: portToMap(t.Addr.Port()),
				Group: group, Instance: instances[t.Instance], Flags: targetFlags(t),
				ClientsTcp: clientsNumber(t.ClientsTCP), ClientsUdp: clientsNumber(t.ClientsUDP),
			}
			index, known := s.byName[targetName{group, t.Addr}]
			if mac, ok := s.resolve(t.Addr.Addr()); ok {
				entry.Mac = macToMap(mac)
			} else if known {
				entry.Mac = s.have.targets[index].Mac
			}
			if !known {
				added = append(added, entry)
				continue
			}
			entry.Id = s.have.targets[index].Id
			s.want.targets[index] = entry
		}
	}
	s.keepUsedTargets()
	s.placeTargets(added)
	for _, t := range s.want.targets {
		s.ids[nameOf(t)] = t.Id
	}
}

func targetFlags(t Target) (flags uint16) {
	if t.Terminate {
		flags |= targetTerminate
	}
	if t.OnLeave {
		flags |= targetTerminateOnLeave
	}
	if t.NoTCP {
		flags |= targetNoTCP
	}
	if t.NoUDP {
		flags |= targetNoUDP
	}
	return flags
}

func (s *assigner) keepUsedTargets() {
	for index, t := range s.have.targets {
		if _, wanted := s.want.targets[index]; wanted || !s.inUse.target(t.Id) {
			continue
		}
		if t.Flags&targetTerminateOnLeave != 0 {
			t.Flags |= targetTerminate
		}
		t.ClientsTcp, t.ClientsUdp = clientsNobody, clientsNobody // no new flows, and no set is kept for it
		if mac, ok := s.resolve(addrFromMap(t.Addr)); ok {
			t.Mac = macToMap(mac)
		}
		s.want.targets[index] = t
	}
}

func (s *assigner) placeTargets(added []edgeTarget) {
	free := freeIndexes{limit: maxTargets}
	for _, t := range added {
		index, ok := free.take(func(i uint32) bool {
			_, had := s.have.targets[i]
			_, has := s.want.targets[i]
			return had || has
		})
		if !ok {
			s.lacking["targets"]++
			continue
		}
		t.Id = s.newID(index)
		s.want.targets[index] = t
	}
}

// choices fills the hash tables of groups whose choice has changed.
func (s *assigner) choices(groups map[string]uint32) {
	for _, g := range s.tables.Groups {
		index, ok := groups[g.ARN]
		if !ok {
			continue
		}
		members := s.members(g, index)
		entry := s.want.groups[index]
		entry.Fingerprint = fingerprint(members, maglev.Size(len(g.Targets)))
		if len(members) > 0 {
			entry.Slots = uint32(maglev.Size(len(g.Targets)))
		} else if slices.ContainsFunc(g.Targets, func(t Target) bool { return t.Selectable }) {
			entry.Flags |= groupUnresolved
		}
		s.want.groups[index] = entry
		if s.have.groups[index].Digest == entry.Digest && s.have.groups[index].Fingerprint == entry.Fingerprint {
			continue
		}
		s.want.tables[index] = slots(members, maglev.Size(len(g.Targets)))
	}
}

// member is a target that new flows of a group may go to.
type member struct {
	addr netip.AddrPort
	id   uint32
}

func (s *assigner) members(g Group, index uint32) []member {
	var out []member
	for _, t := range g.Targets {
		id := s.ids[targetName{index, t.Addr}]
		if t.Selectable && id != 0 && s.want.targets[indexOf(id)].Mac != 0 {
			out = append(out, member{t.Addr, id})
		}
	}
	slices.SortFunc(out, func(a, b member) int { return a.addr.Compare(b.addr) })
	return out
}

// fingerprint tells tables apart. IDs are enough: one stands for the same address
// for as long as a table may hold it.
func fingerprint(members []member, size int) uint64 {
	words := binary.LittleEndian.AppendUint32(nil, uint32(size))
	for _, m := range members {
		words = binary.LittleEndian.AppendUint32(words, m.id)
	}
	sum := sha256.Sum256(words)
	return binary.LittleEndian.Uint64(sum[:])
}

// slots returns target IDs by slot; none when there is no target.
func slots(members []member, size int) []uint32 {
	if len(members) == 0 {
		return nil
	}
	all := make([]maglev.Target, len(members))
	for i, m := range members {
		all[i] = maglev.Target{Name: m.addr.String(), Weight: 1}
	}
	out := make([]uint32, size)
	for slot, i := range maglev.Build(all, size) {
		out[slot] = members[i].id
	}
	return out
}
