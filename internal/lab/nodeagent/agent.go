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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/sandbox"
)

// agent runs one node. Its maps are owned by mu; a pod's own state by the
// goroutine of its worker.
type agent struct {
	cfg      Config
	log      *slog.Logger
	client   kubernetes.Interface
	events   record.EventRecorder
	services corelisters.ServiceLister
	launcher sandbox.Launcher

	allocatable corev1.ResourceList

	mu      sync.Mutex
	workers map[types.UID]*worker
	pool    *sandbox.Pool
	stopped bool           // no worker is added any more
	running sync.WaitGroup // workers
}

// Run registers the node, runs its pods and serves the kubelet API until ctx
// ends. It then kills all containers and removes everything it made; the pods
// stay bound to the node. A next Run, also after this one was killed, cleans
// up first and starts the pods again.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	a, err := newAgent(cfg)
	if err != nil {
		return err
	}
	if err := a.prepare(); err != nil {
		return err
	}
	stopEvents := a.startEvents()
	defer stopEvents()
	return a.run(ctx)
}

func newAgent(cfg Config) (*agent, error) {
	rc, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	rc.QPS, rc.Burst = 50, 100
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return nil, err
	}
	allocatable, err := machineResources(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	return &agent{
		cfg: cfg, log: cfg.Logger, client: client, allocatable: allocatable,
		workers:  map[types.UID]*worker{},
		pool:     sandbox.NewPool(cfg.PodCIDRs),
		launcher: sandbox.Launcher{Path: cfg.LabBinary, Args: []string{commandName, initName}},
	}, nil
}

// prepare removes what an earlier agent left.
func (a *agent) prepare() error {
	if err := Clean(a.cfg.StateDir); err != nil {
		return fmt.Errorf("clean up after an earlier agent: %w", err)
	}
	if err := os.MkdirAll(a.podsDir(), 0o711); err != nil {
		return err
	}
	return sandbox.Sweep(a.cfg.Uplink, a.cfg.PodCIDRs)
}

func (a *agent) podsDir() string { return filepath.Join(a.cfg.StateDir, "pods") }

func (a *agent) startEvents() (stop func()) {
	b := record.NewBroadcaster()
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: a.client.CoreV1().Events("")})
	a.events = b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: a.cfg.NodeName})
	return b.Shutdown
}

// resync is never: changes come by watch, and workers have timers of their own.
const resync = 0

func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := informers.NewSharedInformerFactory(a.client, resync)
	a.services = all.Core().V1().Services().Lister()
	own := informers.NewSharedInformerFactoryWithOptions(a.client, resync, informers.WithTweakListOptions(onNode(a.cfg.NodeName)))
	pods := own.Core().V1().Pods().Informer()

	api, err := a.serveKubeletAPI(cancel)
	if err != nil {
		return err
	}
	defer api.Close()
	node, err := a.register(ctx)
	if err != nil {
		return err
	}
	all.Start(ctx.Done())
	all.WaitForCacheSync(ctx.Done())
	if _, err := pods.AddEventHandler(a.podHandler(ctx)); err != nil {
		return err
	}
	own.Start(ctx.Done())
	a.log.Info("node registered", "node", a.cfg.NodeName, "kubelet", a.cfg.KubeletListen)

	var background sync.WaitGroup
	background.Go(func() { a.heartbeat(ctx) })
	background.Go(func() { a.renewLease(ctx, node) })
	<-ctx.Done()
	a.stopWorkers()
	background.Wait()
	own.Shutdown()
	all.Shutdown()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (a *agent) podHandler(ctx context.Context) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.upsert(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { a.upsert(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if pod, ok := o.(*corev1.Pod); ok {
				a.remove(pod)
			}
		},
	}
}

// upsert hands a pod to its worker, and makes one for a new pod. A pod that has
// run its course and is not being deleted needs none.
func (a *agent) upsert(ctx context.Context, pod *corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.workers[pod.UID]; w != nil {
		w.update(pod, false)
		return
	}
	over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if a.stopped || over && pod.DeletionTimestamp == nil {
		return
	}
	w := newWorker(a, pod)
	a.workers[pod.UID] = w
	a.running.Go(func() {
		w.run(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.workers, pod.UID)
	})
}

func (a *agent) remove(pod *corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.workers[pod.UID]; w != nil {
		w.update(pod, true)
	}
}

func (a *agent) stopWorkers() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.running.Wait()
}

// takeAddresses and giveAddresses lend a pod its addresses.
func (a *agent) takeAddresses() ([]netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pool.Take()
}

func (a *agent) giveAddresses(addrs []netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pool.Give(addrs)
}

// requestTimeout bounds one call to the API server.
const requestTimeout = 10 * time.Second

func onNode(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", name).String()
	}
}
