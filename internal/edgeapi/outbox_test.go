package edgeapi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// ledger is the engine's table of one zone, kept from reports alone.
type ledger map[lb.TargetKey]lb.TargetHealth

func (l ledger) apply(r lb.HealthReport) {
	if r.Full {
		clear(l)
	}
	for _, key := range r.Removed {
		delete(l, key)
	}
	for _, t := range r.Targets {
		l[t.Target] = t.Health
	}
}

// Whatever is merged between two takes, and whenever sessions start over, the
// engine ends with what the edge knows.
func TestOutboxBringsTheReaderToTheWritersState(t *testing.T) {
	states := []lb.HealthState{lb.Initial, lb.Healthy, lb.Unhealthy}
	rapid.Check(t, func(t *rapid.T) {
		out, edge, engine := NewOutbox(zone), ledger{}, ledger{}
		engine.apply(out.takeFull())
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"put", "put", "take", "restart"}).Draw(t, "step") {
			case "put":
				r := lb.HealthReport{Zone: zone, Full: rapid.Bool().Draw(t, "full")}
				for _, port := range rapid.SliceOfNDistinct(rapid.Uint16Range(1, 5), 0, 5, rapid.ID).Draw(t, "ports") {
					key := lb.TargetKey{TargetGroupARN: "arn", ID: "i-1", Port: port}
					if !r.Full && rapid.Bool().Draw(t, "remove") {
						r.Removed = append(r.Removed, key)
					} else {
						r.Targets = append(r.Targets, is(key, rapid.SampledFrom(states).Draw(t, "state")))
					}
				}
				out.Put(r)
				edge.apply(r)
			case "take":
				if r, pending := out.takeChanged(); pending {
					engine.apply(r)
				}
			case "restart":
				clear(engine)
				engine.apply(out.takeFull())
			}
		}
		if r, pending := out.takeChanged(); pending {
			engine.apply(r)
		}
		if diff := cmp.Diff(edge, engine); diff != "" {
			t.Fatalf("edge and engine differ (-edge +engine):\n%s", diff)
		}
	})
}

// A session that starts over tells the data path, too, though nothing changed.
func TestEveryReportTellsTheDataPath(t *testing.T) {
	out := NewOutbox(zone)
	out.Put(lb.HealthReport{Revision: 1, DataPath: lb.DataPathGeneric})
	out.Put(report(2, is(web1, lb.Healthy)))
	for range 2 {
		if got := out.takeFull().DataPath; got != lb.DataPathGeneric {
			t.Errorf("data path = %q, want generic", got)
		}
	}
	out.Put(lb.HealthReport{Revision: 3, DataPath: lb.DataPathNative})
	if r, _ := out.takeChanged(); r.DataPath != lb.DataPathNative {
		t.Errorf("data path = %q after a change, want native", r.DataPath)
	}
}

func TestOutboxIsQuietWithNothingNew(t *testing.T) {
	out := NewOutbox(zone)
	out.Put(report(3, is(web1, lb.Healthy)))
	out.takeFull()
	if r, pending := out.takeChanged(); pending {
		t.Errorf("takeChanged = %+v after everything was taken", r)
	}
}
