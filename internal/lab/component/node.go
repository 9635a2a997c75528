package component

import (
	"fmt"

	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

func (c Config) onNode(kind string, n layout.Node) Component {
	o := named(kind, n.Name)
	o.Namespace = c.Layout.Prefix + n.Name
	return o
}

func nodeAgent(c Config, n layout.Node) Component {
	o := c.onNode(NodeAgent, n)
	o.After = []string{APIServer}
	state := c.Dir.NodeAgent(n.Name)
	o.Dirs = []string{state}
	o.Argv = []string{
		c.Lab, "node-agent",
		"--node-name=" + n.Name, "--provider-id=" + n.ProviderID(),
		"--region=" + c.Layout.Region, "--zone=" + n.Zone,
		fmt.Sprintf("--node-ip=%s,%s", n.IPv4, n.IPv6),
		fmt.Sprintf("--pod-cidr=%s,%s", n.Pods4, n.Pods6),
		"--uplink=" + layout.Uplink,
		"--kubeconfig=" + c.Dir.Kubeconfig(n.Name),
		"--listen=[::]:10250",
		"--client-ca=" + c.Dir.Certificate("ca"),
		"--serving-cert=" + c.Dir.Certificate(ServingName(n.Name)), "--serving-key=" + c.Dir.Key(ServingName(n.Name)),
		fmt.Sprintf("--cluster-dns=%s,%s", layout.DNS4, layout.DNS6), "--cluster-domain=" + Domain,
		"--kube-binary=" + c.Kube, "--lab-binary=" + c.Lab,
		"--state-dir=" + state,
	}
	o.Ready = Probe{TCP: n.IPv4.String() + ":10250"}
	return o
}

// ServingName is the identity that a node's kubelet API shows.
func ServingName(node string) string { return node + "-serving" }

// kubeProxy masquerades what comes to a Service from outside the node's own
// pods and would leave the node, as the real one does on a cluster whose pods
// have addresses of the VPC.
func kubeProxy(c Config, n layout.Node) Component {
	o := c.onNode(KubeProxy, n)
	o.After = []string{APIServer}
	config := c.Dir.path("node", n.Name, "kube-proxy.yaml")
	o.Files = []File{{config, kubeProxyConfig(c, n)}}
	o.Argv = []string{c.Kube, "kube-proxy", "--config=" + config}
	o.Ready = Probe{URL: "http://127.0.0.1:10256/livez"}
	return o
}

// kubeProxyConfig leaves the conntrack table's size and the timeouts of the
// whole machine alone: in a network namespace they are read-only. A shorter
// sync period than the default second keeps changes quick.
func kubeProxyConfig(c Config, n layout.Node) string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
hostnameOverride: %s
clientConnection: {kubeconfig: %s}
mode: nftables
nftables: {minSyncPeriod: 100ms, syncPeriod: 30s}
clusterCIDR: %s,%s
detectLocalMode: ClusterCIDR
healthzBindAddress: "[::]:10256"
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`, n.Name, c.Dir.Kubeconfig(KubeProxy), n.Pods4, n.Pods6)
}
