// Package rollout_test updates Deployments under load, in a real lab: no
// request may get lost, although targets take their time to be registered and
// reads lag, as on AWS.
package rollout_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/config"
	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

var (
	requests       = flag.Int("requests", 10_000, "requests to each Service, at least")
	rate           = flag.Int("rate", 500, "requests a second to each Service, at most")
	registration   = flag.Duration("registration-delay", 2*time.Second, "how long a new target is only being registered")
	deregistration = flag.Duration("deregistration-delay", 3*time.Second, "how much longer a target drains than its group says")
	readLag        = flag.Duration("read-lag", 500*time.Millisecond, "how far reads lag behind writes")
)

// app is a Deployment and the Service in front of it.
type app struct {
	name        string
	annotations string // more of them, as YAML
	policy      string // externalTrafficPolicy
	preStop     int    // seconds that a pod goes on after it left the endpoints
	podTargets  bool
}

// apps: what leads traffic away from a pod that ends takes longer where it is
// the health check of its node.
func apps() []app {
	return []app{
		{name: "pods", annotations: `service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip`, policy: "Cluster", preStop: 5, podTargets: true},
		{name: "nodes", policy: "Cluster", preStop: 5},
		{name: "nodes-local", policy: "Local", preStop: 12},
	}
}

const replicas = 2

func (a app) manifest() string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[2]d
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
      - name: nginx
        image: nginx
        env: [{name: VERSION, value: "1"}]
        lifecycle: {preStop: {sleep: {seconds: %[3]d}}}
        readinessProbe: {httpGet: {path: /healthz, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata:
  name: %[1]s
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-type: nlb
    service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled: "true"
    %[4]s
spec:
  type: LoadBalancer
  externalTrafficPolicy: %[5]s
  ports: [{name: http, port: 80}]
  selector: {app: %[1]s}
`, a.name, replicas, a.preStop, a.annotations, a.policy)
}

func TestNoRequestIsLostInARollingUpdate(t *testing.T) {
	l := labtest.Up(t, "roll", nil)
	gate(t, l)
	trouble(t, l)
	for _, a := range apps() {
		l.Apply(t, a.manifest())
	}
	var updates []*update
	for _, a := range apps() {
		updates = append(updates, a.serve(t, l))
	}
	before := resets(t, l)
	for _, u := range updates {
		u.begin(t, l)
	}
	for _, u := range updates {
		u.end(t, l)
	}
	for _, u := range updates {
		t.Run(u.name, u.check)
	}
	checkRefused(t, updates, resets(t, l)-before)
	if t.Failed() {
		counters(t, l)
	}
}

// counters shows what edges did to packets other than to pass them on.
func counters(t *testing.T, l *labtest.Lab) {
	for _, z := range l.Layout().Zones {
		text := l.Run(t, "fairlead-lab", "exec", "edge/"+z.Name, "--", "curl", "-sS", "http://127.0.0.1:7480/metrics")
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "fairlead_edge_") && strings.Contains(line, "_total{") && !strings.HasSuffix(line, " 0\n") {
				t.Logf("%s: %s", z.Name, strings.TrimSpace(line))
			}
		}
	}
}

// gate asks for readiness gates, and waits until new pods get them.
func gate(t *testing.T, l *labtest.Lab) {
	t.Helper()
	l.Run(t, "kubectl", "label", "namespace", "default", "fairlead.io/pod-readiness-gate-inject=enabled")
	l.Apply(t, config.ReadinessGatePolicy)
	labtest.Until(t, "readiness gates", func() (string, bool) {
		seen := l.Run(t, "kubectl", "run", "probe", "--image=nginx", "--dry-run=server", "-o", "jsonpath={.spec.readinessGates}")
		return seen, seen != ""
	})
}

// trouble makes the engine as slow as AWS, or as slow as there is time for.
func trouble(t *testing.T, l *labtest.Lab) {
	t.Helper()
	settings := fmt.Sprintf(`{"registration": %q, "deregistration": %q, "readLag": %q}`, *registration, *deregistration, *readLag)
	_, err := l.Try(t.Context(), settings, "fairlead", "engine", "trouble", "--endpoint", l.EngineURL(), "--state-dir", filepath.Join(l.StateDir(), "engine"), "--set", "-")
	if err != nil {
		t.Fatal(err)
	}
}

// update is the replacement of all pods of an app while a client asks.
type update struct {
	app
	host     string
	old, new []string // pods
	finish   func() tally
	got      tally
}

// serve waits until an app is served.
func (a app) serve(t *testing.T, l *labtest.Lab) *update {
	u := &update{app: a, host: l.Hostname(t, a.name)}
	l.Run(t, "kubectl", "rollout", "status", "deployment/"+a.name, "--timeout=60s")
	labtest.Until(t, "an answer", func() (string, bool) {
		_, err := l.Try(t.Context(), "", "fairlead-lab", "exec", "client", "--", "curl", "-sS", "--max-time", "2", "http://"+u.host+"/")
		return fmt.Sprint(err), err == nil
	})
	u.old = a.pods(t, l)
	return u
}

func (u *update) begin(t *testing.T, l *labtest.Lab) {
	u.finish = u.ask(t, l)
	l.Run(t, "kubectl", "set", "env", "deployment/"+u.name, "VERSION=2")
}

func (u *update) end(t *testing.T, l *labtest.Lab) {
	l.Run(t, "kubectl", "rollout", "status", "deployment/"+u.name, "--timeout=60s")
	l.Run(t, append([]string{"kubectl", "wait", "--for=delete", "--timeout=60s"}, u.old...)...)
	u.got, u.new = u.finish(), u.pods(t, l)
}

func (u *update) check(t *testing.T) {
	t.Logf("%d requests, %d failed, %d refused, the slowest took %v; answers by pod: %v", u.got.Requests, u.got.Failed, u.got.Refused, u.got.Waited, u.got.Pods)
	if u.got.Failed > 0 {
		t.Errorf("%d of %d requests failed, the first:\n%s", u.got.Failed, u.got.Requests, strings.Join(u.got.Failures, "\n"))
	}
	if u.got.Requests < *requests {
		t.Errorf("%d requests, want %d at least", u.got.Requests, *requests)
	}
	for _, pod := range append(u.old, u.new...) {
		if u.got.Pods[strings.TrimPrefix(pod, "pod/")] == 0 {
			t.Errorf("%s answered no request; both the old pods and the new ones should", pod)
		}
	}
}

func (a app) pods(t *testing.T, l *labtest.Lab) []string {
	t.Helper()
	return strings.Fields(l.Run(t, "kubectl", "get", "pods", "-l", "app="+a.name, "-o", "name"))
}

// ask has a client ask until finish is called, and as often as it should.
func (u *update) ask(t *testing.T, l *labtest.Lab) (finish func() tally) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	what, err := json.Marshal(load{Host: u.host, Requests: *requests, Rate: *rate})
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.Command(t.Context(), "fairlead-lab", "exec", "client", "--", self)
	cmd.Env = append(cmd.Env, loadVariable+"="+string(what))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (got tally) {
		t.Helper()
		_ = stdin.Close() // it may have ended; Wait says why
		if err := cmd.Wait(); err != nil {
			t.Fatalf("the client ended with %v: %s", err, stderr.String())
		}
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
}
