package health

import (
	"container/heap"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// register makes the set of checks equal to targets: new ones are asked at
// once, gone ones are forgotten, kept ones keep their state.
func (c *Checker) register(targets map[lb.TargetKey]Target, now time.Time) {
	for key, check := range c.checks {
		if _, kept := targets[key]; !kept {
			c.forget(check)
		}
	}
	for key, target := range targets {
		if check, known := c.checks[key]; known && check.target.Addr.Addr() == target.Addr.Addr() {
			c.update(check, target, now)
		} else {
			if known {
				c.forget(check) // another machine behind the same ID starts anew
			}
			c.add(key, target, now)
		}
	}
	c.cfg.Restored = nil // only what the first set names can go on
}

func (c *Checker) add(key lb.TargetKey, target Target, now time.Time) {
	check := &check{key: key, target: target, state: c.restored(key, target, now), due: now, beat: now}
	c.checks[key] = check
	heap.Push(&c.queue, check)
	c.changed(check)
}

// restored returns the state that a target starts with.
func (c *Checker) restored(key lb.TargetKey, target Target, now time.Time) State {
	health, known := c.cfg.Restored[key]
	if !known {
		return Registered()
	}
	state := State{Health: health}
	if health.State == lb.UnhealthyDraining {
		state.DrainEnd = now.Add(target.Rules.UnhealthyDraining)
	}
	return state
}

// update changes what a known target is asked. Its health stays until a result
// changes it, as ELBv2 keeps it over ModifyTargetGroup; a new question starts
// the counting anew and is asked at once.
func (c *Checker) update(check *check, target Target, now time.Time) {
	previous := check.target
	check.target = target
	switch {
	case !target.asksLike(previous):
		check.state.Passes, check.state.Failures = 0, 0
		check.askAt(now)
		if check.running {
			check.cancel()
		}
	case target.Interval < previous.Interval && check.due.After(now.Add(target.Interval)):
		check.askAt(now.Add(target.Interval))
	}
	if !check.running {
		heap.Fix(&c.queue, check.index)
	}
}

func (c *Checker) forget(check *check) {
	delete(c.checks, check.key)
	if check.running {
		check.gone = true
		check.cancel()
	} else {
		heap.Remove(&c.queue, check.index)
	}
}

// queue is a heap of checks by the time they need attention.
type queue []*check

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].wake().Before(q[j].wake()) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push and Pop implement heap.Interface.
func (q *queue) Push(x any) {
	check := x.(*check)
	check.index = len(*q)
	*q = append(*q, check)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	check := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return check
}
