package datapath

import "time"

// roomPause is the least time between two warnings that the flow table is full.
const roomPause = time.Minute

// room watches whether the flow table refuses new flows.
type room struct {
	known   bool
	refused uint64 // by the last warning, or the first look
	warned  time.Time
}

// next takes how many flows have ever been refused and returns how many there are
// to warn of, 0 for none.
func (r room) next(refused uint64, now time.Time) (room, uint64) {
	if !r.known || refused < r.refused { // an adopted table tells of the past, too
		return room{known: true, refused: refused}, 0
	}
	more := refused - r.refused
	if more == 0 || now.Sub(r.warned) < roomPause {
		return r, 0
	}
	return room{known: true, refused: refused, warned: now}, more
}

// watchRoom warns when flows were refused for want of room. The caller holds the
// lock.
func (d *Datapath) watchRoom() error {
	reasons, err := d.bpf.reasons()
	if err != nil {
		return err
	}
	var more uint64
	d.room, more = d.room.next(reasons["reset_table_full"]+reasons["drop_table_full"], time.Now())
	if more > 0 {
		d.log.Warn("the flow table has no room for new flows: stop the edge, run 'fairlead edge detach', which ends all flows, and start it with more --flows",
			"refused", more, "flows", d.census.held, "room", d.bpf.room())
	}
	return nil
}

// room is how many flows the table was made for.
func (s *bpfStore) room() int { return int(s.maps.Flows.MaxEntries()) * slotsPerBucket / slotsPerFlow }
