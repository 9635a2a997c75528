// Package nodetest starts a real Kubernetes for tests of what runs on nodes:
// the lab's own network, control plane and node agents, without a load
// balancer.
package nodetest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
	"github.com/fairlead-lb/fairlead/internal/lab/pki"
	"github.com/fairlead-lb/fairlead/internal/lab/supervisor"
	"github.com/fairlead-lb/fairlead/internal/netlab"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

// Cluster is a running Kubernetes.
type Cluster struct {
	Layout layout.Layout
	Config component.Config
	Client kubernetes.Interface
	Sup    *supervisor.Supervisor
}

// admin has all rights in the cluster.
const admin = "internal"

// startTimeout is how long a cluster may take to serve on a busy machine.
const startTimeout = 2 * time.Minute

// Start brings up a cluster with one node and removes it when the test ends.
// The test's own binary must answer to the lab's hidden subcommands. Components
// of the given kinds run in addition to the control plane and the node agent.
func Start(t testing.TB, also ...string) *Cluster {
	t.Helper()
	prefix := netlabtest.Prefix(t) // checks for root, too
	zone := layout.RoundRobin([]string{"us-west-2a"}, 1)
	l, err := layout.New(prefix, []string{"us-west-2a"}, zone)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Layout: l, Config: component.Config{
		Layout: l, Dir: component.Dir(t.TempDir()), Cluster: "test", Kube: kube(t), Lab: self, Without: without(also),
	}}
	if err := netlab.Apply(l.Network()); err != nil {
		t.Fatal(err)
	}
	c.issue(t)
	c.connect(t)
	c.Sup = supervisor.New(c.Config.Dir, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { c.stop(t) })
	t.Cleanup(func() { c.showLogs(t) })
	var names []string
	for _, o := range component.All(c.Config) {
		c.Sup.Add(o)
		names = append(names, o.Name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := c.Sup.WaitServing(ctx, names...); err != nil {
		t.Fatal(err)
	}
	return c
}

// without lists the kinds that a test leaves out.
func without(also []string) []string {
	var out []string
	for _, kind := range []string{
		component.ClusterDNS, component.KubeProxy, component.Engine, component.EdgeIdentity,
		component.Edge, component.NodeHelper, component.Controller,
	} {
		wanted := false
		for _, a := range also {
			wanted = wanted || a == kind
		}
		if !wanted {
			out = append(out, kind)
		}
	}
	return out
}

// kube builds the multi-call binary if it is not there yet.
func kube(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for !exists(filepath.Join(dir, "go.mod")) {
		if dir = filepath.Dir(dir); dir == "/" {
			t.Fatal("the test does not run inside the module")
		}
	}
	out, err := exec.Command("bash", filepath.Join(dir, "kube", "build.sh")).Output()
	if err != nil {
		t.Fatalf("build kube: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// issue makes the identities and kubeconfigs of everyone.
func (c *Cluster) issue(t testing.TB) {
	t.Helper()
	dir, now := c.Config.Dir, time.Now()
	ca, err := pki.NewAuthority("test", now)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir.Certificate("ca"), ca.Certificate)
	write(t, dir.Key("ca"), ca.Key)
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir.Key(component.ServiceAccountKey), key)
	node := c.Layout.Nodes[0]
	for file, s := range map[string]pki.Subject{
		"apiserver": {Name: "kube-apiserver", DNSNames: []string{"localhost"}, IPs: []netip.Addr{
			netip.MustParseAddr("127.0.0.1"), layout.Control4, layout.Control6, layout.APIServer}},
		"apiserver-kubelet":              {Name: "kube-apiserver"},
		admin:                            {Name: "admin", Organizations: []string{"system:masters"}},
		component.ControllerManager:      {Name: "system:kube-controller-manager"},
		component.Scheduler:              {Name: "system:kube-scheduler"},
		component.KubeProxy:              {Name: "system:kube-proxy"},
		component.ClusterDNS:             {Name: "cluster-dns"},
		node.Name:                        {Name: "system:node:" + node.Name, Organizations: []string{"system:nodes"}},
		component.ServingName(node.Name): {Name: node.Name, IPs: []netip.Addr{node.IPv4, node.IPv6}},
	} {
		id, err := ca.Issue(s, now)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir.Certificate(file), id.Certificate)
		write(t, dir.Key(file), id.Key)
		write(t, dir.Kubeconfig(file), kubeconfig(t, ca, id))
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func kubeconfig(t testing.TB, ca *pki.Authority, id pki.Identity) []byte {
	t.Helper()
	const name = "test"
	cfg := clientcmdapi.NewConfig()
	cfg.CurrentContext = name
	cfg.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + component.APIServerAddress().String(), CertificateAuthorityData: ca.Certificate}
	cfg.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: id.Certificate, ClientKeyData: id.Key}
	cfg.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ControlNamespace is the network namespace of the control plane.
func (c *Cluster) ControlNamespace() string { return c.Layout.Prefix + layout.ControlNamespace }

// Dial connects from the control namespace.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return netlab.Dial(ctx, c.ControlNamespace(), network, address)
}

// REST returns the administrator's access to the API server.
func (c *Cluster) REST(t testing.TB) *rest.Config {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.Config.Dir.Kubeconfig(admin))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dial = c.Dial
	cfg.QPS = -1
	return cfg
}

// LoopbackREST returns the administrator's access through a port on the host's
// loopback interface, for clients that cannot be told how to connect.
func (c *Cluster) LoopbackREST(t testing.TB) *rest.Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed by the test's end
			}
			go c.carry(conn)
		}
	}()
	cfg := c.REST(t)
	cfg.Dial, cfg.Host = nil, "https://"+l.Addr().String()
	return cfg
}

// carry joins a connection with one to the API server until either ends.
func (c *Cluster) carry(conn net.Conn) {
	defer conn.Close()
	api, err := c.Dial(context.Background(), "tcp", component.APIServerAddress().String())
	if err != nil {
		return
	}
	defer api.Close()
	go func() {
		_, _ = io.Copy(api, conn)
		api.Close()
	}()
	_, _ = io.Copy(conn, api)
}

func (c *Cluster) connect(t testing.TB) {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.REST(t))
	if err != nil {
		t.Fatal(err)
	}
	c.Client = client
}

// Kubectl prepares a kubectl command that runs in the control namespace.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	argv := append([]string{"kubectl", "--kubeconfig", c.Config.Dir.Kubeconfig(admin)}, args...)
	cmd := exec.CommandContext(ctx, c.Config.Kube, argv...)
	cmd.Env = append(os.Environ(), "HOME="+string(c.Config.Dir))
	return cmd
}

// Run runs a command in the control namespace and returns what it printed.
func (c *Cluster) Run(cmd *exec.Cmd) (string, error) {
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := netlab.Start(cmd, c.ControlNamespace(), nil); err != nil {
		return "", err
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, errOut.String())
	}
	return out.String(), nil
}

// stop kills everything, as the lab does when it goes down, and takes away what
// the agents left.
func (c *Cluster) stop(t testing.TB) {
	c.Sup.Stop()
	for _, n := range c.Layout.Nodes {
		if err := nodeagent.Clean(c.Config.Dir.NodeAgent(n.Name)); err != nil {
			t.Error(err)
		}
	}
}

// How many lines of a component's log are looked at, and how many of them are
// shown when the test failed.
const (
	maxRead  = 5000
	maxShown = 15
)

// showLogs shows what the components said if the test failed. It fails if the
// race detector spoke: components may be the test's own program.
func (c *Cluster) showLogs(t testing.TB) {
	for _, s := range c.Sup.Status() {
		lines, err := supervisor.Tail(c.Config.Dir.Log(s.Name), maxRead)
		if err != nil {
			continue
		}
		if race := slices.Index(lines, "WARNING: DATA RACE"); race >= 0 {
			t.Errorf("%s:\n%s", s.Name, strings.Join(lines[race:min(race+60, len(lines))], "\n"))
		}
		if t.Failed() {
			t.Logf("%s (%s):\n%s", s.Name, s.Phase, strings.Join(lines[max(0, len(lines)-maxShown):], "\n"))
		}
	}
}
