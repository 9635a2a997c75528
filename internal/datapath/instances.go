package datapath

import "encoding/binary"

// instances numbers the instances. A number only has to agree between a target
// and a prefix, so it is made from the name and stays the same without memory.
func (s *assigner) instances() map[string]uint32 {
	out := map[string]uint32{"": 0}
	for name := range s.tables.Instances {
		sum := digest("instance", name)
		out[name] = binary.LittleEndian.Uint32(sum[:]) | 1
	}
	return out
}

func (s *assigner) prefixes() {
	for name, id := range s.instances() {
		for _, p := range s.tables.Instances[name] {
			// Two instances that claim one prefix: any answer, but always the same.
			s.want.prefixes[p] = max(id, s.want.prefixes[p])
		}
	}
}
