package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

func TestALabServesAndLeavesNothing(t *testing.T) {
	c := newBench(t)
	c.up()
	c.fails(c.run(c.upArgs("--kube", kube(t))...), 1, "a lab with its state in "+c.stateDir+" is running", "fairlead-lab down")

	c.ok("status")
	if got := c.shell("kubectl get nodes -o jsonpath='{.items[*].spec.providerID}'"); !strings.HasPrefix(got, "aws:///us-west-2a/i-") || !strings.Contains(got, " aws:///us-west-2b/i-") {
		t.Errorf("provider IDs of the nodes: %q", got)
	}
	if got := c.ok("exec", "client-2", "--", "ip", "-br", "addr", "show", "eth0"); !strings.Contains(got, "192.0.2.10/24") || !strings.Contains(got, "3fff:0:0:2::10/64") {
		t.Errorf("addresses of client-2: %q", got)
	}
	if got := c.ok("exec", "client", "--", "cat", "/etc/resolv.conf"); !strings.HasPrefix(got, "nameserver 198.18.0.10\n") {
		t.Errorf("resolver of client: %q", got)
	}
	if r := c.run("exec", "client", "--", "sh", "-c", "exit 7"); r.code != 7 {
		t.Errorf("exit code of a command: %d, want its own, 7", r.code)
	}
	c.fails(c.run("exec", "nowhere", "--", "true"), 2, "edge/us-west-2a", "node/node-2")
	c.ok("down")
	c.wantNothingLeft()
	c.fails(c.run("status"), 1, "there is no lab")
	c.ok("down")
}

// shell runs a command line as a person would after `env`.
func (c *bench) shell(line string) string {
	c.t.Helper()
	cmd := exec.Command("sh", "-c", `eval "$('`+c.program+`' --state-dir '`+c.stateDir+`' env)"; `+line)
	r := finish(c.t, cmd)
	if r.code != 0 {
		c.t.Fatalf("%s: exit code %d\n%s%s", line, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// A pod is reached by its address from outside, a Service from inside, both by
// way of the real kube-proxy.
func TestPodsAndServicesAreReached(t *testing.T) {
	c := newBench(t)
	c.up()
	c.shell(`kubectl create deployment web --image=nginx && kubectl expose deployment web --port=80 --type=NodePort &&
		kubectl rollout status deployment web --timeout=60s`)
	port := c.shell(`kubectl get service web -o jsonpath='{.spec.ports[0].nodePort}'`)
	for _, node := range []string{"198.18.16.16", "198.18.32.16"} {
		// kube-proxy follows the API server, so the first attempt may come too early.
		c.ok("exec", "client", "--", "curl", "-sSf", "--max-time", "5", "--retry", "10", "--retry-delay", "1", "--retry-connrefused", "http://"+node+":"+port+"/")
	}
	pod := c.shell(`kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}'`)
	c.ok("exec", "pod/default/"+pod, "--", "curl", "-sSf", "--max-time", "5", "http://web/")
	if got := c.shell("kubectl exec deploy/web -- hostname"); strings.TrimSpace(got) != pod {
		t.Errorf("kubectl exec says %q, want the pod's name %q", got, pod)
	}
	if got := c.shell("kubectl logs deploy/web"); !strings.Contains(got, "curl/") {
		t.Errorf("kubectl logs: %q, want the requests", got)
	}
}

func TestNodesComeAndGo(t *testing.T) {
	c := newBench(t)
	c.up()
	name := strings.TrimSpace(c.ok("node", "add", "--zone", "us-west-2b"))
	if name != "node-3" {
		t.Errorf("new node: %q, want node-3", name)
	}
	c.fails(c.run("node", "add", "--zone", "us-west-2z"), 1, "us-west-2a, us-west-2b")
	c.shell(`kubectl create deployment web --image=nginx --replicas=6 && kubectl rollout status deployment web --timeout=60s`)
	c.ok("node", "remove", "node-1")
	if got := c.shell("kubectl get nodes -o name"); got != "node/node-2\nnode/node-3\n" {
		t.Errorf("nodes: %q", got)
	}
	if got := c.shell(`kubectl get pods --field-selector spec.nodeName=node-1 -o name`); got != "" {
		t.Errorf("pods on the removed node: %q", got)
	}
	if netlab.Exists(c.prefix + "node-1") {
		t.Error("the namespace of the removed node is still there")
	}
	if name := strings.TrimSpace(c.ok("node", "add")); name != "node-4" {
		t.Errorf("next node: %q, want node-4: names are not used again", name)
	}
	c.fails(c.run("node", "remove", "node-1"), 1, `there is no node "node-1"`)
	c.ok("status")
}

func (c *bench) supervisor() int {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.stateDir, "lab.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	var s struct{ Supervisor struct{ PID int } }
	if err := json.Unmarshal(data, &s); err != nil {
		c.t.Fatal(err)
	}
	return s.Supervisor.PID
}

func TestAKilledSupervisorIsNoticedAndSweptUp(t *testing.T) {
	c := newBench(t)
	c.up()
	c.shell("kubectl create deployment web --image=nginx && kubectl rollout status deployment web --timeout=60s")
	kill := func() {
		if err := syscall.Kill(c.supervisor(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	kill()
	r := c.run("status", "-o", "json")
	c.fails(r, 3)
	var report lab.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || report.Healthy || report.Problem == "" {
		t.Errorf("report %+v, error %v, want a problem", report, err)
	}
	c.fails(c.run("restart", "etcd"), 1, "supervisor is not running", "fairlead-lab down")
	c.up()
	c.ok("status")
	kill()
	c.ok("down")
	c.wantNothingLeft()
}

func TestAKilledComponentComesBack(t *testing.T) {
	c := newBench(t)
	c.up()
	c.ok("restart", "kube-scheduler")
	c.ok("restart", "etcd", "--kill")
	c.fails(c.run("restart", "absent"), 1, "there is no such component")
	if got := c.ok("logs", "etcd"); strings.Count(got, "fairlead-lab: ") != 2 {
		t.Errorf("log of etcd: %q, want two starts", got)
	}
	c.fails(c.run("logs", "absent"), 1, "there is no such component")
	c.ok("status")
}

func TestALabThatDoesNotComeUpSaysWhyAndLeavesNothing(t *testing.T) {
	c := newBench(t)
	broken := filepath.Join(t.TempDir(), "kube")
	script := "#!/bin/sh\n[ $1 = etcd ] && { echo 'no luck today'; exit 9; }\nexec sleep 1000\n"
	if err := os.WriteFile(broken, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r := c.run(c.upArgs("--kube", broken, "--without", withoutLoadBalancers)...)
	c.fails(r, 1, "etcd does not come up: exit status 9", "| no luck today", "the whole log is in ")
	c.wantNothingLeft()
	_, kept, _ := strings.Cut(r.stderr, "the whole log is in ")
	kept, _, _ = strings.Cut(kept, ";")
	if log, err := os.ReadFile(kept); err != nil || !strings.Contains(string(log), "no luck today") {
		t.Errorf("log that was kept: %q, error %v", log, err)
	}
	if err := os.Remove(kept); err != nil {
		t.Error(err)
	}

	r = c.run(c.upArgs("--kube", broken, "--without", withoutLoadBalancers, "--keep-on-failure")...)
	c.fails(r, 1, "etcd does not come up", "fairlead-lab down")
	if !netlab.Exists(c.prefix + "control") {
		t.Error("--keep-on-failure kept nothing")
	}
}

func TestInterruptedUpTakesEverythingAway(t *testing.T) {
	c := newBench(t)
	cmd := c.command(c.upArgs("--kube", kube(t), "--without", withoutLoadBalancers)...)
	events, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, events, "etcd")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	drain(events)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("up ended with %v, want exit code 130", err)
	}
	c.wantNothingLeft()
}

func TestKilledUpLeavesWhatDownTakesAway(t *testing.T) {
	c := newBench(t)
	cmd := c.command(c.upArgs("--kube", kube(t), "--without", withoutLoadBalancers)...)
	events, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, events, "etcd")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	drain(events)
	_ = cmd.Wait() // says that it was killed
	c.ok("down")
	c.wantNothingLeft()
}

func TestEverythingInTheWayIsReportedAtOnceAndNothingChanges(t *testing.T) {
	c := newBench(t)
	busy, err := net.Listen("tcp", "127.0.0.1:"+c.ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if err := os.Mkdir(c.stateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	diary := filepath.Join(c.stateDir, "diary.txt")
	if err := os.WriteFile(diary, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := netlab.Create(c.prefix + "client"); err != nil {
		t.Fatal(err)
	}
	r := c.run(c.upArgs("--kube", "/no/such/kube", "--fairlead", "/no/such/fairlead")...)
	c.fails(r, 1, "5 in the way, nothing has been changed", "port "+c.ports[0]+" of loopback", "--api-port",
		"/no/such/kube", "/no/such/fairlead", "things in it that are not a lab's", c.prefix+"client")
	if data, err := os.ReadFile(diary); err != nil || string(data) != "mine" {
		t.Errorf("the file in the state directory: %q, %v", data, err)
	}
	if !netlab.Exists(c.prefix + "client") {
		t.Error("the namespace of somebody else is gone")
	}
	if err := netlab.Delete(c.prefix + "client"); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(c.stateDir); err != nil {
		t.Error(err)
	}
	c.wantNothingLeft()
}

func TestWithoutRootNothingStarts(t *testing.T) {
	c := newBench(t)
	cmd := c.command(c.upArgs("--kube", "/bin/true", "--without", withoutLoadBalancers)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	c.fails(finish(t, cmd), 1, "root is needed, this is user 65534", "sudo")
	c.wantNothingLeft()
}

func TestMistakesInCommandLinesAreOnesOfUsage(t *testing.T) {
	c := newBench(t)
	c.fails(c.run("bogus"), 2, `unknown command "bogus"`)
	c.fails(c.run("node", "bogus"), 2, `unknown command "bogus"`, "fairlead-lab node --help")
	c.fails(c.run("node", "remove"), 2, "NAME is missing", "fairlead-lab node remove --help")
	c.fails(c.run("logs", "a", "b"), 2, `"b" is one argument too many, want COMPONENT`)
	c.fails(c.run("exec", "client"), 2, "a place and a command are needed")
	c.fails(c.run("up", "--nodes", "two"), 2, `--nodes "two": must be a whole number`)
	c.wantNothingLeft()
}

func TestMistakesInOptionsAreReportedAllAtOnce(t *testing.T) {
	c := newBench(t)
	r := c.run("up", "--prefix", "Q", "--zones", "a,us-west-2a", "--nodes", "99", "--api-port", "7", "--engine-port", "7", "--without", "edge,controler")
	c.fails(r, 2, `--without "controler": must be one of etcd, kube-apiserver, `, `--prefix "Q"`, `zone "a"`, "--nodes 99", "both 7")
	c.wantNothingLeft()
}
