package loop

import (
	"math/bits"
	"time"
)

const (
	tick       = 100 * time.Millisecond // how late a timer may be
	slotCount  = 512
	slotsInSet = 64
)

// timer is something that is due at a time. It is in a wheel or not.
type timer struct {
	due        int64 // tick
	next, prev *timer
	of         timed
}

// timed is what is told, in its loop, that its timer is due.
type timed interface{ timeUp() }

// wheel finds the timers that are due. Setting and stopping one takes the same
// time however many there are; one that is further away than a turn of the wheel
// is looked at once a turn.
type wheel struct {
	now   int64 // ticks up to this one are over
	slots [slotCount]timer
	used  [slotCount / slotsInSet]uint64 // slots that may have timers
}

func newWheel() *wheel {
	w := &wheel{}
	for i := range w.slots {
		s := &w.slots[i]
		s.next, s.prev = s, s
	}
	return w
}

// set makes t due when a time since the loop's start has passed.
func (w *wheel) set(t *timer, at time.Duration) {
	w.stop(t)
	t.due = max(int64((at+tick-1)/tick), w.now+1)
	i := t.due % slotCount
	s := &w.slots[i]
	t.next, t.prev = s, s.prev
	t.prev.next, s.prev = t, t
	w.used[i/slotsInSet] |= 1 << (i % slotsInSet)
}

func (w *wheel) stop(t *timer) {
	if t.next == nil {
		return
	}
	t.next.prev, t.prev.next = t.prev, t.next
	t.next, t.prev = nil, nil
}

// advance takes out the timers that are due and fires each, which may set and
// stop timers.
func (w *wheel) advance(now time.Duration) {
	until := int64(now / tick)
	w.now, until = max(w.now, until-slotCount), max(until, w.now)
	for w.now < until {
		w.now++
		w.fireSlot(w.now%slotCount, until)
	}
}

func (w *wheel) fireSlot(i, until int64) {
	s := &w.slots[i]
	var due []*timer
	for t := s.next; t != s; t = t.next {
		if t.due <= until {
			due = append(due, t)
		}
	}
	for _, t := range due {
		if t.next == nil {
			continue // one before has stopped it
		}
		w.stop(t)
		t.of.timeUp()
	}
	if s.next == s {
		w.used[i/slotsInSet] &^= 1 << (i % slotsInSet)
	}
}

// until is how long after now to look again, or -1 when nothing is set.
func (w *wheel) until(now time.Duration) time.Duration {
	from := w.now + 1
	for ahead := int64(0); ahead < slotCount; {
		i := (from + ahead) % slotCount
		set := w.used[i/slotsInSet] >> (i % slotsInSet)
		if set != 0 {
			ahead += int64(bits.TrailingZeros64(set))
			return max(time.Duration(from+ahead)*tick-now, 0)
		}
		ahead += slotsInSet - i%slotsInSet
	}
	return -1
}
