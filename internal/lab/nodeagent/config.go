// Package nodeagent is the lab's kubelet: it registers a node and runs the pods
// bound to it as processes in namespaces of their own.
//
// It runs inside the node's network namespace, which forwards packets and has
// proxy NDP on at its uplink, and in the mount namespace of the machine, because
// a pod's network namespace is named there. Pure parts live in packages of their
// own: podplan (pod → argv, environment, files), podstate (container states →
// what to do next, PodStatus), probe (results → verdict). Package sandbox is the
// kernel's side, kubeletapi the API server's.
//
// Pods do not outlive their agent. One that starts again removes what the former
// left and runs the pods anew, as after a reboot of the node: restart counts go
// on, addresses are new. Resource limits are accepted and not enforced.
//
// Invariants:
//   - A container's first process is killed by the kernel when the agent dies,
//     and with it its whole PID namespace: no process outlives the agent.
//   - Nothing is mounted on the machine but the names of network namespaces;
//     all other mounts belong to mount namespaces that die with their pods.
//   - A pod's directory <state>/pods/<uid> is there before anything else of the
//     pod and goes last, so that [Clean] finds what a killed agent left: the
//     namespace [NetNS](uid), the link in it, and the directory.
package nodeagent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
)

// Config says which node the agent is and where it finds what it needs.
type Config struct {
	NodeName   string // also the hostname label; such as node-1
	ProviderID string // aws:///us-west-2a/i-0123456789abcdef0
	Region     string // us-west-2
	Zone       string // us-west-2a

	NodeIPs  []netip.Addr   // one per family, the primary first
	PodCIDRs []netip.Prefix // one per family; pods get addresses from them, in the same order
	Uplink   string         // interface towards the VPC, on which pod addresses are answered

	Kubeconfig      string         // credentials of the node
	ClientCAFile    string         // who may call the kubelet API: holders of certificates by this CA
	ServingCertFile string         // certificate of the kubelet API
	ServingKeyFile  string         // its key
	KubeletListen   netip.AddrPort // kubelet API; port 10250 of all addresses in the lab

	ClusterDNS    []netip.Addr // name servers of pods with dnsPolicy ClusterFirst
	ClusterDomain string       // cluster.local

	KubeBinary string // the multi-call binary that holds agnhost
	LabBinary  string // a program with NewCommand and NewNginxCommand in its tree: fairlead-lab itself
	StateDir   string // the agent's own directory; holds pods' volumes and logs

	Logger *slog.Logger
}

// Validate reports every problem of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	for _, f := range c.required() {
		if f.value == "" {
			errs = append(errs, fmt.Errorf("--%s is empty; it must be %s", f.flag, f.want))
		}
	}
	if c.StateDir != "" && !filepath.IsAbs(c.StateDir) {
		errs = append(errs, fmt.Errorf("--state-dir %q is relative; it must be an absolute path", c.StateDir))
	}
	if c.ProviderID != "" && !strings.HasPrefix(c.ProviderID, "aws:///") {
		errs = append(errs, fmt.Errorf("--provider-id %q must have the form aws:///ZONE/i-…", c.ProviderID))
	}
	return errors.Join(append(errs, c.addressProblems()...)...)
}

type requiredField struct{ flag, value, want string }

func (c Config) required() []requiredField {
	return []requiredField{
		{"node-name", c.NodeName, "the name of the Node object"},
		{"provider-id", c.ProviderID, "aws:///ZONE/i-…"},
		{"region", c.Region, "the node's region"},
		{"zone", c.Zone, "the node's zone"},
		{"uplink", c.Uplink, "the interface towards the VPC"},
		{"kubeconfig", c.Kubeconfig, "a kubeconfig file"},
		{"client-ca", c.ClientCAFile, "a PEM file"},
		{"serving-cert", c.ServingCertFile, "a PEM file"},
		{"serving-key", c.ServingKeyFile, "a PEM file"},
		{"kube-binary", c.KubeBinary, "the path of the kube binary"},
		{"lab-binary", c.LabBinary, "the path of fairlead-lab"},
		{"state-dir", c.StateDir, "a directory"},
		{"cluster-domain", c.ClusterDomain, "a domain such as cluster.local"},
	}
}

// addressProblems checks that nodes and pods speak the same families, at most
// one address and one range of each.
func (c Config) addressProblems() []error {
	var errs []error
	if len(c.NodeIPs) == 0 {
		errs = append(errs, errors.New("--node-ip is empty; it must be one address per family"))
	}
	nodeFamily, podFamily := map[bool]bool{}, map[bool]bool{}
	for _, ip := range c.NodeIPs {
		if nodeFamily[ip.Is4()] {
			errs = append(errs, fmt.Errorf("--node-ip %s is the second of its family; one per family is possible", ip))
		}
		nodeFamily[ip.Is4()] = true
	}
	for _, p := range c.PodCIDRs {
		if podFamily[p.Addr().Is4()] {
			errs = append(errs, fmt.Errorf("--pod-cidr %s is the second of its family; one per family is possible", p))
		}
		podFamily[p.Addr().Is4()] = true
		if !nodeFamily[p.Addr().Is4()] {
			errs = append(errs, fmt.Errorf("--pod-cidr %s has no --node-ip of its family", p))
		}
	}
	if len(c.PodCIDRs) == 0 {
		errs = append(errs, errors.New("--pod-cidr is empty; it must be one range per family"))
	}
	return errs
}
