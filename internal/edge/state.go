package edge

import (
	"errors"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/datapath"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/proxy"
)

// State is what an edge believes and has done, for people.
type State struct {
	Zone            string                  `json:"zone"`
	Connected       bool                    `json:"connected"` // to the engine
	DataPath        datapath.Mode           `json:"dataPath"`  // native or generic XDP, or userspace
	AppliedRevision uint64                  `json:"appliedRevision"`
	Error           string                  `json:"error,omitempty"`     // of the data path
	Unserved        []string                `json:"unserved,omitempty"`  // what the data path leaves out, and why
	Maps            datapath.Occupancy      `json:"maps"`                // read from the program's maps
	Userspace       []proxy.ListenerState   `json:"userspace,omitempty"` // listeners that the proxy serves
	Snapshot        lb.ZoneSnapshot         `json:"snapshot"`            // without private keys
	Health          []lb.TargetHealthReport `json:"health"`
}

// State returns a copy of what the edge believes now, and what its data path
// holds.
func (e *Edge) State() State {
	held, err := e.cfg.DataPath.Occupancy()
	listeners := e.cfg.Proxy.State()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := State{
		Zone:            e.cfg.Zone,
		Connected:       e.cfg.Link.Connected(),
		DataPath:        e.cfg.DataPath.Mode(),
		AppliedRevision: e.beliefs.revision,
		Unserved:        e.beliefs.unserved,
		Maps:            held,
		Userspace:       listeners,
		Snapshot:        withoutKeys(e.beliefs.snapshot),
		Health:          reports(e.beliefs.health),
	}
	if err := errors.Join(e.beliefs.err, err); err != nil {
		s.Error = err.Error()
	}
	return s
}

// withoutKeys is a snapshot as anybody may see it.
func withoutKeys(s lb.ZoneSnapshot) lb.ZoneSnapshot {
	s.Certificates = slices.Clone(s.Certificates)
	for i := range s.Certificates {
		s.Certificates[i].PrivateKey = nil
	}
	return s
}
