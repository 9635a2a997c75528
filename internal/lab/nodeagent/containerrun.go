package nodeagent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podlog"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podstate"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/probe"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/sandbox"
)

// containerRun is one run of a container, from its start to its end. What it is
// made of does not change; the channels say where it stands.
type containerRun struct {
	id    string
	index int
	spec  *corev1.Container
	plan  podplan.Container
	proc  *sandbox.Process
	log   *podlog.Log
	since time.Time
	host  string // the pod's address

	streams     *sandbox.Streams
	out, errOut fan // for those attached

	ended    chan struct{} // closed when the process is gone and its output is in the log
	killNow  chan struct{} // closed when the grace period is over
	killOnce sync.Once
	stopOnce sync.Once
	slog     *slog.Logger
}

// newRunID returns a container ID. Kubernetes wants type://id.
func newRunID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return "fairlead://" + hex.EncodeToString(b)
}

// start tries to run a container. What comes of it, a run or a reason why not,
// is in the state afterwards.
func (w *worker) start(ctx context.Context, i int) {
	c := &w.state.Containers[i]
	spec := w.containerSpec(i)
	image, err := podplan.LookupImage(spec.Image)
	if err != nil {
		*c = c.RefuseImage(err.Error(), time.Now())
		w.event(corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %v", spec.Image, err)
		return
	}
	if c.Restarts == 0 && c.Exit == nil {
		w.event(corev1.EventTypeNormal, "Pulled", "Container image %q is part of the lab", spec.Image)
	}
	plan, err := w.planContainer(ctx, spec, image)
	if err != nil {
		*c = c.Refuse("CreateContainerConfigError", err.Error(), time.Now())
		w.event(corev1.EventTypeWarning, "Failed", "Error: %v", err)
		return
	}
	w.launch(i, spec, plan)
}

func (w *worker) containerSpec(i int) *corev1.Container {
	if n := len(w.pod.Spec.InitContainers); i >= n {
		return &w.pod.Spec.Containers[i-n]
	}
	return &w.pod.Spec.InitContainers[i]
}

// planContainer uses fresh sources: config maps and secrets in env are read at
// each start.
func (w *worker) planContainer(ctx context.Context, spec *corev1.Container, image podplan.Image) (podplan.Container, error) {
	src, err := w.fetchSources(ctx)
	if err != nil {
		return podplan.Container{}, err
	}
	src.PodIPs = w.podIPs()
	w.src = src
	return podplan.Plan(w.pod, spec, image, src)
}

func (w *worker) launch(i int, spec *corev1.Container, plan podplan.Container) {
	c := &w.state.Containers[i]
	r := &containerRun{
		id: newRunID(), index: i, spec: spec, plan: plan, host: first(w.podIPs()),
		ended: make(chan struct{}), killNow: make(chan struct{}), slog: w.log,
	}
	*c = c.Begin(r.id, spec.StartupProbe != nil, spec.ReadinessProbe != nil, time.Now())
	r.since = c.Since
	if err := w.startProcess(r, int(c.Restarts)); err != nil {
		w.event(corev1.EventTypeWarning, "Failed", "Error: %v", err)
		*c = c.End(podstate.Exit{Code: exitStartError, Reason: "StartError", Message: err.Error(), Finished: time.Now()})
		return
	}
	w.event(corev1.EventTypeNormal, "Started", "Container %s started", spec.Name)
	w.runs[i] = r
	w.mu.Lock()
	if old := w.live[spec.Name]; old != nil {
		w.former[spec.Name] = old
	}
	w.live[spec.Name] = r
	w.mu.Unlock()
	runCtx, cancel := context.WithCancel(context.Background())
	go w.watchRun(r, cancel)
	w.startProbes(runCtx, r)
	if spec.Lifecycle != nil && spec.Lifecycle.PostStart != nil {
		go w.postStart(runCtx, r)
	}
}

// exitStartError is the code that container runtimes give to a container whose
// program could not be executed.
const exitStartError = 128

func first[T interface{ String() string }](list []T) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].String()
}

// keptRuns is of how many runs of a container the output is kept: the present
// one and the one before.
const keptRuns = 2

func (w *worker) startProcess(r *containerRun, n int) error {
	log, err := podlog.Create(w.logPath(r.spec.Name, n))
	if err != nil {
		return err
	}
	if n >= keptRuns {
		if err := podlog.Remove(w.logPath(r.spec.Name, n-keptRuns)); err != nil {
			w.log.Warn("old log not removed", "error", err)
		}
	}
	proc, streams, err := w.a.launcher.Start(w.sandboxSpec(r), sandbox.Wants{Stdin: r.spec.Stdin, TTY: r.spec.TTY})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	r.proc, r.streams, r.log = proc, streams, log
	go r.pump()
	return nil
}

// pump copies the container's output into its log and to those attached, and
// closes ended when both the output and the process have come to their end.
func (r *containerRun) pump() {
	var pumps sync.WaitGroup
	pumps.Go(func() { r.pumpStream(podlog.Stdout, r.streams.Stdout, &r.out) })
	if r.streams.Stderr != nil {
		pumps.Go(func() { r.pumpStream(podlog.Stderr, r.streams.Stderr, &r.errOut) })
	}
	<-r.proc.Done()
	pumps.Wait()
	r.streams.Close()
	r.out.close()
	r.errOut.close()
	if err := r.log.Close(); err != nil {
		r.slog.Warn("log not closed", "container", r.spec.Name, "error", err)
	}
	close(r.ended)
}

func (r *containerRun) pumpStream(stream string, from *os.File, attached *fan) {
	if err := r.log.Pump(stream, io.TeeReader(from, attached)); err != nil {
		r.slog.Warn("container's output lost", "container", r.spec.Name, "stream", stream, "error", err)
	}
}

// watchRun tells the worker of the end of a run.
func (w *worker) watchRun(r *containerRun, cancel context.CancelFunc) {
	<-r.ended
	cancel()
	w.post(func() { w.ended(r) })
}

func (w *worker) ended(r *containerRun) {
	c := &w.state.Containers[r.index]
	if c.Phase != podstate.Running || c.ID != r.id {
		return
	}
	e := r.proc.Exit()
	reason := "Completed"
	if e.Code != 0 {
		reason = "Error"
	}
	*c = c.End(podstate.Exit{Code: int32(e.Code), Signal: int32(e.Signal), Reason: reason, Finished: e.At})
	if c.NotBefore.After(e.At) && !w.state.Stopping {
		w.event(corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)", r.spec.Name, w.pod.Name, w.pod.Namespace, w.pod.UID)
	}
}

// exec runs a command in the container and returns its code and the head of its
// output.
func (r *containerRun) exec(ctx context.Context, argv []string) (int, string, error) {
	var out head
	code, err := r.proc.Exec(ctx, sandbox.Command{Argv: argv, Env: r.plan.Env, Dir: r.plan.Dir, Cred: cred(r.plan), Stdout: &out, Stderr: &out})
	return code, out.String(), err
}

func (r *containerRun) target() probe.Target {
	return probe.Target{Host: r.host, Ports: r.spec.Ports, Exec: r.exec}
}

// maxHead bounds what is kept of a hook's or probe's output.
const maxHead = 4 << 10

// head keeps the beginning of what is written to it. Two streams may write.
type head struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Write(p[:min(len(p), maxHead-h.buf.Len())])
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.String()
}

// stopSignal is the signal that asks a container to end.
func stopSignal(spec *corev1.Container) syscall.Signal {
	if spec.Lifecycle != nil && spec.Lifecycle.StopSignal != nil {
		if sig, ok := signalNumber(string(*spec.Lifecycle.StopSignal)); ok {
			return sig
		}
	}
	return syscall.SIGTERM
}
