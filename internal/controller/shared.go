package controller

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// shared is what all Services of the cluster use together: the subnets, the
// backend security group, and the rule by which the nodes let it in.
//
// The group lives as long as some Service holds it. Nodes have one rule for the
// whole cluster, written once: no Service's coming or going rewrites what the
// others depend on.
type shared struct {
	api     cloud.API
	cluster owner.Cluster
	now     func() time.Time

	// seed are the Services that have our finalizer now, with their rules in the
	// nodes' groups. It is asked once, before anything is released: what another
	// process began must count.
	seed func(context.Context) (map[types.UID][]lb.Rule, error)

	mu        sync.Mutex // held across calls: two creates of one group would collide
	holders   map[types.UID]bool
	needs     map[types.UID]map[lb.Rule]bool // rules in the nodes' groups
	seeded    bool
	backendID string // "" when not known to exist
	lookFirst bool   // it existed once: look for it before making it
	checkedAt time.Time
	nodeIDs   []string // the nodes' groups that let the backend group in

	subnetsMu sync.Mutex
	subnets   []intent.Subnet
	readAt    time.Time
}

func newShared(api cloud.API, cluster string, seed func(context.Context) (map[types.UID][]lb.Rule, error)) *shared {
	return &shared{
		api: api, cluster: owner.Cluster(cluster), seed: seed, now: time.Now,
		holders: map[types.UID]bool{}, needs: map[types.UID]map[lb.Rule]bool{},
	}
}

// sharedAge is how long subnets are believed, and the rest when a Service is
// compared with AWS anyway.
const sharedAge = 10 * time.Minute

// Subnets are the subnets of the VPC, not older than sharedAge.
func (s *shared) Subnets(ctx context.Context) ([]intent.Subnet, error) {
	s.subnetsMu.Lock()
	defer s.subnetsMu.Unlock()
	if s.subnets != nil && s.now().Sub(s.readAt) < sharedAge {
		return s.subnets, nil
	}
	subnets, err := s.api.DescribeSubnets(ctx)
	if err != nil {
		return nil, err
	}
	s.subnets, s.readAt = subnets, s.now()
	return subnets, nil
}

// zone is the zone that an ip target is registered with: AWS wants "all" for an
// address outside the subnets, and nothing for one inside.
func (s *shared) zone(ctx context.Context, id string) (string, error) {
	addr, err := netip.ParseAddr(id)
	if err != nil {
		return "", nil //nolint:nilerr // an instance
	}
	subnets, err := s.Subnets(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range subnets {
		if n.CIDR.Contains(addr) || n.IPv6CIDR.Contains(addr) {
			return "", nil
		}
	}
	return "all", nil
}

// Hold says that a Service uses, or is about to use, the backend group. One that
// used it before this process began tells that the group exists.
func (s *shared) Hold(uid types.UID, before bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holders[uid] = true
	s.lookFirst = s.lookFirst || before
}

// Backend is the ID of the backend group. It makes the group and the nodes'
// rule when they are not known to exist.
func (s *shared) Backend(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backendID != "" {
		return s.backendID, nil
	}
	id, err := s.ensureBackend(ctx)
	if err != nil {
		return "", err
	}
	nodes, err := s.tagged(ctx)
	if err != nil {
		return "", err
	}
	if err := s.admit(ctx, id, nodesOf(nodes)); err != nil {
		return "", err
	}
	s.backendID, s.lookFirst, s.checkedAt = id, true, s.now()
	return id, nil
}

// Peek is the ID of the backend group if there is one. It only reads.
func (s *shared) Peek(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backendID != "" {
		return s.backendID, nil
	}
	return s.findBackend(ctx)
}

func (s *shared) ensureBackend(ctx context.Context) (string, error) {
	if s.lookFirst {
		if id, err := s.findBackend(ctx); err != nil || id != "" {
			return id, err
		}
	}
	return s.createBackend(ctx)
}

func (s *shared) createBackend(ctx context.Context) (string, error) {
	name := s.cluster.BackendName()
	id, err := s.api.CreateSecurityGroup(ctx, lb.SecurityGroup{
		Name: name, Description: "Load balancers of cluster " + string(s.cluster) + ", as the nodes see them", Tags: s.cluster.BackendTags(),
	})
	if !cloud.Is(err, cloud.Duplicate) {
		return id, err
	}
	found, findErr := s.findBackend(ctx)
	if findErr != nil {
		return "", findErr
	}
	if found == "" {
		return "", err // the name is taken by something that is not ours
	}
	return found, nil
}

func (s *shared) findBackend(ctx context.Context) (string, error) {
	groups, err := s.api.DescribeSecurityGroups(ctx, cloud.GroupFilter{Names: []string{s.cluster.BackendName()}})
	if err != nil {
		return "", err
	}
	for _, g := range groups {
		if s.cluster.OwnsShared(g.Tags) {
			return g.ID, nil
		}
	}
	return "", nil
}

// admit adds the rule to each group of the nodes that lacks it.
func (s *shared) admit(ctx context.Context, backend string, nodes []cloud.SecurityGroup) error {
	s.nodeIDs = nil
	for _, g := range nodes {
		if err := s.authorize(ctx, g, []lb.Rule{fromBackend(backend)}); err != nil && !cloud.Is(err, cloud.Duplicate) {
			return err
		}
		s.nodeIDs = append(s.nodeIDs, g.ID)
	}
	return nil
}

// authorize adds those of the rules that a group lacks.
func (s *shared) authorize(ctx context.Context, g cloud.SecurityGroup, rules []lb.Rule) error {
	missing := slices.DeleteFunc(slices.Clone(rules), func(r lb.Rule) bool { return admits(g, r) })
	if len(missing) == 0 {
		return nil
	}
	return s.api.AuthorizeIngress(ctx, g.ID, missing)
}

// fromBackend is the rule on the nodes: everything from the load balancers,
// which themselves let in only what Services ask for.
func fromBackend(backend string) lb.Rule {
	return lb.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, SourceGroup: backend}
}

// tagged are all groups that carry the cluster's tag.
func (s *shared) tagged(ctx context.Context) ([]cloud.SecurityGroup, error) {
	return s.api.DescribeSecurityGroups(ctx, cloud.GroupFilter{TagKey: owner.TagKubernetesCluster + string(s.cluster)})
}

// nodesOf leaves out the groups that are ours.
func nodesOf(groups []cloud.SecurityGroup) []cloud.SecurityGroup {
	return slices.DeleteFunc(slices.Clone(groups), func(g cloud.SecurityGroup) bool { return g.Tags[owner.TagCluster] != "" })
}

// Forget makes what is older than age be read again when it is needed next: a
// call said that it is not as we believe, or it is time to compare.
func (s *shared) Forget(age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.checkedAt) >= age {
		s.backendID, s.nodeIDs = "", nil
	}
	s.subnetsMu.Lock()
	defer s.subnetsMu.Unlock()
	if s.now().Sub(s.readAt) >= age {
		s.subnets = nil
	}
}

// Release says that a Service has nothing in AWS any more. With the last one go
// the nodes' rule and the group. It may be called again after an error.
func (s *shared) Release(ctx context.Context, uid types.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.count(ctx); err != nil {
		return err
	}
	delete(s.holders, uid)
	delete(s.needs, uid)
	if len(s.holders) > 0 {
		return nil
	}
	if s.backendID == "" {
		groups, err := s.tagged(ctx)
		if err != nil {
			return err
		}
		if s.learn(groups); s.backendID == "" {
			return nil
		}
	}
	for _, node := range s.nodeIDs {
		err := s.api.RevokeIngress(ctx, node, []lb.Rule{fromBackend(s.backendID)})
		if err != nil && !cloud.Is(err, cloud.NotFound) {
			return err
		}
	}
	if err := s.api.DeleteSecurityGroup(ctx, s.backendID); err != nil {
		return err
	}
	s.backendID, s.nodeIDs = "", nil
	return nil
}

// Check reads all security groups of the cluster, and repairs the nodes' rule
// when there is a backend group to be let in.
func (s *shared) Check(ctx context.Context) ([]cloud.SecurityGroup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups, err := s.tagged(ctx)
	if err != nil {
		return nil, err
	}
	s.backendID, s.nodeIDs = "", nil
	if s.learn(groups); s.backendID == "" {
		return groups, nil
	}
	if err := s.admit(ctx, s.backendID, nodesOf(groups)); err != nil {
		s.backendID = ""
		return nil, err
	}
	s.checkedAt = s.now()
	return groups, nil
}

// Survey reads all security groups of the cluster in one call when the Service
// is the last one: all of them are looked at then, its own and the shared ones.
func (s *shared) Survey(ctx context.Context, uid types.UID) ([]cloud.SecurityGroup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.count(ctx); err != nil {
		return nil, err
	}
	if len(s.holders) != 1 || !s.holders[uid] || s.backendID != "" {
		return nil, nil
	}
	groups, err := s.tagged(ctx)
	if err != nil {
		return nil, err
	}
	s.learn(groups)
	return groups, nil
}

// learn takes the backend group and the nodes' groups that let it in from all
// groups of the cluster.
func (s *shared) learn(groups []cloud.SecurityGroup) {
	i := slices.IndexFunc(groups, func(g cloud.SecurityGroup) bool {
		return g.Name == s.cluster.BackendName() && s.cluster.OwnsShared(g.Tags)
	})
	if i >= 0 {
		s.backendID = groups[i].ID
		s.nodeIDs = s.admitting(nodesOf(groups), s.backendID)
	}
}

// count makes sure that every Service that may have something in AWS counts,
// also those that this process has not come to yet: a rule that others depend on
// is never revoked on partial knowledge.
func (s *shared) count(ctx context.Context) error {
	if s.seeded {
		return nil
	}
	uids, err := s.seed(ctx)
	if err != nil {
		return err
	}
	for uid, rules := range uids {
		s.holders[uid] = true
		s.need(uid, rules)
	}
	s.seeded = true
	return nil
}

// made says that a group has a rule, and that it is ours: by its description.
func (s *shared) made(g cloud.SecurityGroup, r lb.Rule) bool {
	return slices.Contains(g.Ingress, cloud.IngressRule{Rule: r, Description: s.cluster.RuleDescription()})
}

// admitting are the groups that have our rule.
func (s *shared) admitting(nodes []cloud.SecurityGroup, backend string) []string {
	var out []string
	for _, g := range nodes {
		if s.made(g, fromBackend(backend)) {
			out = append(out, g.ID)
		}
	}
	return out
}
