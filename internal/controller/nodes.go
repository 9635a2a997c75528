package controller

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// A load balancer without security groups has its clients let in by rules in the
// nodes' own groups. Several Services may need the same rule, pods' port 80 from
// everywhere say: it goes with the last that needs it.

// AdmitClients adds the rules that a Service needs to each group of the nodes
// that lacks them.
func (s *shared) AdmitClients(ctx context.Context, uid types.UID, rules []lb.Rule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.need(uid, rules)
	groups, err := s.tagged(ctx)
	if err != nil {
		return err
	}
	for _, g := range nodesOf(groups) {
		if err := s.authorize(ctx, g, rules); err != nil {
			return err
		}
	}
	return nil
}

// ShutOutClients revokes rules that a Service no longer needs, those that are
// ours and that no other Service needs. It may be called again after an error.
func (s *shared) ShutOutClients(ctx context.Context, uid types.UID, rules []lb.Rule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.count(ctx); err != nil {
		return err
	}
	for _, r := range rules {
		delete(s.needs[uid], r)
	}
	groups, err := s.tagged(ctx)
	if err != nil {
		return err
	}
	for _, g := range nodesOf(groups) {
		needless := slices.DeleteFunc(slices.Clone(rules), func(r lb.Rule) bool { return s.needed(r) || !s.made(g, r) })
		if len(needless) == 0 {
			continue
		}
		if err := s.api.RevokeIngress(ctx, g.ID, needless); err != nil && !cloud.Is(err, cloud.NotFound) {
			return err
		}
	}
	return nil
}

// Unclaimed are the rules of ours that none of the other Services needs, as far
// as is known of all of them.
func (s *shared) Unclaimed(ctx context.Context, others map[types.UID][]lb.Rule) ([]lb.Rule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups, err := s.tagged(ctx)
	if err != nil {
		return nil, err
	}
	claimed := map[lb.Rule]bool{}
	for uid, rules := range others {
		for _, r := range rules {
			claimed[r] = true
		}
		maps.Copy(claimed, s.needs[uid])
	}
	var out []lb.Rule
	for _, g := range nodesOf(groups) {
		out = withRules(out, s.unclaimed(g, claimed))
	}
	return out, nil
}

// unclaimed are the rules for clients in a group that are ours and not claimed.
func (s *shared) unclaimed(g cloud.SecurityGroup, claimed map[lb.Rule]bool) (out []lb.Rule) {
	for _, r := range g.Ingress {
		if r.Description == s.cluster.RuleDescription() && r.SourceGroup == "" && !claimed[r.Rule] {
			out = append(out, r.Rule)
		}
	}
	return out
}

// recoverRules are the rules in the nodes' groups that must be those of a Service
// whose record is lost: they are ours, and on no other Service's record. While
// another record is lost too, nobody knows.
func (r *Reconciler) recoverRules(ctx context.Context, svc *corev1.Service) ([]lb.Rule, error) {
	all, err := held(ctx, r.client)
	if err != nil {
		return nil, err
	}
	others := map[types.UID][]lb.Rule{}
	for i := range all {
		if all[i].UID == svc.UID {
			continue
		}
		rec, ok := readRecord(&all[i])
		if !ok {
			return nil, nil
		}
		others[all[i].UID] = rec.NodeRules
	}
	return r.shared.Unclaimed(ctx, others)
}

func (s *shared) need(uid types.UID, rules []lb.Rule) {
	if s.needs[uid] == nil {
		s.needs[uid] = map[lb.Rule]bool{}
	}
	for _, r := range rules {
		s.needs[uid][r] = true
	}
}

// needed says that some Service needs a rule.
func (s *shared) needed(r lb.Rule) bool {
	for _, rules := range s.needs {
		if rules[r] {
			return true
		}
	}
	return false
}

func admits(g cloud.SecurityGroup, r lb.Rule) bool {
	return slices.ContainsFunc(g.Ingress, func(have cloud.IngressRule) bool { return have.Rule == r })
}

// nodeRules are the rules in the nodes' groups that are the Service's: of those
// that it wants the ones in every group, of those that it had before the ones of
// ours in some group.
func (o *observer) nodeRules(ctx context.Context) ([]lb.Rule, error) {
	if len(o.want.NodeRules)+len(o.rec.NodeRules) == 0 {
		return nil, nil
	}
	groups, err := o.securityGroups(ctx, cloud.GroupFilter{TagKey: owner.TagKubernetesCluster + o.owner.Cluster})
	if err != nil {
		return nil, err
	}
	nodes := nodesOf(groups)
	var out []lb.Rule
	for _, r := range o.want.NodeRules {
		if !slices.ContainsFunc(nodes, func(g cloud.SecurityGroup) bool { return !admits(g, r) }) {
			out = append(out, r)
		}
	}
	for _, r := range o.rec.NodeRules {
		if !slices.Contains(o.want.NodeRules, r) && slices.ContainsFunc(nodes, func(g cloud.SecurityGroup) bool { return o.shared.made(g, r) }) {
			out = append(out, r)
		}
	}
	return out, nil
}
