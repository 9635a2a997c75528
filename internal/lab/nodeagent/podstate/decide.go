package podstate

import "time"

// Decision is what has to happen next.
type Decision struct {
	Start []int     // containers to start now, by index
	Stop  []int     // sidecars that outlived the main containers
	Wake  time.Time // when to decide again if nothing happens before; zero: never
	Done  bool      // no container runs and none will again
}

// Decide says what a pod needs at a time: init containers run one after another
// to success, sidecars from their turn on, then all main containers.
func Decide(p Pod, now time.Time) Decision {
	var d Decision
	if finished(p) {
		d.stopSidecars(p)
		d.Done = !anyRunning(p.Containers)
		return d
	}
	if p.Stopping || !p.Sandbox {
		return d
	}
	if d.initContainers(p, now) {
		for i, c := range p.Containers {
			if c.Role == Main {
				d.consider(i, c, now)
			}
		}
	}
	return d
}

// finished reports whether the pod has run its course: all main containers
// ended for good, or an init container failed for good, or it was stopped.
func finished(p Pod) bool {
	if p.Stopping {
		return !anyRunning(p.Containers)
	}
	mains := true
	for _, c := range p.Containers {
		if c.Role == Init && c.final() && c.Exit.Code != 0 {
			return true
		}
		if c.Role == Main && !c.final() {
			mains = false
		}
	}
	return mains
}

func anyRunning(cs []Container) bool {
	for _, c := range cs {
		if c.Phase == Running {
			return true
		}
	}
	return false
}

func (d *Decision) stopSidecars(p Pod) {
	for i, c := range p.Containers {
		if c.Phase == Running && c.Role == Sidecar {
			d.Stop = append(d.Stop, i)
		}
	}
}

// initContainers goes through the init containers in order and reports whether
// the main ones may run. After a main container ran once, an init container is
// not run again, but sidecars are kept alive.
func (d *Decision) initContainers(p Pod, now time.Time) bool {
	past := initialized(p)
	for i, c := range p.Containers {
		switch {
		case c.Role == Sidecar:
			d.consider(i, c, now)
			if !past && !(c.Phase == Running && c.Started) {
				return false
			}
		case c.Role == Init && !past && !c.succeeded():
			d.consider(i, c, now)
			return false
		}
	}
	return true
}

// initialized reports whether a main container was ever begun in this sandbox.
func initialized(p Pod) bool {
	for _, c := range p.Containers {
		if c.Role == Main && !c.Since.IsZero() {
			return true
		}
	}
	return false
}

// consider starts a container that is due, or wakes when it will be.
func (d *Decision) consider(i int, c Container, now time.Time) {
	if c.Phase == Running || c.final() {
		return
	}
	if !c.NotBefore.After(now) {
		d.Start = append(d.Start, i)
		return
	}
	if d.Wake.IsZero() || c.NotBefore.Before(d.Wake) {
		d.Wake = c.NotBefore
	}
}
