package nodeagent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

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

func podIsAsSpecified(t *testing.T, c node) {
	ctx := t.Context()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"color": "blue", "file.conf": "from the map"}}
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(ctx, cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Client.CoreV1().ConfigMaps("default").Delete(context.Background(), "settings", metav1.DeleteOptions{})
	})
	script := `echo init=$(cat /scratch/init) color=$COLOR ip=$IP greeting="$GREETING" file=$(cat /conf/file.conf) user=$(id -u) dir=$(pwd)
		echo token=$(test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo yes) dns=$(grep -c default.svc.cluster.local /etc/resolv.conf) api=$KUBERNETES_SERVICE_HOST
		touch /conf/x 2>/dev/null && echo writable; ls /proc | grep -c '^[0-9]*$'; exec sleep 1000`
	ctr := shell(script)
	uid := int64(1234)
	ctr.SecurityContext = &corev1.SecurityContext{RunAsUser: &uid}
	ctr.WorkingDir = "/scratch"
	ctr.Env = []corev1.EnvVar{
		{Name: "COLOR", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "color"}}},
		{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "GREETING", Value: "hello $(COLOR) $$(X)"},
	}
	work := corev1.VolumeMount{Name: "work", MountPath: "/scratch"}
	ctr.VolumeMounts = []corev1.VolumeMount{work, {Name: "conf", MountPath: "/conf"}}
	pod := podOf(ctr)
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: agnhost, Command: []string{"sh", "-c", "echo done > /scratch/init"}, VolumeMounts: []corev1.VolumeMount{work}}}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "conf", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
	}
	pod = c.create(t, pod)
	pod = c.until(t, pod.Name, "ready", isReady)
	want := fmt.Sprintf("init=done color=blue ip=%s greeting=hello blue $(X) file=from the map user=1234 dir=/scratch\ntoken=yes dns=1 api=198.19.0.1\n", pod.Status.PodIP)
	var got string
	for ctx, cancel := context.WithTimeout(ctx, time.Minute); ; pause(t, ctx) {
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The node authorizer learns of a pod a moment after the node does, so the
	// first event may be about a config map that the node may not read yet.
	for {
		e := c.events(t, pod.Name)
		if strings.Contains(e, "FailedMount") && strings.Contains(e, "emptyDir, configMap, secret") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no event says which volumes there are: %s", e)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// hostNetworkIsTheNodes runs a pod in the node's own network.
func hostNetworkIsTheNodes(t *testing.T, c node) {
	pod := podOf(corev1.Container{Name: "main", Image: agnhost, Args: []string{"netexec", "--http-port=8099"}, Ports: []corev1.ContainerPort{{ContainerPort: 8099}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8099)}}, PeriodSeconds: 1}})
	pod.Spec.HostNetwork = true
	pod = c.create(t, pod)
	pod = c.until(t, pod.Name, "ready", isReady)
	n := c.Layout.Nodes[0]
	if pod.Status.PodIP != n.IPv4.String() || pod.Status.HostIP != n.IPv4.String() {
		t.Errorf("pod address %s, host address %s; want the node's %s", pod.Status.PodIP, pod.Status.HostIP, n.IPv4)
	}
	out, err := c.Run(c.Kubectl(t.Context(), "exec", pod.Name, "--", "hostname"))
	if err != nil || out != n.Name+"\n" {
		t.Errorf("host name is %q, error %v; want the node's", out, err)
	}
	if netlab.Exists(nodeagent.NetNS(pod.UID)) {
		t.Error("the pod has a network namespace of its own")
	}
}

// sidecarServes checks that a sidecar starts before, and ends after, what it
// serves, and that paths inside volumes are mounted.
func sidecarServes(t *testing.T, c node) {
	always := corev1.ContainerRestartPolicyAlways
	data := []corev1.VolumeMount{{Name: "data", MountPath: "/data", SubPath: "deep/down"}}
	side := shell("trap 'echo side-ends >> /data/order; exit 0' TERM; echo side >> /data/order; touch /tmp/up; while :; do sleep 0.1; done")
	side.Name, side.VolumeMounts, side.RestartPolicy = "side", data, &always
	side.StartupProbe = &corev1.Probe{ProbeHandler: execAction("test", "-e", "/tmp/up"), PeriodSeconds: 1}
	main := shell("echo main >> /data/order; sleep 1; echo main-ends >> /data/order")
	main.VolumeMounts = data
	pod := podOf(main)
	pod.Spec.InitContainers, pod.Spec.RestartPolicy = []corev1.Container{side}, corev1.RestartPolicyNever
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	pod = c.create(t, pod)
	c.until(t, pod.Name, "Succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	file := filepath.Join(c.Config.Dir.NodeAgent(c.Layout.Nodes[0].Name), "pods", string(pod.UID), "volumes", "data", "deep", "down", "order")
	got, err := os.ReadFile(file)
	if want := "side\nmain\nmain-ends\nside-ends\n"; string(got) != want || err != nil {
		t.Errorf("order is %q, error %v; want %q", got, err, want)
	}
}

// subPathStaysInside plants a symbolic link in a volume and asks for a path
// through it.
func subPathStaysInside(t *testing.T, c node) {
	mount := func(sub string) []corev1.VolumeMount {
		return []corev1.VolumeMount{{Name: "data", MountPath: "/data", SubPath: sub}}
	}
	init := shell("ln -s /etc /data/out")
	init.Name, init.VolumeMounts = "init", mount("")
	main := shell("sleep 1000")
	main.VolumeMounts = mount("out")
	pod := podOf(main)
	pod.Spec.InitContainers = []corev1.Container{init}
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	pod = c.create(t, pod)
	got := c.until(t, pod.Name, "StartError", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].LastTerminationState.Terminated != nil
	})
	if last := got.Status.ContainerStatuses[0].LastTerminationState.Terminated; last.Reason != "StartError" || !strings.Contains(last.Message, "escapes") {
		t.Errorf("last state is %+v, want that the path leads out of the volume", last)
	}
}

// rootIsConfined tries what root in a container must not be able to do to the
// machine.
func rootIsConfined(t *testing.T, c node) {
	pod := c.create(t, podOf(shell("sleep 1000")))
	c.until(t, pod.Name, "ready", isReady)
	for name, script := range map[string]string{
		"change the kernel's settings": "echo 1 > /proc/sys/kernel/domainname",
		"pull the emergency brake":     "echo h > /proc/sysrq-trigger",
		"make a device":                "mknod /tmp/disk b 1 0",
		"write to the machine's files": "touch /usr/x",
		"mount":                        "mount -t tmpfs none /mnt || mount -t tmpfs none /home",
		"see the machine's processes":  "test $(ls /proc | grep -c '^[0-9]') -gt 10",
		"see the state of its node":    "test -e " + string(c.Config.Dir),
	} {
		if out, err := c.Run(c.Kubectl(t.Context(), "exec", pod.Name, "--", "sh", "-c", script)); err == nil {
			t.Errorf("root can %s: %s", name, out)
		}
	}
}
