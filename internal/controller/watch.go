package controller

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

// How long changes are gathered before Services look at them: nodes come and
// go in groups, and each Service pays a call for each look.
const (
	gatherNodes     = 100 * time.Millisecond
	gatherEndpoints = 20 * time.Millisecond
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// setup wires the Reconciler to what it watches.
func (r *Reconciler) setup(mgr ctrl.Manager, workers int) error {
	looks := make(chan event.GenericEvent)
	if r.opts.Sweep > 0 {
		wake := func(ctx context.Context, key types.NamespacedName) {
			svc := &corev1.Service{}
			svc.Namespace, svc.Name = key.Namespace, key.Name
			select {
			case looks <- event.GenericEvent{Object: svc}:
			case <-ctx.Done():
			}
		}
		if err := mgr.Add(sweeping{r, wake}); err != nil {
			return err
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("service").
		For(&corev1.Service{}).
		Watches(&corev1.Service{}, r.rivalHandler()).
		Watches(&corev1.Service{}, r.backendHandler()).
		Watches(&corev1.Node{}, r.nodeHandler()).
		Watches(&discoveryv1.EndpointSlice{}, r.sliceHandler()).
		Watches(&corev1.Pod{}, r.podHandler()).
		WatchesRawSource(source.Channel(looks, lookHandler())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, SkipNameValidation: new(true), RateLimiter: r.limiter()}).
		Complete(r)
}

// limiter is for errors that a pass returns: writes to the API server that went
// wrong. They are tried again no less often than what AWS refuses.
func (r *Reconciler) limiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](r.opts.RetryBase, r.opts.RetryMax)
}

// lookHandler has Services look at a sweep, after whatever is new.
func lookHandler() handler.EventHandler {
	return handler.Funcs{GenericFunc: func(_ context.Context, e event.GenericEvent, q queue) {
		req := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(e.Object)}
		if pq, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
			pq.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, req)
			return
		}
		q.Add(req)
	}}
}

// nodeHandler wakes all Services when a node changes in a way that targets
// depend on. Most writes to a node are heartbeats.
func (r *Reconciler) nodeHandler() handler.EventHandler {
	wake := func(q queue) {
		for _, key := range r.owned() {
			q.AddAfter(reconcile.Request{NamespacedName: key}, gatherNodes)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				wake(q)
			}
		},
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q queue) { wake(q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			was, is := e.ObjectOld.(*corev1.Node), e.ObjectNew.(*corev1.Node)
			if intent.Eligible(was) != intent.Eligible(is) || !maps.Equal(was.Labels, is.Labels) ||
				was.Spec.ProviderID != is.Spec.ProviderID || !slices.Equal(was.Status.Addresses, is.Status.Addresses) {
				wake(q)
			}
		},
	}
}

// sliceHandler wakes the Service of an EndpointSlice, if it is one of ours, and
// those that share their connections with it.
func (r *Reconciler) sliceHandler() handler.EventHandler {
	wake := func(o client.Object, q queue) {
		key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetLabels()[discoveryv1.LabelServiceName]}
		r.mu.Lock()
		_, ours := r.services[key]
		r.mu.Unlock()
		if ours {
			q.AddAfter(reconcile.Request{NamespacedName: key}, gatherEndpoints)
		}
		for _, key := range r.references.naming(key) {
			q.AddAfter(reconcile.Request{NamespacedName: key}, gatherEndpoints)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { wake(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { wake(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { wake(e.Object, q) },
	}
}

// rivalHandler wakes the Services that wait for a load balancer name when the
// Service that has it lets go of it.
func (r *Reconciler) rivalHandler() handler.EventHandler {
	wake := func(o client.Object, q queue) {
		name := intent.WantedName(o.(*corev1.Service))
		if name == "" {
			return
		}
		for _, key := range r.asking(name) {
			q.Add(reconcile.Request{NamespacedName: key})
		}
	}
	return handler.Funcs{
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { wake(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			was, is := e.ObjectOld.(*corev1.Service), e.ObjectNew.(*corev1.Service)
			if intent.WantedName(was) != intent.WantedName(is) || intent.HasFinalizer(was) && !intent.HasFinalizer(is) || was.Spec.Type != is.Spec.Type {
				wake(was, q)
			}
		},
	}
}

// asking are the Services that ask for a name.
func (r *Reconciler) asking(name string) []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []types.NamespacedName
	for key, st := range r.services {
		if st.wanted == name {
			keys = append(keys, key)
		}
	}
	return keys
}
