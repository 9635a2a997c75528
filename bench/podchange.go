package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	podChanges = 50
	podsName   = "pods"
	soon       = 10 * time.Second // bound of waiting for a single change
)

// podChange measures how long it takes from a pod being ready, as the
// EndpointSlice tells, to the call that registers it: the slowest of many. The
// other load balancers of the suite are there meanwhile.
func podChange(ctx context.Context, c *contender) (Row, error) {
	row := Row{Name: "controller.pod_change_to_register", Unit: fmt.Sprintf("ms, slowest of %d", podChanges)}
	w := c.world
	slice, err := w.addPodService(ctx)
	if err != nil {
		return row, err
	}
	if err := w.settle(ctx, always); err != nil {
		return row, err
	}
	slices := w.kube.DiscoveryV1().EndpointSlices("default")
	var slowest time.Duration
	for i := range podChanges {
		w.aws.take()
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("198.18.17.%d", i+10)}})
		begin := time.Now()
		if slice, err = slices.Update(ctx, slice, metav1.UpdateOptions{}); err != nil {
			return row, err
		}
		took, err := w.registered(ctx, begin)
		if err != nil {
			return row, fmt.Errorf("pod change %d: %w", i, err)
		}
		slowest = max(slowest, took)
	}
	row.Value = float64(slowest.Microseconds()) / 1000
	return row.atMost(200), nil
}

// addPodService creates a Service with ip targets and its EndpointSlice.
func (w *world) addPodService(ctx context.Context) (*discoveryv1.EndpointSlice, error) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: podsName, Annotations: map[string]string{
		"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip",
	}}}
	s.Spec.Type, s.Spec.Ports = corev1.ServiceTypeLoadBalancer, []corev1.ServicePort{{Name: "http", Port: 80}}
	if _, err := w.kube.CoreV1().Services("default").Create(ctx, s, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	name, port, protocol := "http", int32(80), corev1.ProtocolTCP
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: podsName, Labels: map[string]string{discoveryv1.LabelServiceName: podsName}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
	}
	return w.kube.DiscoveryV1().EndpointSlices("default").Create(ctx, slice, metav1.CreateOptions{})
}

// registered waits for a call that registers targets: how long after begin it
// came in.
func (w *world) registered(ctx context.Context, begin time.Time) (time.Duration, error) {
	for time.Since(begin) < soon {
		if at := w.aws.first("RegisterTargets"); !at.IsZero() {
			return at.Sub(begin), nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return 0, fmt.Errorf("nothing is registered within %v", soon)
}
