package config_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/config"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/kubetest"
)

// cluster is the API server that the tests share.
var cluster *kubetest.Cluster

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, &cluster)) }

// resources of the kinds that the manifests hold.
var resources = map[string]schema.GroupVersionResource{
	"ConfigMap":                      {Version: "v1", Resource: "configmaps"},
	"MutatingAdmissionPolicy":        {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicies"},
	"MutatingAdmissionPolicyBinding": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicybindings"},
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	c, err := dynamic.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(manifest, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), object); err != nil {
			t.Fatal(err)
		}
		var r dynamic.ResourceInterface = c.Resource(resources[object.GetKind()])
		if ns := object.GetNamespace(); ns != "" {
			r = c.Resource(resources[object.GetKind()]).Namespace(ns)
		}
		if _, err := r.Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "test"}); err != nil {
			t.Fatal(err)
		}
	}
}

func client(t *testing.T) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inForce waits until the API server, which learns of policies by a watch, goes
// by them.
func inForce(t *testing.T, probe func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !probe(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the policy is not in force after a minute")
		}
	}
}

// dryRun is what becomes of an object, which is not kept.
var dryRun = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

func service(change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	s.Spec.Type, s.Spec.Ports = corev1.ServiceTypeLoadBalancer, []corev1.ServicePort{{Port: 80}}
	change(s)
	return s
}

func classOf(t *testing.T, s *corev1.Service) string {
	t.Helper()
	got, err := client(t).CoreV1().Services("default").Create(t.Context(), s, dryRun)
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.LoadBalancerClass == nil {
		return ""
	}
	return *got.Spec.LoadBalancerClass
}

func annotated(s *corev1.Service) {
	s.Annotations = map[string]string{"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}
}

func TestServicesGetTheClassThatTheirAnnotationAsksFor(t *testing.T) {
	apply(t, config.ClassPolicy)
	inForce(t, func() bool { return classOf(t, service(annotated)) != "" })
	for name, tt := range map[string]struct {
		change func(*corev1.Service)
		want   string
	}{
		"the post's annotation": {annotated, intent.ClassNLB},
		"no annotation":         {func(*corev1.Service) {}, intent.ClassClassic},
		"annotations of others": {func(s *corev1.Service) { s.Annotations = map[string]string{"example.com/a": "b"} }, intent.ClassClassic},
		"a class of its own":    {func(s *corev1.Service) { annotated(s); s.Spec.LoadBalancerClass = new("example.com/lb") }, "example.com/lb"},
		"not a load balancer":   {func(s *corev1.Service) { annotated(s); s.Spec.Type = corev1.ServiceTypeNodePort }, ""},
		"a name and no addresses": {func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalName, s.Spec.Ports = corev1.ServiceTypeExternalName, "example.com", nil
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := classOf(t, service(tt.change)); got != tt.want {
				t.Errorf("got class %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("another default", func(t *testing.T) {
		apply(t, strings.ReplaceAll(config.ClassPolicy, "default: fairlead.io/classic", "default: fairlead.io/nlb"))
		inForce(t, func() bool { return classOf(t, service(func(*corev1.Service) {})) == intent.ClassNLB })
	})
	t.Run("a Service that becomes a load balancer, and no more", changesOfType)
}

// changesOfType: the class comes with the type and goes with it.
func changesOfType(t *testing.T) {
	services := client(t).CoreV1().Services("default")
	s, err := services.Create(t.Context(), service(func(s *corev1.Service) { annotated(s); s.Spec.Type = corev1.ServiceTypeClusterIP }), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = services.Delete(context.Background(), "web", metav1.DeleteOptions{}) })
	var got []string
	for _, kind := range []corev1.ServiceType{corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeClusterIP, corev1.ServiceTypeLoadBalancer} {
		s.Spec.Type = kind
		if s, err = services.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		got = append(got, ptrOr(s.Spec.LoadBalancerClass))
	}
	if diff := cmp.Diff([]string{intent.ClassNLB, "", intent.ClassNLB}, got); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	s.Labels = map[string]string{"a": "b"}
	if s, err = services.Update(t.Context(), s, metav1.UpdateOptions{}); err != nil || ptrOr(s.Spec.LoadBalancerClass) != intent.ClassNLB {
		t.Errorf("after another change: class %q, error %v", ptrOr(s.Spec.LoadBalancerClass), err)
	}
}

func ptrOr(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestPodsOfLabelledNamespacesGetTheirGate(t *testing.T) {
	namespaces := client(t).CoreV1().Namespaces()
	for name, labels := range map[string]map[string]string{"gated": {"fairlead.io/pod-readiness-gate-inject": "enabled"}, "plain": nil} {
		if _, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, config.ReadinessGatePolicy)
	inForce(t, func() bool { return intent.Gated(created(t, "gated", func(*corev1.Pod) {})) })
	gate := corev1.PodReadinessGate{ConditionType: intent.ReadinessGate}
	other := corev1.PodReadinessGate{ConditionType: "example.com/warm"}
	ours := map[string]string{intent.GateLabel: intent.GateLabelValue}
	type made struct {
		Gates  []corev1.PodReadinessGate
		Labels map[string]string
	}
	for name, tt := range map[string]struct {
		namespace string
		change    func(*corev1.Pod)
		want      made
	}{
		"a plain pod":               {"gated", func(*corev1.Pod) {}, made{[]corev1.PodReadinessGate{gate}, ours}},
		"one with a gate of others": {"gated", func(p *corev1.Pod) { p.Spec.ReadinessGates = []corev1.PodReadinessGate{other} }, made{[]corev1.PodReadinessGate{other, gate}, ours}},
		"one with labels":           {"gated", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} }, made{[]corev1.PodReadinessGate{gate}, map[string]string{"app": "web", intent.GateLabel: intent.GateLabelValue}}},
		"one with the gate already": {"gated", func(p *corev1.Pod) { p.Spec.ReadinessGates, p.Labels = []corev1.PodReadinessGate{gate}, ours }, made{[]corev1.PodReadinessGate{gate}, ours}},
		"one that asks for none":    {"gated", optOut, made{nil, map[string]string{"fairlead.io/pod-readiness-gate-inject": "disabled"}}},
		"one of a plain namespace":  {"plain", func(*corev1.Pod) {}, made{}},
		"a static pod's mirror image": {"gated", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"kubernetes.io/config.mirror": "hash"}
			p.Spec.NodeName = "node-1"
		}, made{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := created(t, tt.namespace, tt.change)
			if diff := cmp.Diff(tt.want, made{p.Spec.ReadinessGates, p.Labels}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func optOut(p *corev1.Pod) {
	p.Labels = map[string]string{"fairlead.io/pod-readiness-gate-inject": "disabled"}
}

// created is what becomes of a new pod.
func created(t *testing.T, namespace string, change func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	p.Spec.Containers = []corev1.Container{{Name: "web", Image: "nginx"}}
	change(p)
	got, err := client(t).CoreV1().Pods(namespace).Create(t.Context(), p, dryRun)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
