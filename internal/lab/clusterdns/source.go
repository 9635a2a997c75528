package clusterdns

import (
	"context"
	"errors"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Indexes of the watched objects.
const (
	byIP      = "ip"
	byService = "service"
)

// watched is a Source that follows the API server.
type watched struct {
	services cache.Indexer
	slices   cache.Indexer
}

// watch returns a Source once it knows all there is. It follows changes until
// ctx ends.
func watch(ctx context.Context, client kubernetes.Interface) (*watched, func(), error) {
	factory := informers.NewSharedInformerFactory(client, 0) // changes come by watch alone
	services := factory.Core().V1().Services().Informer()
	slices := factory.Discovery().V1().EndpointSlices().Informer()
	err := errors.Join(
		services.AddIndexers(cache.Indexers{byIP: serviceIPs}),
		slices.AddIndexers(cache.Indexers{byIP: sliceIPs, byService: sliceService}),
	)
	if err != nil {
		return nil, nil, err
	}
	factory.Start(ctx.Done())
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, nil, context.Cause(ctx)
		}
	}
	return &watched{services.GetIndexer(), slices.GetIndexer()}, factory.Shutdown, nil
}

func serviceIPs(o any) ([]string, error) {
	s := o.(*corev1.Service)
	if headless(s) {
		return nil, nil
	}
	return clusterIPs(s), nil
}

func sliceIPs(o any) ([]string, error) {
	var out []string
	for _, e := range o.(*discoveryv1.EndpointSlice).Endpoints {
		out = append(out, e.Addresses...)
	}
	return out, nil
}

func sliceService(o any) ([]string, error) {
	s := o.(*discoveryv1.EndpointSlice)
	return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}, nil
}

func (w *watched) Service(namespace, name string) *corev1.Service {
	o, ok, err := w.services.GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil
	}
	return o.(*corev1.Service)
}

func (w *watched) Slices(namespace, service string) []*discoveryv1.EndpointSlice {
	return found[*discoveryv1.EndpointSlice](w.slices, byService, namespace+"/"+service)
}

func (w *watched) ServicesAt(ip netip.Addr) []*corev1.Service {
	return found[*corev1.Service](w.services, byIP, ip.String())
}

func (w *watched) SlicesAt(ip netip.Addr) []*discoveryv1.EndpointSlice {
	return found[*discoveryv1.EndpointSlice](w.slices, byIP, ip.String())
}

func found[T any](indexer cache.Indexer, index, value string) []T {
	objects, _ := indexer.ByIndex(index, value) // fails only for an unknown index
	out := make([]T, 0, len(objects))
	for _, o := range objects {
		out = append(out, o.(T))
	}
	return out
}
