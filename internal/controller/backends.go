package controller

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

// references say which Services share their connections with which others, so
// that a change of the other wakes them without a search.
type references struct {
	mu   sync.Mutex
	from map[types.NamespacedName][]string                          // the names that a Service names
	to   map[types.NamespacedName]map[types.NamespacedName]struct{} // the Services that name one
}

// set replaces what a Service names.
func (r *references) set(service types.NamespacedName, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(r.from[service], names) {
		return
	}
	if r.from == nil {
		r.from, r.to = map[types.NamespacedName][]string{}, map[types.NamespacedName]map[types.NamespacedName]struct{}{}
	}
	for _, name := range r.from[service] {
		key := types.NamespacedName{Namespace: service.Namespace, Name: name}
		if delete(r.to[key], service); len(r.to[key]) == 0 {
			delete(r.to, key)
		}
	}
	delete(r.from, service)
	if len(names) > 0 {
		r.from[service] = names
	}
	for _, name := range names {
		key := types.NamespacedName{Namespace: service.Namespace, Name: name}
		if r.to[key] == nil {
			r.to[key] = map[types.NamespacedName]struct{}{}
		}
		r.to[key][service] = struct{}{}
	}
}

// naming are the Services that name one.
func (r *references) naming(backend types.NamespacedName) (out []types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for service := range r.to[backend] {
		out = append(out, service)
	}
	return out
}

// backendHandler wakes the Services that share their connections with another
// one when that appears, changes or goes.
func (r *Reconciler) backendHandler() handler.EventHandler {
	wake := func(o client.Object, q queue) {
		for _, key := range r.references.naming(client.ObjectKeyFromObject(o)) {
			q.Add(reconcile.Request{NamespacedName: key})
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { wake(e.Object, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { wake(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			was, is := e.ObjectOld.(*corev1.Service), e.ObjectNew.(*corev1.Service)
			if was.UID != is.UID || !equality.Semantic.DeepEqual(was.Spec, is.Spec) {
				wake(is, q)
			}
		},
	}
}

// endpoints are the EndpointSlices of a Service.
func (r *Reconciler) endpoints(ctx context.Context, service types.NamespacedName) ([]*discoveryv1.EndpointSlice, error) {
	var found discoveryv1.EndpointSliceList
	if err := r.client.List(ctx, &found, client.InNamespace(service.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}); err != nil {
		return nil, err
	}
	out := make([]*discoveryv1.EndpointSlice, len(found.Items))
	for i := range found.Items {
		out[i] = &found.Items[i]
	}
	return out, nil
}

// backends are the other Services that a Service shares its connections with,
// those that exist.
func (r *Reconciler) backends(ctx context.Context, svc *corev1.Service) (map[string]intent.Backend, error) {
	out := map[string]intent.Backend{}
	for _, name := range intent.Backends(svc) {
		key := types.NamespacedName{Namespace: svc.Namespace, Name: name}
		backend := &corev1.Service{}
		if err := r.client.Get(ctx, key, backend); client.IgnoreNotFound(err) != nil {
			return nil, err
		} else if err != nil {
			continue
		}
		slices, err := r.endpoints(ctx, key)
		if err != nil {
			return nil, err
		}
		out[name] = intent.Backend{Service: backend, Slices: slices}
	}
	return out, nil
}

// sends says whether a Service's load balancer sends to a pod: the Service
// selects it, or one that it shares its connections with does.
func sends(svc *corev1.Service, pod *corev1.Pod, all []corev1.Service) bool {
	if selects(svc, pod) {
		return true
	}
	names := intent.Backends(svc)
	if len(names) == 0 {
		return false
	}
	return slices.ContainsFunc(all, func(s corev1.Service) bool { return slices.Contains(names, s.Name) && selects(&s, pod) })
}
