package intent

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Quotas of targets (NLB user guide, quotas). A target counts once for each
// target group that it is in. With cross-zone load balancing the quota of a
// zone is that of all zones together.
const (
	targetsPerGroup    = 1000
	targetsPerBalancer = 3000
	targetsPerZone     = 500
)

// nodeChoice says which nodes are targets.
type nodeChoice string

const (
	allNodes      nodeChoice = "all"
	withEndpoints nodeChoice = "with-endpoints"
)

const keyTargetNodes = prefixFairlead + "target-nodes"

// choiceRow is the annotation that leaves out nodes without endpoints.
func choiceRow() Annotation {
	return Annotation{Key: keyTargetNodes, Kinds: forBoth, Value: "all | with-endpoints; with externalTrafficPolicy Local, nodes without a ready pod can be left out. On AWS a target takes minutes to join: while all nodes are targets, a pod that moves is served as soon as its node's health check passes", Default: string(allNodes), Change: inPlace, Example: string(withEndpoints),
		read: enum(func(s *settings) *nodeChoice { return &s.nodes }, allNodes, withEndpoints)}
}

// serving are the nodes that have a ready endpoint of the Service.
func (b *builder) serving() map[string]bool {
	out := map[string]bool{}
	for _, s := range b.in.Slices {
		for _, e := range s.Endpoints {
			if name := deref(e.NodeName, ""); name != "" && deref(e.Conditions.Ready, true) {
				out[name] = true
			}
		}
	}
	return out
}

func (b *builder) local() bool {
	return b.svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// choose leaves out nodes without endpoints when the user says so.
func (b *builder) choose(nodes []*corev1.Node) []*corev1.Node {
	switch {
	case b.set.nodes != withEndpoints:
		return nodes
	case !b.local():
		b.warn(keyTargetNodes, string(withEndpoints), "has no effect: without externalTrafficPolicy Local every node serves", "set spec.externalTrafficPolicy to Local")
		return nodes
	}
	serving := b.serving()
	return slices.DeleteFunc(nodes, func(n *corev1.Node) bool { return !serving[n.Name] })
}

// candidate is what may become a target.
type candidate struct {
	key    string // stays the same while the candidate lives
	zone   string
	serves bool // sooner than others
	rank   uint64
}

// room is how many targets a group may have, per zone and in all. A tenth is
// left for targets that come before others have gone.
func (b *builder) room(groups int) (perZone, total int) {
	groups = max(groups, 1)
	perZone, total = targetsPerZone/groups, min(targetsPerGroup, targetsPerBalancer/groups)
	crossing := b.set.lbAttributes[lb.AttrCrossZone] == "true" || b.set.groupAttributes[lb.AttrCrossZone] == "true"
	for _, attrs := range b.set.portAttributes {
		crossing = crossing || attrs[lb.AttrCrossZone] == "true"
	}
	if crossing {
		total = min(total, perZone)
	}
	return max(perZone*9/10, 1), max(total*9/10, 1)
}

// subset are the candidates that there is room for. Who is chosen depends on the
// Service and the candidate alone: when one comes or goes, the others stay, and
// Services divide a cluster among them.
func (b *builder) subset(all []candidate, what string) map[string]bool {
	perZone, total := b.room(b.groups)
	ranked := slices.Clone(all)
	for i := range ranked {
		ranked[i].rank = b.rank(ranked[i].key)
	}
	slices.SortFunc(ranked, func(x, y candidate) int {
		if x.serves != y.serves {
			return map[bool]int{true: -1, false: 1}[x.serves]
		}
		return cmp.Or(cmp.Compare(x.rank, y.rank), strings.Compare(x.key, y.key))
	})
	chosen, inZone := map[string]bool{}, map[string]int{}
	for _, c := range ranked {
		if inZone[c.zone] < perZone && len(chosen) < total {
			chosen[c.key] = true
			inZone[c.zone]++
		}
	}
	if len(chosen) < len(all) {
		b.warn("spec.ports", "", fmt.Sprintf("%d of %d %s are targets: a load balancer has quotas of targets, by its zones and target groups", len(chosen), len(all), what), "")
	}
	return chosen
}

func (b *builder) rank(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(string(b.svc.UID) + "/" + key))
	return h.Sum64()
}

// withinQuota leaves out nodes that there is no room for. With policy Local those
// that have endpoints come first: the others take nothing.
func (b *builder) withinQuota(nodes []*corev1.Node) []*corev1.Node {
	serving := map[string]bool{}
	if b.local() {
		serving = b.serving()
	}
	all := make([]candidate, len(nodes))
	for i, n := range nodes {
		all[i] = candidate{key: n.Name, zone: zoneOf(n), serves: serving[n.Name]}
	}
	chosen := b.subset(all, "nodes")
	return slices.DeleteFunc(nodes, func(n *corev1.Node) bool { return !chosen[n.Name] })
}

// zoneOf is a node's zone: by its label, or by its provider ID.
func zoneOf(n *corev1.Node) string {
	if zone := n.Labels[corev1.LabelTopologyZone]; zone != "" {
		return zone
	}
	rest, _ := strings.CutPrefix(n.Spec.ProviderID, "aws:///")
	zone, _, _ := strings.Cut(rest, "/")
	return zone
}

// podTarget is an endpoint with its zone.
type podTarget struct {
	lb.Target
	zone string
}

// podsWithinQuota leaves out endpoints that there is no room for.
func (b *builder) podsWithinQuota(pods []podTarget) []lb.Target {
	var all []candidate
	seen := map[string]bool{}
	for _, p := range pods {
		if !seen[p.ID] {
			seen[p.ID] = true
			all = append(all, candidate{key: p.ID, zone: p.zone})
		}
	}
	chosen := b.subset(all, "pods")
	var out []lb.Target
	for _, p := range pods {
		if chosen[p.ID] {
			out = append(out, p.Target)
		}
	}
	return sorted(out)
}
