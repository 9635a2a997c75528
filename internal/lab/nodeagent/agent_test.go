package nodeagent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/nginx"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/nodetest"
	"github.com/fairlead-lb/fairlead/internal/netlab"
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
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
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

// get asks a pod over HTTP from the control namespace, as a neighbour in the
// VPC: that its address is answered there is part of the test.
func (c node) get(t *testing.T, url string, into any) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func deploymentTells(t *testing.T, c node) {
	ctx := t.Context()
	if _, err := c.Run(c.Kubectl(ctx, "create", "deployment", "web", "--image=nginx", "--port=80")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(c.Kubectl(ctx, "rollout", "status", "deployment/web", "--timeout=40s")); err != nil {
		t.Fatal(err)
	}
	list, err := c.Client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("got %d pods, error %v, want one", len(list.Items), err)
	}
	pod, n := list.Items[0], c.Layout.Nodes[0]
	if len(pod.Status.PodIPs) != 2 {
		t.Fatalf("pod has addresses %v, want one of each family", pod.Status.PodIPs)
	}
	for i, r := range []netip.Prefix{n.Pods4, n.Pods6} {
		ip := netip.MustParseAddr(pod.Status.PodIPs[i].IP)
		if !r.Contains(ip) {
			t.Errorf("pod address %s is not in the node's range %s", ip, r)
		}
		var got nginx.Answer
		c.get(t, fmt.Sprintf("http://%s/x?format=json", netip.AddrPortFrom(ip, 80)), &got)
		want := nginx.Answer{
			Facts: nginx.Facts{Pod: pod.Name, Namespace: "default", Node: n.Name, Zone: n.Zone, PodIPs: []netip.Addr{
				netip.MustParseAddr(pod.Status.PodIPs[0].IP), netip.MustParseAddr(pod.Status.PodIPs[1].IP)}},
			Peer: got.Peer, Local: netip.AddrPortFrom(ip, 80), Host: got.Host, Request: "GET /x?format=json HTTP/1.1",
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("answer over %s (-want +got):\n%s", ip, diff)
		}
		if control := netip.MustParseAddr([]string{"198.18.0.10", "2001:db8::10"}[i]); got.Peer.Addr() != control {
			t.Errorf("the pod saw %s, want the client's own address %s", got.Peer, control)
		}
	}
	if _, err := c.Run(c.Kubectl(ctx, "delete", "deployment", "web", "--cascade=foreground", "--timeout=40s")); err != nil {
		t.Fatal(err)
	}
}

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

func unknownImage(t *testing.T, c node) {
	pod := c.create(t, podOf(corev1.Container{Name: "main", Image: "example.com/app:v1"}))
	got := c.until(t, pod.Name, "ErrImagePull", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && strings.HasPrefix(s[0].State.Waiting.Reason, "ErrImage")
	})
	msg := got.Status.ContainerStatuses[0].State.Waiting.Message
	for _, want := range []string{`"example.com/app:v1"`, "nginx", "agnhost", "registry.k8s.io/pause"} {
		if !strings.Contains(msg, want) {
			t.Errorf("message %q does not name %s", msg, want)
		}
	}
	if got.Status.Phase != corev1.PodPending {
		t.Errorf("phase is %s, want Pending", got.Status.Phase)
	}
}

func kubectlWorks(t *testing.T, c node) {
	ctx := t.Context()
	pod := c.create(t, podOf(corev1.Container{Name: "main", Image: "nginx:1.29", Args: []string{"nginx", "-g", "daemon off;"}}))
	c.until(t, pod.Name, "ready", isReady)
	cmd := c.Kubectl(ctx, "exec", "-i", pod.Name, "--", "sh", "-c", "cat; hostname; exit 4")
	cmd.Stdin = strings.NewReader("from stdin\n")
	out, err := c.Run(cmd)
	if out != "from stdin\n"+pod.Name+"\n" || err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("exec: got %q and %v, want stdin, the host name and exit code 4", out, err)
	}
	out, err = c.Run(c.Kubectl(ctx, "exec", pod.Name, "--", "curl", "-s", "http://localhost/marker"))
	if err != nil || !strings.Contains(out, pod.Name) {
		t.Errorf("curl inside the pod: got %q, error %v", out, err)
	}
	if body := c.portForward(t, pod.Name); !strings.Contains(body, "pod:     default/"+pod.Name) {
		t.Errorf("port-forward: got %q", body)
	}
	out, err = c.Run(c.Kubectl(ctx, "logs", "--timestamps", "--tail=2", pod.Name))
	if err != nil || !strings.Contains(out, "GET /marker HTTP/1.1") || !strings.HasPrefix(out, "20") {
		t.Errorf("logs: got %q, error %v", out, err)
	}
	out, err = c.Run(c.Kubectl(ctx, "exec", pod.Name, "--", "nosuchprogram"))
	if err == nil || !strings.Contains(err.Error(), "executable file not found") {
		t.Errorf("exec of a missing program: got %q, error %v", out, err)
	}
}

// portForward fetches the pod's page through kubectl port-forward.
func (c node) portForward(t *testing.T, pod string) string {
	t.Helper()
	cmd := c.Kubectl(t.Context(), "port-forward", "pod/"+pod, "18080:80")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := netlab.Start(cmd, c.ControlNamespace(), nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(line, "Forwarding") {
		t.Fatalf("port-forward said %q, error %v", line, err)
	}
	out, err := c.Run(exec.Command("curl", "-sS", "-m", "10", "http://127.0.0.1:18080/"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func podIsAsSpecified(t *testing.T, c node) {
	ctx := t.Context()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"color": "blue", "file.conf": "from the map"}}
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(ctx, cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Client.CoreV1().ConfigMaps("default").Delete(context.Background(), "settings", metav1.DeleteOptions{})
	})
	script := `echo init=$(cat /work/init) color=$COLOR ip=$IP greeting="$GREETING" file=$(cat /conf/file.conf) user=$(id -u) dir=$(pwd)
		echo token=$(test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo yes) dns=$(grep -c default.svc.cluster.local /etc/resolv.conf) api=$KUBERNETES_SERVICE_HOST
		touch /conf/x 2>/dev/null && echo writable; ls /proc | grep -c '^[0-9]*$'; exec sleep 1000`
	ctr := shell(script)
	uid := int64(1234)
	ctr.SecurityContext = &corev1.SecurityContext{RunAsUser: &uid}
	ctr.WorkingDir = "/work"
	ctr.Env = []corev1.EnvVar{
		{Name: "COLOR", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "color"}}},
		{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "GREETING", Value: "hello $(COLOR) $$(X)"},
	}
	work := corev1.VolumeMount{Name: "work", MountPath: "/work"}
	ctr.VolumeMounts = []corev1.VolumeMount{work, {Name: "conf", MountPath: "/conf"}}
	pod := podOf(ctr)
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: agnhost, Command: []string{"sh", "-c", "echo done > /work/init"}, VolumeMounts: []corev1.VolumeMount{work}}}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "conf", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
	}
	pod = c.create(t, pod)
	pod = c.until(t, pod.Name, "ready", isReady)
	want := fmt.Sprintf("init=done color=blue ip=%s greeting=hello blue $(X) file=from the map user=1234 dir=/work\ntoken=yes dns=1 api=198.19.0.1\n", pod.Status.PodIP)
	var got string
	for ctx, cancel := context.WithTimeout(ctx, 20*time.Second); ; pause(t, ctx) {
		defer cancel()
		got, _ = c.Run(c.Kubectl(ctx, "logs", pod.Name))
		if strings.Count(got, "\n") >= 3 {
			break
		}
	}
	if !strings.HasPrefix(got, want) || strings.Contains(got, "writable") {
		t.Errorf("the container said\n%s, want\n%s and a config map that cannot be written", got, want)
	}
}

func refusalIsTold(t *testing.T, c node) {
	pod := podOf(shell("sleep 1000"))
	pod.Spec.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
	pod = c.create(t, pod)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ; ; pause(t, ctx) {
		if e := c.events(t, pod.Name); strings.Contains(e, "FailedMount") {
			if !strings.Contains(e, "emptyDir, configMap, secret") {
				t.Errorf("event does not say what there is: %s", e)
			}
			return
		}
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
