package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

// start runs the whole process until the test ends: caches, watches, the lease
// and the endpoints.
func (w *world) start() (health string, ended <-chan error) {
	w.t.Helper()
	health = netlabtest.Address(w.t).String()
	ctx, stop := context.WithCancel(w.t.Context())
	cfg := Config{
		Options: w.r.opts, Kube: w.asServiceAccount(), API: w.r.api, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Workers: 2, MetricsListen: netlabtest.Address(w.t).String(), HealthListen: health, LeaderElection: true, LeaseNamespace: "kube-system",
	}
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, cfg)
		close(done)
	}()
	w.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.t.Errorf("the controller ended with %v", err)
		}
	})
	return health, done
}

// TestRunOpensGates: pods that wait are found by their label, with the
// published rights, and wake what opens their gates.
func TestRunOpensGates(t *testing.T) {
	w := newWorld(t)
	w.create(postForPods("nginx"))
	w.settle("nginx")
	_, ended := w.start()
	watch, err := w.kube.Watch(t.Context(), &corev1.PodList{}, client.InNamespace("default"))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	until := func(pod, reason string) {
		t.Helper()
		timeout := time.After(time.Minute)
		for w.gate(pod).Reason != reason {
			select {
			case <-watch.ResultChan():
			case err := <-ended:
				t.Fatalf("the controller ended: %v", err)
			case <-timeout:
				t.Fatalf("the gate of %s is %v after a minute, want %s", pod, w.gate(pod), reason)
			}
		}
	}
	w.addEndpoint("nginx", w.addGatedPod("web", "198.18.17.5"))
	until("web", string(lb.RegistrationInProgress))
	w.beHealthy()
	until("web", reasonGateHealthy)
	w.update("nginx", func(s *corev1.Service) { s.Spec.Selector["app"] = "other" })
	w.addGatedPod("alone", "198.18.17.6")
	until("alone", reasonGateNoTarget)
}

// TestRun is the whole process.
func TestRun(t *testing.T) {
	w := newWorld(t)
	health, done := w.start()
	watch, err := w.kube.Watch(t.Context(), &corev1.ServiceList{}, client.InNamespace("default"))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	until := func(what string, ok func(*corev1.Service) bool) {
		t.Helper()
		timeout := time.After(time.Minute)
		for {
			select {
			case e := <-watch.ResultChan():
				if svc, is := e.Object.(*corev1.Service); is && svc.Name == "nginx" && ok(svc) {
					return
				}
			case err := <-done:
				t.Fatalf("the controller ended: %v", err)
			case <-timeout:
				t.Fatalf("%s: not within a minute", what)
			}
		}
	}
	w.create(post("nginx"))
	until("a hostname", func(s *corev1.Service) bool { return len(s.Status.LoadBalancer.Ingress) == 1 })
	if resp, err := http.Get("http://" + health + "/readyz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("/readyz: %v, %v", resp, err)
	}
	w.addNode(3)
	until("a record of three targets", func(s *corev1.Service) bool {
		rec, _ := readRecord(s)
		three := []lb.Target{}
		for n := range 3 {
			three = append(three, lb.Target{ID: fmt.Sprintf("i-%017x", n+1), Port: uint16(s.Spec.Ports[0].NodePort)})
		}
		return len(rec.Groups) == 1 && rec.Groups[0].Targets == fingerprint(three)
	})
	targets, err := registered(t.Context(), w.api, w.groups()[0].ARN)
	if err != nil || len(targets) != 3 {
		t.Errorf("targets after a node joined: %v, %v", targets, err)
	}
	w.update("nginx", func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeClusterIP, ""
		s.Spec.Ports[0].NodePort, s.Spec.HealthCheckNodePort = 0, 0
	})
	until("no finalizer", func(s *corev1.Service) bool { return !intent.HasFinalizer(s) })
	if left := w.all(); !left.empty() {
		t.Errorf("left: %s", left)
	}
}

// asServiceAccount has the rights that are published for the controller, and no
// others.
func (w *world) asServiceAccount() *rest.Config {
	w.t.Helper()
	text, err := os.ReadFile("../../config/rbac/controller.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), object); err != nil {
			w.t.Fatal(err)
		}
		if err := w.kube.Create(w.t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
			w.t.Fatal(err)
		}
	}
	cfg := rest.CopyConfig(cluster.Config)
	cfg.Impersonate.UserName = "system:serviceaccount:kube-system:fairlead-controller"
	return cfg
}
