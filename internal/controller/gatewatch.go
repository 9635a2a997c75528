package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

// setupGates wires what opens gates without a look at AWS: a pod that nothing
// of ours sends to, and one whose last Service is gone.
func (r *Reconciler) setupGates(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("pod-readiness-gate").
		For(&corev1.Pod{}).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(r.waitingIn)).
		WithOptions(controller.Options{SkipNameValidation: new(true), RateLimiter: r.limiter()}).
		Complete(reconcile.Func(r.reconcileGate))
}

func (r *Reconciler) reconcileGate(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	pod := &corev1.Pod{}
	if err := r.client.Get(ctx, req.NamespacedName, pod); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !intent.Waits(pod) {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.openGate(ctx, pod)
}

// waitingIn are the pods that wait in the namespace of a Service.
func (r *Reconciler) waitingIn(ctx context.Context, svc client.Object) (out []reconcile.Request) {
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(svc.GetNamespace()), client.MatchingLabels{intent.GateLabel: intent.GateLabelValue}); err != nil {
		r.log.Warn("pods not listed", "namespace", svc.GetNamespace(), "error", err)
		return nil
	}
	for i := range pods.Items {
		if intent.Waits(&pods.Items[i]) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pods.Items[i])})
		}
	}
	return out
}

// podHandler wakes the Services of a pod that became fit to be a target, or is
// so no longer, though its endpoints have not changed: it is not Ready yet.
func (r *Reconciler) podHandler() handler.EventHandler {
	wake := func(ctx context.Context, pod *corev1.Pod, q queue) {
		services, err := r.gating(ctx, pod)
		if err != nil {
			r.log.Warn("services not listed", "namespace", pod.Namespace, "error", err)
		}
		for _, key := range services {
			q.AddAfter(reconcile.Request{NamespacedName: key}, gatherEndpoints)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if pod := e.Object.(*corev1.Pod); intent.Waits(pod) && !e.IsInInitialList {
				wake(ctx, pod, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, is := e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)
			if intent.Fit(was) != intent.Fit(is) {
				wake(ctx, is, q)
			}
		},
	}
}
