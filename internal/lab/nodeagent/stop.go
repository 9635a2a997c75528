package nodeagent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podstate"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/probe"
)

// lastWindow is how long a container has after its stop signal even if the
// grace period is used up, as with the kubelet.
const lastWindow = 2 * time.Second

// stop begins to end all containers of the pod, or shortens the time they have
// if it has begun: a second deletion may ask for less.
func (w *worker) stop() {
	grace := w.grace()
	if w.state.Stopping {
		for _, r := range w.runs {
			if r != nil {
				r.killAfter(grace)
			}
		}
		return
	}
	w.state.Stopping = true
	var mains, sidecars []*containerRun
	for i, c := range w.state.Containers {
		if c.Phase != podstate.Running {
			continue
		}
		if c.Role == podstate.Sidecar {
			sidecars = append(sidecars, w.runs[i])
		} else {
			mains = append(mains, w.runs[i])
		}
	}
	if len(mains)+len(sidecars) == 0 {
		return
	}
	for _, r := range slices.Concat(mains, sidecars) {
		r.killAfter(grace)
	}
	slices.Reverse(sidecars)
	w.ending = make(chan struct{})
	go w.endAll(mains, sidecars, w.ending)
}

// endAll stops the main containers at once and then the sidecars, the last
// started first.
func (w *worker) endAll(mains, sidecars []*containerRun, ending chan<- struct{}) {
	var all sync.WaitGroup
	for _, r := range mains {
		all.Go(func() { w.endOnce(r, "Stopping container "+r.spec.Name) })
	}
	all.Wait()
	for _, r := range sidecars {
		w.endOnce(r, "Stopping container "+r.spec.Name)
	}
	close(ending)
}

// grace is how long the containers have from now. The API server says when the
// time is over; the pod's own period counts where it does not.
func (w *worker) grace() time.Duration {
	if s := w.pod.DeletionGracePeriodSeconds; s != nil && w.pod.DeletionTimestamp != nil {
		return min(time.Until(w.pod.DeletionTimestamp.Time), time.Duration(*s)*time.Second)
	}
	return periodOf(w.pod.Spec.TerminationGracePeriodSeconds)
}

func periodOf(seconds *int64) time.Duration {
	if seconds == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(*seconds) * time.Second
}

// stopSidecar ends a sidecar of which the main containers have ended.
func (w *worker) stopSidecar(i int) {
	r := w.runs[i]
	r.killAfter(periodOf(w.pod.Spec.TerminationGracePeriodSeconds))
	go w.endOnce(r, "Stopping container "+r.spec.Name)
}

// restart ends a run that failed a probe or its hook, so that the next begins.
func (w *worker) restart(r *containerRun, why string, grace time.Duration) {
	if w.state.Stopping {
		return
	}
	r.killAfter(grace)
	go w.endOnce(r, why)
}

// endOnce ends a run, or waits until whoever ends it already is done.
func (w *worker) endOnce(r *containerRun, why string) {
	mine := false
	r.stopOnce.Do(func() { mine = true })
	if mine {
		w.end(r, why)
	}
	<-r.ended
}

// killAfter ends the grace period of a run after a time. Of several calls the
// earliest counts.
func (r *containerRun) killAfter(grace time.Duration) {
	over := func() { r.killOnce.Do(func() { close(r.killNow) }) }
	if grace <= 0 {
		over()
		return
	}
	timer := time.AfterFunc(grace, over)
	go func() {
		<-r.ended
		timer.Stop()
	}()
}

// end runs the preStop hook, sends the stop signal and, when the grace period
// is over, kills. It returns when the container has ended.
func (w *worker) end(r *containerRun, why string) {
	w.event(corev1.EventTypeNormal, "Killing", "%s", why)
	w.preStop(r)
	if err := r.proc.Signal(stopSignal(r.spec)); err != nil {
		w.log.Warn("stop signal not sent", "container", r.spec.Name, "error", err)
	}
	select {
	case <-r.ended:
		return
	case <-r.killNow:
	}
	select {
	case <-r.ended:
		return
	case <-time.After(lastWindow):
	}
	r.proc.Kill()
	<-r.ended
}

// preStop runs the hook until it ends, the container ends or the grace period
// is over.
func (w *worker) preStop(r *containerRun) {
	if r.spec.Lifecycle == nil || r.spec.Lifecycle.PreStop == nil {
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case <-r.killNow:
			cancel(fmt.Errorf("the grace period is over"))
		case <-r.ended:
			cancel(fmt.Errorf("the container ended"))
		case <-ctx.Done():
		}
	}()
	if err := runHook(ctx, r, r.spec.Lifecycle.PreStop); err != nil {
		w.event(corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook of container %s failed: %v", r.spec.Name, err)
	}
}

// postStart runs the hook; if it fails the container is ended.
func (w *worker) postStart(ctx context.Context, r *containerRun) {
	err := runHook(ctx, r, r.spec.Lifecycle.PostStart)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.event(corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook of container %s failed: %v", r.spec.Name, err)
	w.post(func() {
		w.restart(r, "FailedPostStartHook", periodOf(w.pod.Spec.TerminationGracePeriodSeconds))
	})
}

func runHook(ctx context.Context, r *containerRun, h *corev1.LifecycleHandler) error {
	switch {
	case h.Exec != nil:
		code, out, err := r.exec(ctx, h.Exec.Command)
		if err != nil {
			return err
		}
		if code != 0 {
			return fmt.Errorf("command %q exited with code %d: %s", h.Exec.Command, code, out)
		}
		return nil
	case h.HTTPGet != nil:
		return probe.Get(ctx, h.HTTPGet, r.target())
	case h.Sleep != nil:
		select {
		case <-time.After(time.Duration(h.Sleep.Seconds) * time.Second):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil // tcpSocket is in the API and does nothing, also in the kubelet
}

func signalNumber(name string) (syscall.Signal, bool) {
	n := unix.SignalNum(name)
	return n, n != 0
}
