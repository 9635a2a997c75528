package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

func (w *world) addNode(n int) {
	w.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", n)}}
	node.Spec.ProviderID = fmt.Sprintf("aws:///us-west-2%c/i-%017x", "ba"[n%2], n)
	if err := w.kube.Create(w.t.Context(), node); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) removeNode(n int) {
	w.t.Helper()
	if err := w.kube.Delete(w.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", n)}}); err != nil {
		w.t.Fatal(err)
	}
}

// post is the Service of the blog post.
func post(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{prefix + "type": "nlb"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Selector: map[string]string{"app": "nginx"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
		},
	}
}

const prefix = "service.beta.kubernetes.io/aws-load-balancer-"

func (w *world) create(svc *corev1.Service) *corev1.Service {
	w.t.Helper()
	if err := w.kube.Create(w.t.Context(), svc); err != nil {
		w.t.Fatal(err)
	}
	return svc
}

func (w *world) get(name string) *corev1.Service {
	w.t.Helper()
	svc := &corev1.Service{}
	if err := w.kube.Get(w.t.Context(), types.NamespacedName{Namespace: "default", Name: name}, svc); err != nil {
		w.t.Fatal(err)
	}
	return svc
}

func (w *world) update(name string, change func(*corev1.Service)) {
	w.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		svc := w.get(name)
		change(svc)
		return w.kube.Update(w.t.Context(), svc)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := w.kube.Delete(w.t.Context(), w.get(name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) gone(name string) bool {
	err := w.kube.Get(w.t.Context(), types.NamespacedName{Namespace: "default", Name: name}, &corev1.Service{})
	return apierrors.IsNotFound(err)
}

// leavesNothing removes a Service, the last one, and wants nothing to be left.
func (w *world) leavesNothing(name string) {
	w.t.Helper()
	w.remove(name)
	w.settle(name)
	if left := w.all(); !left.empty() || !w.gone(name) {
		w.t.Errorf("left: %s", left)
	}
}

// newSlice holds ready endpoints for the port http of a Service.
func newSlice(service string, addresses ...string) *discoveryv1.EndpointSlice {
	name, port, protocol := "http", int32(80), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}}}
	s.Namespace, s.Name, s.Labels = "default", service+"-1", map[string]string{discoveryv1.LabelServiceName: service}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}
