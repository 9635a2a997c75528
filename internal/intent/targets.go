package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// targetSource is where targets come from.
type targetSource interface {
	targetType() lb.TargetType
	defaultPort(p port) uint16
	targets(p port, family lb.IPAddressType) []lb.Target
	// keepsClientAddress says that the group must keep the client's address
	// where AWS would not by default.
	keepsClientAddress() bool
}

// targetSource chooses between pods, instances and the nodes' addresses. Nodes
// off AWS have no instance ID: they are registered by address, and all else is
// as it is with instances.
func (b *builder) targetSource() targetSource {
	if b.podTargets() {
		if len(b.set.nodeLabels) > 0 {
			b.warn(prefixAWS+"target-node-labels", "", "has no effect on ip targets, which are pods", "")
		}
		return podSource{b.in.Slices, b.in.Fit, b.podsWithinQuota}
	}
	b.checkNodePorts()
	nodes := b.withinQuota(b.eligibleNodes())
	instances := slices.ContainsFunc(nodes, func(n *corev1.Node) bool { return InstanceID(n) != "" })
	if !instances && len(nodes) > 0 {
		return addressSource{nodes}
	}
	for _, n := range nodes {
		if InstanceID(n) == "" {
			b.warn("nodes/"+n.Name+" spec.providerID", n.Spec.ProviderID, "names no EC2 instance, unlike other nodes; the node gets no traffic", "")
		}
	}
	return instanceSource{nodes}
}

func (b *builder) checkNodePorts() {
	hint := "let the API server allocate one"
	if !b.classic() {
		hint += ", or set " + prefixAWS + "nlb-target-type to ip"
	}
	for i, p := range b.svc.Spec.Ports {
		if p.NodePort == 0 && (b.only == nil || *b.only == p) {
			b.fail(fmt.Sprintf("spec.ports[%d].nodePort", i), "0", fmt.Sprintf("port %d has no node port, and targets are nodes", p.Port), hint)
		}
	}
}

// Labels and taints that keep a node from being a target.
const (
	taintAutoscaler    = "ToBeDeletedByClusterAutoscaler"
	taintKarpenter     = "karpenter.sh/disrupted"
	taintUninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
)

// eligibleNodes are the nodes that may be targets. A node that is not ready
// stays: its health check says so sooner and more truly than its status.
func (b *builder) eligibleNodes() []*corev1.Node {
	var out []*corev1.Node
	for _, n := range b.in.Nodes {
		if Eligible(n) && hasLabels(n.Labels, b.set.nodeLabels) {
			out = append(out, n)
		}
	}
	return b.choose(out)
}

// Eligible says whether load balancers may send to the node at all.
func Eligible(n *corev1.Node) bool {
	if !n.DeletionTimestamp.IsZero() {
		return false
	}
	// The label excludes unless its value says false, as in the upstream
	// service controller.
	if v, ok := n.Labels[corev1.LabelNodeExcludeBalancers]; ok {
		if excluded, err := strconv.ParseBool(v); err != nil || excluded {
			return false
		}
	}
	return !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == taintAutoscaler || t.Key == taintKarpenter || t.Key == taintUninitialized
	})
}

func hasLabels(labels, want map[string]string) bool {
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// InstanceID is the EC2 instance of a node by its provider ID, such as
// aws:///us-west-2a/i-0123456789abcdef0; "" when it has none.
func InstanceID(n *corev1.Node) string {
	rest, ok := strings.CutPrefix(n.Spec.ProviderID, "aws://")
	if !ok {
		return ""
	}
	id := rest[strings.LastIndex(rest, "/")+1:]
	if hex, ok := strings.CutPrefix(id, "i-"); ok && hex != "" && strings.Trim(hex, "0123456789abcdef") == "" {
		return id
	}
	return ""
}

type instanceSource struct{ nodes []*corev1.Node }

func (instanceSource) targetType() lb.TargetType { return lb.InstanceTarget }
func (instanceSource) defaultPort(p port) uint16 { return orDefault(uint16(p.service.NodePort), 1) }
func (instanceSource) keepsClientAddress() bool  { return false }

func (s instanceSource) targets(p port, _ lb.IPAddressType) []lb.Target {
	var out []lb.Target
	for _, n := range s.nodes {
		if id := InstanceID(n); id != "" {
			out = append(out, lb.Target{ID: id, Port: uint16(p.service.NodePort)})
		}
	}
	return sorted(out)
}

type addressSource struct{ nodes []*corev1.Node }

func (addressSource) targetType() lb.TargetType { return lb.IPTarget }
func (addressSource) defaultPort(p port) uint16 { return orDefault(uint16(p.service.NodePort), 1) }
func (addressSource) keepsClientAddress() bool  { return true }

func (s addressSource) targets(p port, family lb.IPAddressType) []lb.Target {
	var out []lb.Target
	for _, n := range s.nodes {
		for _, a := range n.Status.Addresses {
			addr, err := netip.ParseAddr(a.Address)
			if a.Type == corev1.NodeInternalIP && err == nil && addr.Is6() == (family == lb.IPv6) {
				out = append(out, lb.Target{ID: addr.String(), Port: uint16(p.service.NodePort)})
				break
			}
		}
	}
	return sorted(out)
}

type podSource struct {
	slices []*discoveryv1.EndpointSlice
	fit    map[types.UID]bool
	limit  func([]podTarget) []lb.Target
}

func (podSource) targetType() lb.TargetType { return lb.IPTarget }
func (podSource) keepsClientAddress() bool  { return false }

func (podSource) defaultPort(p port) uint16 {
	if n := p.service.TargetPort.IntValue(); n > 0 {
		return uint16(n)
	}
	return p.number
}

func (s podSource) targets(p port, family lb.IPAddressType) []lb.Target {
	want := discoveryv1.AddressTypeIPv4
	if family == lb.IPv6 {
		want = discoveryv1.AddressTypeIPv6
	}
	var out []podTarget
	for _, slice := range s.slices {
		if slice.AddressType != want {
			continue
		}
		for _, sp := range slice.Ports {
			if sp.Port != nil && deref(sp.Name, "") == p.service.Name && deref(sp.Protocol, corev1.ProtocolTCP) == p.service.Protocol {
				out = append(out, s.ready(slice.Endpoints, uint16(*sp.Port))...)
			}
		}
	}
	return s.limit(out)
}

// ready are the endpoints that take new connections.
func (s podSource) ready(endpoints []discoveryv1.Endpoint, port uint16) []podTarget {
	var out []podTarget
	for _, e := range endpoints {
		if takesConnections(e, s.fit) && len(e.Addresses) > 0 {
			out = append(out, podTarget{lb.Target{ID: e.Addresses[0], Port: port}, deref(e.Zone, "")})
		}
	}
	return out
}

func deref[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

// sorted orders targets and drops repeats: an endpoint may be in two slices for
// a moment.
func sorted(targets []lb.Target) []lb.Target {
	slices.SortFunc(targets, func(a, b lb.Target) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(targets)
}
