package datapath

import "errors"

// Occupancy is how many entries the program's maps hold at this moment.
type Occupancy struct {
	Listeners int `json:"listeners"`
	Targets   int `json:"targets"` // draining ones and those that flows still use included
	Flows     int `json:"flows"`   // in all states, from opening to closing
}

// Occupancy reads the maps themselves, not what this process believes of them.
func (d *Datapath) Occupancy() (Occupancy, error) {
	held, err1 := d.bpf.load()
	now, err2 := d.bpf.clock(d.objs.Jiffies)
	flows := 0
	err3 := d.bpf.eachLive(now, func(*edgeFlow) { flows++ })
	return Occupancy{len(held.listeners), len(held.targets), flows}, errors.Join(err1, err2, err3)
}
