package nodeagent

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podstate"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/probe"
)

// startProbes begins to probe a run until ctx ends, which is when the container
// does: readiness is probed while the container is being stopped too. The other
// probes wait for the startup probe.
func (w *worker) startProbes(ctx context.Context, r *containerRun) {
	started := make(chan struct{})
	if p := r.spec.StartupProbe; p != nil {
		go w.probe(ctx, r, probing{name: "Startup", spec: p, begin: closed(), verdict: func(v probe.Verdict) bool {
			return w.startupVerdict(r, v, started)
		}})
	} else {
		close(started)
	}
	if p := r.spec.LivenessProbe; p != nil {
		go w.probe(ctx, r, probing{name: "Liveness", spec: p, begin: started, verdict: func(v probe.Verdict) bool {
			return w.livenessVerdict(r, v)
		}})
	}
	if p := r.spec.ReadinessProbe; p != nil {
		go w.probe(ctx, r, probing{name: "Readiness", spec: p, begin: started, verdict: func(v probe.Verdict) bool {
			w.post(func() { w.setReady(r, v == probe.Passing) })
			return true
		}})
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// probing is one probe of one run. verdict is told of every change and returns
// whether to go on.
type probing struct {
	name    string
	spec    *corev1.Probe
	begin   <-chan struct{}
	verdict func(probe.Verdict) bool
}

func (w *worker) probe(ctx context.Context, r *containerRun, p probing) {
	select {
	case <-p.begin:
	case <-ctx.Done():
		return
	}
	rules := probe.RulesOf(p.spec)
	state := probe.Start(rules, r.since)
	for {
		select {
		case <-time.After(time.Until(state.Next)):
		case <-ctx.Done():
			return
		}
		err := probeOnce(ctx, r, p.spec, rules)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.event(corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %v", p.name, err)
		}
		next := state.Observe(rules, err == nil, time.Now())
		if next.Verdict != state.Verdict && !p.verdict(next.Verdict) {
			return
		}
		state = next
	}
}

func probeOnce(ctx context.Context, r *containerRun, p *corev1.Probe, rules probe.Rules) error {
	ctx, cancel := context.WithTimeout(ctx, rules.Timeout)
	defer cancel()
	return probe.Run(ctx, p.ProbeHandler, r.target())
}

func (w *worker) startupVerdict(r *containerRun, v probe.Verdict, started chan struct{}) bool {
	if v == probe.Passing {
		w.post(func() { w.setStarted(r) })
		close(started)
		return false
	}
	w.unhealthy(r, "startup", r.spec.StartupProbe)
	return false
}

func (w *worker) livenessVerdict(r *containerRun, v probe.Verdict) bool {
	if v == probe.Passing {
		return true
	}
	w.unhealthy(r, "liveness", r.spec.LivenessProbe)
	return false
}

func (w *worker) unhealthy(r *containerRun, which string, p *corev1.Probe) {
	w.post(func() {
		grace := periodOf(w.pod.Spec.TerminationGracePeriodSeconds)
		if p.TerminationGracePeriodSeconds != nil {
			grace = periodOf(p.TerminationGracePeriodSeconds)
		}
		w.restart(r, "Container "+r.spec.Name+" failed "+which+" probe, will be restarted", grace)
	})
}

func (w *worker) setStarted(r *containerRun) {
	if c := w.present(r); c != nil {
		c.Started = true
		c.Ready = c.Ready || r.spec.ReadinessProbe == nil
	}
}

func (w *worker) setReady(r *containerRun, ready bool) {
	if c := w.present(r); c != nil {
		c.Ready = ready
	}
}

// present returns the container's state if the run is its present one.
func (w *worker) present(r *containerRun) *podstate.Container {
	c := &w.state.Containers[r.index]
	if c.Phase != podstate.Running || c.ID != r.id {
		return nil
	}
	return c
}
