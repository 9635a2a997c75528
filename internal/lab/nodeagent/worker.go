package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podstate"
)

// worker runs one pod. All its fields but the inbox side belong to the
// goroutine of run; others speak to it by update, post and the read-only view.
type worker struct {
	a   *agent
	log *slog.Logger
	dir string // <state>/pods/<uid>

	subject *corev1.Pod // as it was first seen: what events are about

	pod     *corev1.Pod
	state   podstate.Pod
	runs    []*containerRun // the last run of each container, by index; nil before the first
	addrs   []netip.Addr    // the pod's own, also after it gave them back; none with hostNetwork
	owns    bool            // addrs are the pod's still
	src     podplan.Sources
	started time.Time

	blocked    error // why there is no sandbox
	retryAt    time.Time
	retryDelay time.Duration
	refreshAt  time.Time // when volumes are written again
	tokens     tokenCache
	ending     chan struct{} // closed when all containers have been stopped; nil before and after
	removed    bool          // the API server has the pod no more
	lastStatus corev1.PodStatus
	writer     *statusWriter

	inbox   chan func()
	changed chan struct{} // capacity 1: latest has something new
	deaf    chan struct{} // closed when nothing is received from inbox any more

	mu     sync.Mutex // guards what follows
	latest *corev1.Pod
	gone   bool
	live   map[string]*containerRun // by container name, for the kubelet API
	former map[string]*containerRun // the runs before, for their logs
}

func newWorker(a *agent, pod *corev1.Pod) *worker {
	state := podstate.New(pod)
	started := time.Now()
	if pod.Status.StartTime != nil {
		started = pod.Status.StartTime.Time
	}
	return &worker{
		a: a, log: a.log.With("pod", pod.Namespace+"/"+pod.Name), dir: filepath.Join(a.podsDir(), string(pod.UID)),
		subject: pod, pod: pod, latest: pod, state: state, started: started,
		runs:    make([]*containerRun, len(state.Containers)),
		writer:  newStatusWriter(a, pod),
		inbox:   make(chan func()),
		deaf:    make(chan struct{}),
		changed: make(chan struct{}, 1),
		live:    map[string]*containerRun{},
		former:  map[string]*containerRun{},
	}
}

// update hands a newer version of the pod to the worker. It never blocks.
func (w *worker) update(pod *corev1.Pod, gone bool) {
	w.mu.Lock()
	w.latest, w.gone = pod, gone
	w.mu.Unlock()
	if gone {
		w.writer.abandon()
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// post runs f in the worker's goroutine, or not at all if the worker has ended.
func (w *worker) post(f func()) {
	select {
	case w.inbox <- f:
	case <-w.deaf:
	}
}

// run is the worker's life: look at what is so, do what has to be done, wait
// for a change. It returns when the pod is gone or ctx ends, and has then
// removed everything of the pod from the node.
func (w *worker) run(ctx context.Context) {
	var writing sync.WaitGroup
	writeCtx, stopWriting := context.WithCancel(ctx)
	writing.Go(func() { w.writer.run(writeCtx) })
	defer writing.Wait()
	defer stopWriting()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake, over := w.step(ctx)
		if over {
			close(w.deaf)
			stopWriting()
			writing.Wait()
			w.finish(ctx)
			return
		}
		w.publish()
		timer.Reset(wake)
		select {
		case <-w.changed:
			w.takeUpdate()
		case f := <-w.inbox:
			f()
		case <-timer.C:
		case <-w.ending:
			w.ending = nil
		case <-ctx.Done():
			w.shutDown()
			return
		}
	}
}

// idle is how long a worker sleeps when it waits for nothing but events.
const idle = time.Hour

func (w *worker) takeUpdate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pod, w.removed = w.latest, w.removed || w.gone
}

// step does what is due and returns how long to sleep at most, and whether the
// pod has been stopped and can be forgotten.
func (w *worker) step(ctx context.Context) (wake time.Duration, over bool) {
	if w.removed || w.pod.DeletionTimestamp != nil {
		w.stop()
		if w.ending == nil {
			w.noteEnds()
			return 0, true
		}
	}
	if !w.state.Stopping && !w.state.Sandbox && time.Until(w.retryAt) <= 0 && !podstate.Decide(w.state, time.Now()).Done {
		w.setUp(ctx)
	}
	d := w.startDue(ctx)
	for _, i := range d.Stop {
		w.stopSidecar(i)
	}
	if d.Done && w.state.Sandbox {
		w.tearDown()
	}
	w.refreshVolumes(ctx)
	return w.sleep(d), false
}

// noteEnds takes in the end of runs that nobody has told of yet.
func (w *worker) noteEnds() {
	for _, r := range w.runs {
		if r != nil {
			<-r.ended
			w.ended(r)
		}
	}
}

// startDue starts containers until none is due.
func (w *worker) startDue(ctx context.Context) podstate.Decision {
	for {
		d := podstate.Decide(w.state, time.Now())
		if len(d.Start) == 0 {
			return d
		}
		for _, i := range d.Start {
			w.start(ctx, i)
		}
	}
}

func (w *worker) sleep(d podstate.Decision) time.Duration {
	until := time.Now().Add(idle)
	for _, at := range []time.Time{d.Wake, w.retryWake(), w.refreshAt} {
		if !at.IsZero() && at.Before(until) {
			until = at
		}
	}
	return max(time.Until(until), 0)
}

// retryWake is when setting up the sandbox is tried again, if it has to be.
func (w *worker) retryWake() time.Time {
	if w.state.Sandbox || w.state.Stopping || w.blocked == nil {
		return time.Time{}
	}
	return w.retryAt
}

// publish computes the status and hands it to the writer.
func (w *worker) publish() {
	base := w.pod.DeepCopy()
	base.Status = podstate.WithConditionsOf(base.Status, w.lastStatus)
	view := podstate.View{Now: time.Now(), Started: w.started, HostIPs: w.a.cfg.NodeIPs, PodIPs: w.podIPs()}
	w.lastStatus = podstate.Status(w.state, base, view)
	w.writer.put(w.lastStatus)
}

func (w *worker) podIPs() []netip.Addr {
	if w.pod.Spec.HostNetwork {
		return w.a.cfg.NodeIPs
	}
	return w.addrs
}

// finish removes a stopped pod from the node, then from the API server.
func (w *worker) finish(ctx context.Context) {
	w.erase()
	w.publish()
	if w.removed {
		return
	}
	if err := w.writer.final(ctx); err != nil {
		w.log.Warn("pod not removed from the API server", "error", err)
	}
}

// shutDown kills everything at once: the agent ends, the pod does not.
func (w *worker) shutDown() {
	close(w.deaf)
	for _, r := range w.runs {
		if r != nil {
			r.proc.Kill()
			<-r.ended
		}
	}
	w.erase()
}

// erase removes everything of the pod from the node. The directory stays while
// anything else does: by it the next agent finds that.
func (w *worker) erase() {
	w.tearDown()
	if w.owns {
		return
	}
	if err := os.RemoveAll(w.dir); err != nil {
		w.log.Error("pod's directory not removed", "error", err)
	}
}

// event may be called by any goroutine.
func (w *worker) event(kind, reason, format string, args ...any) {
	w.a.events.Eventf(w.subject, kind, reason, format, args...)
}

// errNoSandbox is why a container cannot be used through the kubelet API.
var errNoSandbox = errors.New("the container is not running")

// find returns the present or the former run of a container.
func (w *worker) find(container string, previous bool) (*containerRun, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := w.live
	if previous {
		from = w.former
	}
	if r := from[container]; r != nil {
		return r, nil
	}
	if previous {
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", container, w.latest.Name)
	}
	return nil, fmt.Errorf("container %q in pod %q is waiting to start: %w", container, w.latest.Name, errNoSandbox)
}
