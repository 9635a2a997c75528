package kubetest_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/fairlead-lb/fairlead/internal/kubetest"
)

func TestAServiceGetsANodePort(t *testing.T) {
	c, err := kubetest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	svc.Spec.Type, svc.Spec.Ports = corev1.ServiceTypeLoadBalancer, []corev1.ServicePort{{Port: 80}}
	got, err := kubernetes.NewForConfigOrDie(c.Config).CoreV1().Services("default").Create(t.Context(), svc, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.Ports[0].NodePort == 0 {
		t.Errorf("no node port in %+v", got.Spec.Ports)
	}
}
