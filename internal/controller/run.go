package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
)

// Config is everything that a controller process is told.
type Config struct {
	Options
	Kube          *rest.Config
	API           cloud.API
	Log           *slog.Logger
	Registry      *prometheus.Registry
	Workers       int
	MetricsListen string // host:port; "0" means none
	HealthListen  string // host:port of /healthz and /readyz; "0" means none

	LeaderElection bool
	LeaseNamespace string
}

// New is a Reconciler that is not running yet.
func New(mgr ctrl.Manager, cfg Config) *Reconciler {
	return &Reconciler{
		client: mgr.GetClient(), api: cfg.API, shared: newShared(cfg.API, cfg.Cluster, holders(mgr.GetClient())),
		events: mgr.GetEventRecorder("fairlead"), log: cfg.Log, metrics: newMetrics(cfg.Registry),
		opts: cfg.Options, now: time.Now, services: map[types.NamespacedName]*service{},
	}
}

// Run runs the controller until the context ends. A lease is given back on the
// way out, so that a successor need not wait for it to expire.
func Run(ctx context.Context, cfg Config) error {
	logger := logr.FromSlogHandler(cfg.Log.Handler())
	klog.SetLogger(logger)
	ctrl.SetLogger(logger)
	mgr, err := newManager(cfg, logger)
	if err != nil {
		return err
	}
	r := New(mgr, cfg)
	if err := errors.Join(r.setup(mgr, cfg.Workers), r.setupGates(mgr)); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	for _, add := range []func(string, healthz.Checker) error{mgr.AddHealthzCheck, mgr.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return err
		}
	}
	if err := mgr.AddReadyzCheck("caches", synced(mgr)); err != nil {
		return err
	}
	if cfg.MetricsListen != "0" && cfg.MetricsListen != "" {
		if err := mgr.Add(metricsServer(cfg)); err != nil {
			return err
		}
	}
	return mgr.Start(ctx)
}

func newManager(cfg Config, logger logr.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	// These are only read, and intent never changes what it reads.
	readOnly := cache.ByObject{UnsafeDisableDeepCopy: new(true), Transform: slim}
	// Of pods those that wait for load balancers, or did.
	gated := readOnly
	gated.Label = labels.SelectorFromSet(labels.Set{intent.GateLabel: intent.GateLabelValue})
	mgr, err := ctrl.NewManager(cfg.Kube, ctrl.Options{
		Scheme: scheme, Logger: logger,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         map[client.Object]cache.ByObject{&corev1.Node{}: readOnly, &discoveryv1.EndpointSlice{}: readOnly, &corev1.Pod{}: gated},
		},
		LeaderElection: cfg.LeaderElection, LeaderElectionID: "fairlead-controller", LeaderElectionNamespace: cfg.LeaseNamespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:        cfg.HealthListen,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	return mgr, nil
}

// slim drops what nobody here reads: on large clusters it is most of the memory.
func slim(o any) (any, error) {
	if node, ok := o.(*corev1.Node); ok {
		node.Status.Images, node.Status.Conditions, node.Annotations = nil, nil, nil
	}
	if pod, ok := o.(*corev1.Pod); ok {
		pod.Annotations = nil
		pod.Spec = corev1.PodSpec{ReadinessGates: pod.Spec.ReadinessGates}
		pod.Status = corev1.PodStatus{Conditions: pod.Status.Conditions, PodIPs: pod.Status.PodIPs}
	}
	if object, ok := o.(client.Object); ok {
		object.SetManagedFields(nil)
	}
	return o, nil
}

func synced(mgr ctrl.Manager) healthz.Checker {
	return func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}

// metricsServer serves our registry and controller-runtime's, which holds the
// work queue's and the client's.
func metricsServer(cfg Config) *manager.Server {
	cfg.Registry.MustRegister(collectors.NewBuildInfoCollector())
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(prometheus.Gatherers{cfg.Registry, ctrlmetrics.Registry}, promhttp.HandlerOpts{}))
	return &manager.Server{Name: "metrics", Server: &http.Server{
		Addr: cfg.MetricsListen, Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
	}}
}
