package nodeagent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/nodetest"
)

const agnhost = "registry.k8s.io/e2e-test-images/agnhost:2.63.0"

// node is a cluster under test.
type node struct{ *nodetest.Cluster }

// TestNode runs a real cluster with one node. Its subtests share the cluster
// and run side by side: each uses pods of its own.
func TestNode(t *testing.T) {
	c := node{nodetest.Start(t)}
	c.awaitReady(t)
	t.Run("pods", func(t *testing.T) {
		for name, f := range map[string]func(*testing.T, node){
			"a deployment of nginx becomes ready and tells who it is":        deploymentTells,
			"readiness follows the probe both ways":                          readinessFollows,
			"preStop runs to its end before the container is asked to stop":  preStopRuns,
			"a second deletion shortens the grace period":                    graceShortens,
			"a container that ends is started again, later and later":        crashLoops,
			"a failing liveness probe restarts the container":                livenessRestarts,
			"an unknown image is named with those that exist":                unknownImage,
			"kubectl exec, logs and port-forward work":                       kubectlWorks,
			"volumes, variables and init containers are as specified":        podIsAsSpecified,
			"a pod that cannot be run says why":                              refusalIsTold,
			"a job's pod succeeds and keeps its log":                         jobSucceeds,
			"a terminal works over SPDY and WebSocket":                       terminalWorks,
			"a pod runs on a terminal":                                       runOnTerminal,
			"attach shows output and carries input":                          attachWorks,
			"a pod on the node's network has its addresses":                  hostNetworkIsTheNodes,
			"sidecars start before and end after the others":                 sidecarServes,
			"a path inside a volume cannot lead out of it":                   subPathStaysInside,
			"root in a container cannot harm the machine":                    rootIsConfined,
			"readiness gates hold a pod back":                                gatesHold,
			"a deleted pod leaves no namespace, process, mount or directory": deletionLeavesNothing,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t, c)
			})
		}
	})
	t.Run("a killed agent leaves nothing and starts its pods again", func(t *testing.T) { killedAgent(t, c) })
}

// awaitReady waits for the node and for the account that pods need.
func (c node) awaitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	name := c.Layout.Nodes[0].Name
	for ; ; pause(t, ctx) {
		n, err := c.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err == nil && len(n.Spec.Taints) == 0 && slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			break
		}
	}
	for ; ; pause(t, ctx) {
		if _, err := c.Client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err == nil {
			return
		}
	}
}

// pause waits a little before looking again.
func pause(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		t.Fatal("it does not come: ", ctx.Err())
	}
}

// create makes a pod and removes it at the test's end.
func (c node) create(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	pod.Namespace = "default"
	if pod.GenerateName == "" {
		pod.GenerateName = "p-"
	}
	pod, err := c.Client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Client.CoreV1().Pods("default").Delete(context.Background(), pod.Name, *metav1.NewDeleteOptions(0))
	})
	return pod
}

// until watches a pod until a condition holds; a nil pod means that it is gone.
func (c node) until(t *testing.T, name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w, err := c.Client.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var last *corev1.Pod
	for e := range w.ResultChan() {
		pod, isPod := e.Object.(*corev1.Pod)
		if !isPod {
			break
		}
		last = pod
		if e.Type == "DELETED" {
			pod = nil
		}
		if ok(pod) {
			return pod
		}
	}
	status, _ := json.MarshalIndent(last, "", " ")
	t.Fatalf("pod %s: %s did not come; last seen: %s\nevents: %s", name, what, status, c.events(t, name))
	return nil
}

func (c node) events(t *testing.T, name string) string {
	list, err := c.Client.CoreV1().Events("default").List(context.Background(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range list.Items {
		fmt.Fprintf(&b, "%s %s: %s\n", e.Type, e.Reason, e.Message)
	}
	return b.String()
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return "absent"
}

func isReady(pod *corev1.Pod) bool {
	return pod != nil && condition(pod, corev1.PodReady) == corev1.ConditionTrue
}

func isGone(pod *corev1.Pod) bool { return pod == nil }

func podOf(containers ...corev1.Container) *corev1.Pod {
	return &corev1.Pod{Spec: corev1.PodSpec{Containers: containers}}
}

func shell(script string) corev1.Container {
	return corev1.Container{Name: "main", Image: agnhost, Command: []string{"sh", "-c", script}}
}

func execAction(argv ...string) corev1.ProbeHandler {
	return corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: argv}}
}

// VPC: that its address is answered there is part of the test.
