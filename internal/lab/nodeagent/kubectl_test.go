package nodeagent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/nginx"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// get asks a pod over HTTP from the control namespace, as a neighbour in the
// VPC: that its address is answered there is part of the test. A pod without a
// readiness probe is ready a moment before it listens.
func (c node) get(t *testing.T, url string, into any) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := client.Get(url)
	for errors.Is(err, syscall.ECONNREFUSED) {
		pause(t, ctx)
		resp, err = client.Get(url)
	}
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

func kubectlWorks(t *testing.T, c node) {
	ctx := t.Context()
	pod := c.create(t, podOf(corev1.Container{
		Name: "main", Image: "nginx:1.29", Args: []string{"nginx", "-g", "daemon off;"},
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(80)}}},
	}))
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
	out, err = c.Run(c.Kubectl(ctx, "logs", "--timestamps", pod.Name)) // probes write lines too, so it may be anywhere
	if err != nil || !strings.Contains(out, "GET /marker HTTP/1.1") || !strings.HasPrefix(out, "20") {
		t.Errorf("logs: got %q, error %v", out, err)
	}
	out, err = c.Run(c.Kubectl(ctx, "logs", "--tail=2", pod.Name))
	if err != nil || strings.Count(out, "\n") != 2 {
		t.Errorf("logs --tail=2: got %q, error %v", out, err)
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

// terminalWorks runs a command on a terminal through the API, as `kubectl exec
// -it` does from a terminal.
func terminalWorks(t *testing.T, c node) {
	pod := c.create(t, podOf(corev1.Container{Name: "main", Image: agnhost}))
	c.until(t, pod.Name, "ready", isReady)
	access := c.LoopbackREST(t)
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		t.Fatal(err)
	}
	req := client.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: []string{"sh", "-c", "tty; until [ \"$(stty size)\" = '43 132' ]; do sleep 0.05; done; read line; echo got $line"}, Stdin: true, Stdout: true, TTY: true}, scheme.ParameterCodec)
	for name, connect := range map[string]func() (remotecommand.Executor, error){
		"SPDY": func() (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutor(access, "POST", req.URL())
		},
		"WebSocket": func() (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(access, "GET", req.URL().String())
		},
	} {
		executor, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{
			Stdin: strings.NewReader("words\n"), Stdout: &out, Tty: true, TerminalSizeQueue: &oneSize{remotecommand.TerminalSize{Width: 132, Height: 43}},
		})
		for _, want := range []string{"/dev/pts/", "got words"} {
			if err != nil || !strings.Contains(out.String(), want) {
				t.Errorf("%s: got %q, error %v; want %q in it", name, out.String(), err, want)
			}
		}
	}
}

// oneSize is a terminal that never changes its size.
type oneSize struct{ size remotecommand.TerminalSize }

func (s *oneSize) Next() *remotecommand.TerminalSize {
	size := s.size
	if size.Width == 0 {
		return nil
	}
	s.size = remotecommand.TerminalSize{}
	return &size
}

func attachWorks(t *testing.T, c node) {
	ctr := shell("while read line; do echo echo-$line; done; echo end of input")
	ctr.Stdin, ctr.StdinOnce = true, true
	pod := podOf(ctr)
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod = c.create(t, pod)
	c.until(t, pod.Name, "ready", isReady)
	cmd := c.Kubectl(t.Context(), "attach", "-i", "-q", pod.Name)
	cmd.Stdin = strings.NewReader("one\ntwo\n")
	out, err := c.Run(cmd)
	if want := "echo-one\necho-two\nend of input\n"; out != want || err != nil {
		t.Errorf("attach shows %q, error %v; want %q", out, err, want)
	}
	c.until(t, pod.Name, "Succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
}

// runOnTerminal starts a pod with a terminal and types into it, as `kubectl run
// -it` does: what it shows has no newline when it is shown.
func runOnTerminal(t *testing.T, c node) {
	ctr := shell("read wait; printf 'prompt> '; read line; echo got $line; test -t 0 && test -t 1 && echo on a terminal")
	ctr.Stdin, ctr.StdinOnce, ctr.TTY = true, true, true
	pod := podOf(ctr)
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod = c.create(t, pod)
	c.until(t, pod.Name, "ready", isReady)
	access := c.LoopbackREST(t)
	req := c.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name(pod.Name).SubResource("attach").
		VersionedParams(&corev1.PodAttachOptions{Stdin: true, Stdout: true, TTY: true}, scheme.ParameterCodec)
	url := *req.URL()
	url.Host = strings.TrimPrefix(access.Host, "https://")
	executor, err := remotecommand.NewSPDYExecutor(access, "POST", &url)
	if err != nil {
		t.Fatal(err)
	}
	keys, typing := io.Pipe()
	screen := &awaited{text: "prompt> ", seen: make(chan struct{})}
	go func() {
		_, _ = io.WriteString(typing, "go\r")
		<-screen.seen
		_, _ = io.WriteString(typing, "words\r")
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: keys, Stdout: screen, Tty: true})
	typing.Close()
	if got := screen.all.String(); err != nil || !strings.Contains(got, "got words\r\non a terminal\r\n") {
		t.Errorf("the terminal shows %q, error %v", got, err)
	}
}

// awaited is a screen on which a text is waited for.
type awaited struct {
	text string
	seen chan struct{}
	once sync.Once
	all  strings.Builder
}

func (a *awaited) Write(p []byte) (int, error) {
	a.all.Write(p)
	if strings.Contains(a.all.String(), a.text) {
		a.once.Do(func() { close(a.seen) })
	}
	return len(p), nil
}
