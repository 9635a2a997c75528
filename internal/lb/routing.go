package lb

// Serves says whether a state admits new flows. A target whose checks are off
// is not known to be unable.
func (s HealthState) Serves() bool { return s == Healthy || s == Unavailable }

// Refuses says whether a state is a verdict against the target. The initial
// state is none: failing open never sends clients to a target that was not
// asked yet.
func (s HealthState) Refuses() bool { return s == Unhealthy || s == UnhealthyDraining }

// Health is the state of targets; one that is missing is Initial.
type Health map[TargetKey]HealthState

// Of is the state of a target of a group.
func (h Health) Of(g *ZonalGroup, t ZonalTarget) HealthState {
	return h[TargetKey{TargetGroupARN: g.ARN, ID: t.ID, Port: t.Port}]
}

// FailsOpen says whether the group sends traffic to all its targets because too
// few are healthy (NLB user guide, "Target group health": fewer than the count
// or the percentage, whichever comes first; one is the least count there is).
func (g *ZonalGroup) FailsOpen(health Health) bool {
	registered, healthy := 0, 0
	for _, t := range g.Targets {
		if !t.DrainUntil.IsZero() {
			continue
		}
		registered++
		if health.Of(g, t).Serves() {
			healthy++
		}
	}
	if registered == 0 {
		return false
	}
	return healthy < max(1, g.UnhealthyRoutingMinCount) || healthy*100 < g.UnhealthyRoutingMinPercentage*registered
}

// TakesNew says whether new flows of the group may go to a target of it, when
// the group fails open and when it does not.
func (g *ZonalGroup) TakesNew(t ZonalTarget, health Health, failsOpen bool) bool {
	state := health.Of(g, t)
	return t.DrainUntil.IsZero() && (state.Serves() || failsOpen && state.Refuses())
}
