package component

import "path/filepath"

// Dir is the lab's state directory: where each component finds its files.
type Dir string

func (d Dir) path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// State is the lab's own record of itself.
func (d Dir) State() string { return d.path("lab.json") }

// ControlSocket is where the supervisor takes requests.
func (d Dir) ControlSocket() string { return d.path("control.sock") }

// Log is the log of a component; the older half is beside it with ".1".
func (d Dir) Log(name string) string { return d.path("log", name+".log") }

// Logs is the directory of all logs.
func (d Dir) Logs() string { return d.path("log") }

// Bin holds the programs for people: kubectl, aws and the like.
func (d Dir) Bin() string { return d.path("bin") }

// BPF is where the lab's own BPF file system is mounted.
func (d Dir) BPF() string { return d.path("bpf") }

// Certificate and Key are the files of an identity.
func (d Dir) Certificate(name string) string { return d.path("pki", name+".crt") }

// Key is the private key that belongs to Certificate.
func (d Dir) Key(name string) string { return d.path("pki", name+".key") }

// Kubeconfig holds the credentials of one client of the API server.
func (d Dir) Kubeconfig(name string) string { return d.path("kubeconfig", name+".yaml") }

// Resolv is the directory with the resolver files of clients and machines.
func (d Dir) Resolv() string { return d.path("resolv") }

// Engine is the engine's directory.
func (d Dir) Engine() string { return d.path("engine") }

// Inventory is the network as the engine sees it.
func (d Dir) Inventory() string { return d.path("engine", "inventory.yaml") }

// IAM holds users, keys and policies of the engine.
func (d Dir) IAM() string { return d.path("engine", "iam.yaml") }

// ControllerPolicy is the policy document that the controller's key carries,
// by the name that IAM refers to it.
func (d Dir) ControllerPolicy() string { return d.path("engine", ControllerPolicyFile) }

// ControllerPolicyFile is the policy's name beside the IAM file.
const ControllerPolicyFile = "controller-policy.json"

// EdgeIdentity is where a zone's edge finds its certificate.
func (d Dir) EdgeIdentity(zone string) string { return d.path("edge", zone, "identity") }

// Edge is the directory of a zone's edge.
func (d Dir) Edge(zone string) string { return d.path("edge", zone, "state") }

// NodeAgent is the directory of a node's agent.
func (d Dir) NodeAgent(node string) string { return d.path("node", node, "agent") }
