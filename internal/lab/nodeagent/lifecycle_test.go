package nodeagent_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

func readinessFollows(t *testing.T, c node) {
	ctr := shell("touch /tmp/ok; trap 'exit 0' TERM; while :; do sleep 0.1; done")
	ctr.ReadinessProbe = &corev1.Probe{ProbeHandler: execAction("test", "-e", "/tmp/ok"), PeriodSeconds: 1, FailureThreshold: 1}
	pod := c.create(t, podOf(ctr))
	c.until(t, pod.Name, "ready", isReady)
	for _, step := range []struct {
		change string
		want   bool
	}{{"rm /tmp/ok", false}, {"touch /tmp/ok", true}} {
		if _, err := c.Run(c.Kubectl(t.Context(), "exec", pod.Name, "--", "sh", "-c", step.change)); err != nil {
			t.Fatal(err)
		}
		got := c.until(t, pod.Name, "readiness after "+step.change, func(p *corev1.Pod) bool { return isReady(p) == step.want })
		if started := got.Status.ContainerStatuses[0].Started; started == nil || !*started {
			t.Errorf("started is %v, want true whatever readiness is", started)
		}
	}
}

func preStopRuns(t *testing.T, c node) {
	ctr := shell("trap 'cat /shared/hook > /dev/termination; echo end-with-hook=$(cat /shared/hook); exit 7' TERM; while :; do sleep 0.1; done")
	ctr.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{
		Command: []string{"sh", "-c", "sleep 1; echo ran > /shared/hook"}}}}
	ctr.VolumeMounts = []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}
	pod := podOf(ctr)
	pod.Spec.Volumes = []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	pod = c.create(t, pod)
	c.until(t, pod.Name, "ready", isReady)
	logs := c.follow(t, pod.Name)
	if err := c.Client.CoreV1().Pods("default").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var final *corev1.Pod
	c.until(t, pod.Name, "gone", func(p *corev1.Pod) bool {
		if p != nil {
			final = p
		}
		return p == nil
	})
	if got := <-logs; !strings.Contains(got, "end-with-hook=ran") {
		t.Errorf("the container said %q, want that the hook had run when it was asked to stop", got)
	}
	state := final.Status.ContainerStatuses[0].State.Terminated
	if state == nil || state.ExitCode != 7 || final.Status.Phase != corev1.PodFailed {
		t.Errorf("last status has phase %s and state %+v, want Failed with exit code 7", final.Status.Phase, state)
	}
}

// follow collects a pod's log until it ends.
func (c node) follow(t *testing.T, pod string) <-chan string {
	t.Helper()
	stream, err := c.Client.CoreV1().Pods("default").GetLogs(pod, &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 1)
	go func() {
		defer stream.Close()
		all, _ := io.ReadAll(stream)
		out <- string(all)
	}()
	return out
}

func graceShortens(t *testing.T, c node) {
	pod := podOf(shell("trap '' TERM; while :; do sleep 0.1; done"))
	grace := int64(3600)
	pod.Spec.TerminationGracePeriodSeconds = &grace
	pod = c.create(t, pod)
	c.until(t, pod.Name, "ready", isReady)
	for _, seconds := range []int64{3600, 1} {
		if err := c.Client.CoreV1().Pods("default").Delete(t.Context(), pod.Name, *metav1.NewDeleteOptions(seconds)); err != nil {
			t.Fatal(err)
		}
	}
	c.until(t, pod.Name, "gone", isGone)
}

func crashLoops(t *testing.T, c node) {
	pod := c.create(t, podOf(shell("echo going; exit 3")))
	got := c.until(t, pod.Name, "CrashLoopBackOff", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CrashLoopBackOff"
	})
	s := got.Status.ContainerStatuses[0]
	if s.RestartCount != 1 || s.LastTerminationState.Terminated.ExitCode != 3 || !strings.Contains(s.State.Waiting.Message, "back-off 10s") {
		t.Errorf("got %d restarts, last state %+v, message %q; want one restart, exit code 3 and a delay of 10s",
			s.RestartCount, s.LastTerminationState.Terminated, s.State.Waiting.Message)
	}
	if got.Status.Phase != corev1.PodRunning {
		t.Errorf("phase is %s, want Running: the pod has run and will again", got.Status.Phase)
	}
	out, err := c.Run(c.Kubectl(t.Context(), "logs", "--previous", pod.Name))
	if err != nil || out != "going\n" {
		t.Errorf("previous log is %q, error %v", out, err)
	}
}

func livenessRestarts(t *testing.T, c node) {
	ctr := shell("trap 'exit 0' TERM; while :; do sleep 0.1; done")
	ctr.StartupProbe = &corev1.Probe{ProbeHandler: execAction("true"), PeriodSeconds: 1}
	ctr.LivenessProbe = &corev1.Probe{ProbeHandler: execAction("false"), PeriodSeconds: 1, FailureThreshold: 2}
	pod := c.create(t, podOf(ctr))
	c.until(t, pod.Name, "a restart", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].RestartCount > 0 && s[0].LastTerminationState.Terminated != nil
	})
	if e := c.events(t, pod.Name); !strings.Contains(e, "Liveness probe failed") || !strings.Contains(e, "failed liveness probe, will be restarted") {
		t.Errorf("events do not tell of the liveness probe:\n%s", e)
	}
}

func jobSucceeds(t *testing.T, c node) {
	pod := podOf(shell("echo out; echo err >&2"))
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod = c.create(t, pod)
	c.until(t, pod.Name, "Succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	out, err := c.Run(c.Kubectl(t.Context(), "logs", pod.Name))
	if err != nil || !strings.Contains(out, "out\n") || !strings.Contains(out, "err\n") {
		t.Errorf("log is %q, error %v", out, err)
	}
	if netlab.Exists(nodeagent.NetNS(pod.UID)) {
		t.Error("the network namespace is still there")
	}
}

func gatesHold(t *testing.T, c node) {
	ctx := t.Context()
	pod := podOf(corev1.Container{Name: "main", Image: "registry.k8s.io/pause:3.10"})
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/open"}}
	pod = c.create(t, pod)
	pod = c.until(t, pod.Name, "ContainersReady", func(p *corev1.Pod) bool { return condition(p, corev1.ContainersReady) == corev1.ConditionTrue })
	if isReady(pod) {
		t.Error("the pod is Ready while its gate is closed")
	}
	patch := `{"status":{"conditions":[{"type":"example.com/open","status":"True"}]}}`
	if _, err := c.Client.CoreV1().Pods("default").Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	c.until(t, pod.Name, "ready", isReady)
}

func deletionLeavesNothing(t *testing.T, c node) {
	pod := c.create(t, podOf(shell("sleep 998 & sleep 999"), corev1.Container{Name: "web", Image: "nginx"}))
	pod = c.until(t, pod.Name, "ready", isReady)
	ns := nodeagent.NetNS(pod.UID)
	procs, err := netlab.Processes([]string{ns})
	if err != nil || len(procs) != 4 {
		t.Fatalf("processes in the pod's namespace: %v, error %v; want 4", procs, err)
	}
	if err := c.Client.CoreV1().Pods("default").Delete(t.Context(), pod.Name, *metav1.NewDeleteOptions(1)); err != nil {
		t.Fatal(err)
	}
	c.until(t, pod.Name, "gone", isGone)
	c.assertNothingOf(t, pod, procs)
}

// assertNothingOf checks that a pod left no trace on the machine.
func (c node) assertNothingOf(t *testing.T, pod *corev1.Pod, procs []int) {
	t.Helper()
	if netlab.Exists(nodeagent.NetNS(pod.UID)) {
		t.Error("the network namespace is still there")
	}
	assertEnded(t, procs)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), string(pod.UID)) {
		t.Error("a mount of the pod is still there")
	}
	dir := c.Config.Dir.NodeAgent(c.Layout.Nodes[0].Name) + "/pods/" + string(pod.UID)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the pod's directory: %v, want that it does not exist", err)
	}
}

// assertEnded checks that processes have ended; one that its parent has not yet
// taken notice of has no command line any more.
func assertEnded(t *testing.T, procs []int) {
	t.Helper()
	for _, p := range procs {
		if cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p)); err == nil && len(cmdline) > 0 {
			t.Errorf("process %d is still there: %q", p, cmdline)
		}
	}
}

func killedAgent(t *testing.T, c node) {
	pod := c.create(t, podOf(corev1.Container{Name: "web", Image: "nginx"}))
	before := c.until(t, pod.Name, "ready", isReady)
	procs, err := netlab.Processes([]string{nodeagent.NetNS(pod.UID)})
	if err != nil || len(procs) != 1 {
		t.Fatalf("processes in the pod's namespace: %v, error %v; want 1", procs, err)
	}
	if err := c.Sup.Restart(t.Context(), "node-agent-"+c.Layout.Nodes[0].Name, true); err != nil {
		t.Fatal(err)
	}
	after := c.until(t, pod.Name, "running again", func(p *corev1.Pod) bool {
		return isReady(p) && p.Status.ContainerStatuses[0].RestartCount == 1
	})
	if was, is := before.Status.ContainerStatuses[0].ContainerID, after.Status.ContainerStatuses[0].ContainerID; was == is {
		t.Errorf("container ID is still %s", is)
	}
	if last := after.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.ExitCode != 137 {
		t.Errorf("last state is %+v, want that the container was killed", last)
	}
	assertEnded(t, procs)
}
