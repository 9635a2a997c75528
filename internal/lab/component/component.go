// Package component says what the programs of the lab are: for each, a pure
// function from the lab's configuration to what to run, where, with which
// files, after what, and how to tell that it serves. Package supervisor runs
// them; nothing here does.
package component

import (
	"slices"

	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

// Component is one program of the lab.
type Component struct {
	Kind      string   // what it is, such as kube-proxy
	Name      string   // kind, and place if there are several: kube-proxy-node-1
	Namespace string   // network namespace that it runs in
	Argv      []string // Argv[0] is a path
	Env       []string // beside PATH and HOME, which all components have
	Files     []File   // written before each start
	Dirs      []string // made before each start, readable by root only
	After     []string // names of components that must be ready before
	Ready     Probe
	Once      bool // runs to its end; ready when it has ended with exit code 0
}

// File is a file that a component reads.
type File struct {
	Path    string
	Content string
}

// Probe tells whether a component serves. It is asked from within the
// component's namespace. The zero Probe is content with a running process.
type Probe struct {
	URL string // answers with a status below 400; certificates are not verified
	TCP string // address and port that accept connections
}

// Kinds of components.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Bootstrap         = "bootstrap"
	ClusterDNS        = "cluster-dns"
	KubeProxy         = "kube-proxy"
	NodeAgent         = "node-agent"
	Engine            = "engine"
	EdgeIdentity      = "edge-identity"
	Edge              = "edge"
	NodeHelper        = "node-helper"
	Controller        = "controller"
)

// Kinds are all of them, for whoever chooses among them.
func Kinds() []string {
	return []string{
		Etcd, APIServer, ControllerManager, Scheduler, Bootstrap, ClusterDNS, KubeProxy, NodeAgent,
		Engine, EdgeIdentity, Edge, NodeHelper, Controller,
	}
}

// Config is what components are made from.
type Config struct {
	Layout  layout.Layout
	Dir     Dir
	Cluster string // name of the cluster in tags

	Kube     string // path of the multi-call Kubernetes binary
	Fairlead string // path of fairlead
	Lab      string // path of fairlead-lab

	Controller Credentials // of the controller at the engine

	Without []string // kinds that are left out
}

// Credentials are an access key of the engine.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// All lists every component of the lab.
func All(c Config) []Component {
	all := []Component{
		etcd(c), apiServer(c), controllerManager(c), scheduler(c), bootstrap(c), clusterDNS(c),
		engine(c), controller(c),
	}
	for _, z := range c.Layout.Zones {
		all = append(all, edgeIdentity(c, z), edge(c, z))
	}
	for _, n := range c.Layout.Nodes {
		all = append(all, nodeComponents(c, n)...)
	}
	return c.keep(all)
}

// OfNode lists the components that come and go with a node.
func OfNode(c Config, n layout.Node) []Component { return c.keep(nodeComponents(c, n)) }

func nodeComponents(c Config, n layout.Node) []Component {
	return []Component{nodeAgent(c, n), kubeProxy(c, n), nodeHelper(c, n)}
}

// keep drops what is left out, and what others would wait for in vain.
func (c Config) keep(all []Component) []Component {
	without := func(name string) bool {
		return slices.ContainsFunc(all, func(o Component) bool { return o.Name == name && slices.Contains(c.Without, o.Kind) })
	}
	var kept []Component
	for _, o := range all {
		if slices.Contains(c.Without, o.Kind) {
			continue
		}
		o.After = slices.DeleteFunc(o.After, without)
		kept = append(kept, o)
	}
	return kept
}

// named sets kind and name.
func named(kind, place string) Component {
	if place == "" {
		return Component{Kind: kind, Name: kind}
	}
	return Component{Kind: kind, Name: kind + "-" + place}
}

// control is a component of the control namespace.
func (c Config) control(kind string) Component {
	o := named(kind, "")
	o.Namespace = c.Layout.Prefix + layout.ControlNamespace
	return o
}
