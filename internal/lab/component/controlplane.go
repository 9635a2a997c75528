package component

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fairlead-lb/fairlead/config"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

// Ports of the control namespace.
const (
	APIServerPort = 6443
	EnginePort    = 7440
	edgePort      = 7441 // where edges call the engine
	dnsPort       = 7453 // the engine's DNS
	metricsPort   = 7480
)

// Domain is the cluster's DNS domain.
const Domain = "cluster.local"

// ServiceAccountKey signs the tokens of service accounts.
const ServiceAccountKey = "service-account"

const etcdURL = "http://127.0.0.1:2379"

// APIServerAddress is where the API server is reached inside the lab.
func APIServerAddress() netip.AddrPort { return netip.AddrPortFrom(layout.Control4, APIServerPort) }

// EngineAddress is where the AWS API is reached inside the lab.
func EngineAddress() netip.AddrPort { return netip.AddrPortFrom(layout.Control4, EnginePort) }

func controlAddress(port uint16) string {
	return netip.AddrPortFrom(layout.Control4, port).String()
}

// etcd keeps no data that outlives the lab, so it does not wait for the disk.
// With a single member an election needs no patience either.
func etcd(c Config) Component {
	o := c.control(Etcd)
	o.Dirs = []string{c.Dir.path("etcd")}
	o.Argv = []string{
		c.Kube, "etcd",
		"--name=default", "--data-dir=" + c.Dir.path("etcd"),
		"--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380",
		"--heartbeat-interval=20", "--election-timeout=200",
		"--unsafe-no-fsync", "--log-level=warn",
	}
	o.Ready = Probe{URL: etcdURL + "/readyz"}
	return o
}

func apiServer(c Config) Component {
	o := c.control(APIServer)
	o.After = []string{Etcd}
	o.Argv = []string{
		c.Kube, "kube-apiserver",
		"--etcd-servers=" + etcdURL,
		"--bind-address=::", fmt.Sprintf("--secure-port=%d", APIServerPort),
		"--advertise-address=" + layout.Control4.String(),
		fmt.Sprintf("--service-cluster-ip-range=%s,%s", layout.Services4, layout.Services6),
		"--tls-cert-file=" + c.Dir.Certificate("apiserver"), "--tls-private-key-file=" + c.Dir.Key("apiserver"),
		"--client-ca-file=" + c.Dir.Certificate("ca"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc." + Domain,
		"--service-account-key-file=" + c.Dir.Key(ServiceAccountKey),
		"--service-account-signing-key-file=" + c.Dir.Key(ServiceAccountKey),
		"--kubelet-certificate-authority=" + c.Dir.Certificate("ca"),
		"--kubelet-client-certificate=" + c.Dir.Certificate("apiserver-kubelet"),
		"--kubelet-client-key=" + c.Dir.Key("apiserver-kubelet"),
		"--kubelet-preferred-address-types=InternalIP",
		"--profiling=false",
	}
	o.Ready = Probe{URL: fmt.Sprintf("https://127.0.0.1:%d/readyz", APIServerPort)}
	return o
}

// controllerManager runs all controllers that need no cloud. The built-in one
// for load balancers needs one and is therefore off. Controllers get their
// service accounts one after the other; at the default of 20 calls a second
// the last of them would start five seconds after the first.
func controllerManager(c Config) Component {
	o := c.control(ControllerManager)
	o.After = []string{APIServer}
	o.Argv = []string{
		c.Kube, "kube-controller-manager",
		"--kubeconfig=" + c.Dir.Kubeconfig(ControllerManager),
		"--bind-address=127.0.0.1", "--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.Dir.Key(ServiceAccountKey),
		"--root-ca-file=" + c.Dir.Certificate("ca"),
		"--cluster-signing-cert-file=" + c.Dir.Certificate("ca"), "--cluster-signing-key-file=" + c.Dir.Key("ca"),
		"--allocate-node-cidrs=false",
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--profiling=false",
	}
	o.Ready = Probe{URL: "https://127.0.0.1:10257/healthz"}
	return o
}

func scheduler(c Config) Component {
	o := c.control(Scheduler)
	o.After = []string{APIServer}
	o.Argv = []string{
		c.Kube, "kube-scheduler",
		"--kubeconfig=" + c.Dir.Kubeconfig(Scheduler),
		"--bind-address=127.0.0.1", "--leader-elect=false",
		"--profiling=false",
	}
	o.Ready = Probe{URL: "https://127.0.0.1:10259/readyz"}
	return o
}

// ControllerUser is whom the controller's published roles are for.
const ControllerUser = "system:serviceaccount:kube-system:fairlead-controller"

// bootstrap gives the lab's own clients of the API server their rights, and the
// controller the published ones.
func bootstrap(c Config) Component {
	o := c.control(Bootstrap)
	o.After = []string{APIServer}
	o.Once = true
	manifest := c.Dir.path("bootstrap.yaml")
	o.Files = []File{{manifest, bootstrapObjects + "---\n" + config.ControllerRBAC}}
	o.Argv = []string{
		c.Kube, "kubectl", "--kubeconfig=" + c.Dir.Kubeconfig("internal"),
		"apply", "--server-side", "--validate=false", "-f", manifest,
	}
	return o
}

func clusterDNS(c Config) Component {
	o := c.control(ClusterDNS)
	o.After = []string{Bootstrap}
	o.Argv = []string{
		c.Lab, "cluster-dns",
		"--kubeconfig=" + c.Dir.Kubeconfig(ClusterDNS),
		fmt.Sprintf("--listen=%s,%s", netip.AddrPortFrom(layout.Control4, 53), netip.AddrPortFrom(layout.Control6, 53)),
		"--domain=" + Domain,
		fmt.Sprintf("--service-ip=%s,%s", layout.DNS4, layout.DNS6),
		"--engine=" + controlAddress(dnsPort),
		"--region=" + c.Layout.Region,
	}
	o.Ready = Probe{TCP: controlAddress(53)}
	return o
}

// Resolver is the content of resolv.conf for machines other than pods.
func Resolver() string {
	return fmt.Sprintf("nameserver %s\noptions timeout:2 attempts:3\n", layout.Control4)
}

// bootstrapObjects are the rights of cluster DNS, and of the API server at
// kubelets.
var bootstrapObjects = strings.TrimLeft(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: fairlead-lab:cluster-dns}
rules:
- apiGroups: [""]
  resources: [services, nodes, pods, namespaces]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [create, update, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, update, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: fairlead-lab:cluster-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fairlead-lab:cluster-dns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: cluster-dns}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: fairlead-lab:kubelet-api}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:kubelet-api-admin"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: kube-apiserver}]
`, "\n")
