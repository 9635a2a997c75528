package engine

// belief is what /state tells operators and their tools: what the engine goes
// by at this moment. A file that was replaced is in it once it has been taken.
type belief struct {
	Revision  uint64   `json:"revision"`  // of the state
	Instances []string `json:"instances"` // of the inventory, by ID
	Edges     []string `json:"edges"`     // zones whose edge is connected
}

func (e *Engine) belief() belief {
	network := e.network.current()
	b := belief{Revision: e.db.Current().Number(), Instances: []string{}, Edges: []string{}}
	for _, i := range network.Instances {
		b.Instances = append(b.Instances, i.InstanceID)
	}
	for _, zone := range network.Zones() {
		if e.health.Connected(zone) {
			b.Edges = append(b.Edges, zone)
		}
	}
	return b
}
