package datapath

// A step is one write to the maps: entries to put or to remove.
type step struct {
	what   string
	put    contents
	remove contents
}

// diff returns the steps that lead from have to want, in an order in which no
// packet ever finds a reference to something that is not there yet, or not there
// any more: what is referred to comes first and goes last. Entries that are equal
// are left alone.
func diff(want, have contents) []step {
	var steps []step
	add := func(s step) {
		if !s.put.empty() || !s.remove.empty() {
			steps = append(steps, s)
		}
	}
	live, dying := splitTargets(changed(want.targets, have.targets), have.targets)
	if want.generation != have.generation {
		add(step{what: "generation", put: contents{generation: want.generation}})
	}
	add(step{what: "clients", put: contents{clients: changed(want.clients, have.clients)}})
	add(step{what: "targets", put: contents{targets: live}})
	// Should the next write fail, the table must not pass for what it was.
	add(step{what: "stale hash tables", put: contents{groups: stale(want.tables, have.groups)}})
	add(step{what: "hash tables", put: contents{tables: want.tables}})
	add(step{what: "target groups", put: contents{groups: changed(want.groups, have.groups)}})
	add(step{what: "instance prefixes", put: contents{prefixes: changed(want.prefixes, have.prefixes)},
		remove: contents{prefixes: missing(want.prefixes, have.prefixes)}})
	add(step{what: "counters", put: contents{counters: want.counters}})
	add(step{what: "listeners", put: contents{listeners: changed(want.listeners, have.listeners)}})
	add(step{what: "listener keys", put: contents{keys: changed(want.keys, have.keys)}})
	add(step{what: "addresses", put: contents{vips: changed(want.vips, have.vips)}})
	add(step{what: "old listener keys", remove: contents{keys: missing(want.keys, have.keys)}})
	add(step{what: "old addresses", remove: contents{vips: missing(want.vips, have.vips)}})
	add(step{what: "old listeners", remove: contents{listeners: missing(want.listeners, have.listeners)}})
	add(step{what: "terminated targets", put: contents{targets: dying}})
	gone := missing(want.groups, have.groups)
	add(step{what: "old target groups", remove: contents{groups: gone}})
	// Only then: a group that stays because a write failed still has its table.
	add(step{what: "old hash tables", remove: contents{tables: tablesOf(gone)}})
	add(step{what: "old targets", remove: contents{targets: missing(want.targets, have.targets)}})
	add(step{what: "old clients", remove: contents{clients: missing(want.clients, have.clients)}})
	return steps
}

// splitTargets sets apart the targets whose flows are to be terminated: that is
// written after the hash tables, so that no new flow is terminated at birth.
func splitTargets(targets, have map[uint32]edgeTarget) (live, dying map[uint32]edgeTarget) {
	live, dying = map[uint32]edgeTarget{}, map[uint32]edgeTarget{}
	for i, t := range targets {
		if old, known := have[i]; known && old.Id == t.Id && t.Flags&targetTerminate != 0 {
			dying[i] = t
			continue
		}
		live[i] = t
	}
	return live, dying
}

// stale returns the known groups whose tables are about to change, their
// fingerprints void.
func stale(tables map[uint32][]uint32, have map[uint32]edgeGroup) map[uint32]edgeGroup {
	out := map[uint32]edgeGroup{}
	for index := range tables {
		if g, known := have[index]; known && g.Fingerprint != 0 {
			g.Fingerprint = 0
			out[index] = g
		}
	}
	return out
}

// tablesOf names the tables of groups.
func tablesOf(groups map[uint32]edgeGroup) map[uint32][]uint32 {
	out := map[uint32][]uint32{}
	for index := range groups {
		out[index] = nil
	}
	return out
}

func changed[K, V comparable](want, have map[K]V) map[K]V {
	out := map[K]V{}
	for k, v := range want {
		if old, ok := have[k]; !ok || old != v {
			out[k] = v
		}
	}
	return out
}

func missing[K, V comparable](want, have map[K]V) map[K]V {
	out := map[K]V{}
	for k, v := range have {
		if _, ok := want[k]; !ok {
			out[k] = v
		}
	}
	return out
}

func (c contents) empty() bool {
	return c.generation == 0 && len(c.targets)+len(c.tables)+len(c.groups)+len(c.prefixes)+
		len(c.clients)+len(c.listeners)+len(c.keys)+len(c.vips)+len(c.counters) == 0
}
