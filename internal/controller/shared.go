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

	mu        sync.Mutex // held across calls: two creates of one group would collide
	holders   map[types.UID]bool
	backendID string   // "" when not known to exist
	nodeIDs   []string // the nodes' groups that let the backend group in

	subnetsMu sync.Mutex
	subnets   []intent.Subnet
	readAt    time.Time
}

func newShared(api cloud.API, cluster string) *shared {
	return &shared{api: api, cluster: owner.Cluster(cluster), now: time.Now, holders: map[types.UID]bool{}}
}

// subnetsAge is how long subnets are believed.
const subnetsAge = 10 * time.Minute

// Subnets are the subnets of the VPC, not older than subnetsAge.
func (s *shared) Subnets(ctx context.Context) ([]intent.Subnet, error) {
	s.subnetsMu.Lock()
	defer s.subnetsMu.Unlock()
	if s.subnets != nil && s.now().Sub(s.readAt) < subnetsAge {
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
		return "", nil // an instance
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

// Hold says that a Service uses, or is about to use, the backend group.
func (s *shared) Hold(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holders[uid] = true
}

// Backend is the ID of the backend group. It makes the group and the nodes'
// rule when they are not known to exist.
func (s *shared) Backend(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backendID != "" {
		return s.backendID, nil
	}
	id, err := s.createBackend(ctx)
	if err != nil {
		return "", err
	}
	if err := s.admit(ctx, id); err != nil {
		return "", err
	}
	s.backendID = id
	return id, nil
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
	groups, err := s.api.DescribeSecurityGroups(ctx, cloud.GroupFilter{Name: s.cluster.BackendName()})
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
func (s *shared) admit(ctx context.Context, backend string) error {
	nodes, err := s.nodeGroups(ctx)
	if err != nil {
		return err
	}
	s.nodeIDs = nil
	for _, g := range nodes {
		if !slices.ContainsFunc(g.Ingress, func(r cloud.IngressRule) bool { return r.Rule == fromBackend(backend) }) {
			err := s.api.AuthorizeIngress(ctx, g.ID, []lb.Rule{fromBackend(backend)})
			if err != nil && !cloud.Is(err, cloud.Duplicate) {
				return err
			}
		}
		s.nodeIDs = append(s.nodeIDs, g.ID)
	}
	return nil
}

// fromBackend is the rule on the nodes: everything from the load balancers,
// which themselves let in only what Services ask for.
func fromBackend(backend string) lb.Rule {
	return lb.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, SourceGroup: backend}
}

// nodeGroups are the groups that carry the cluster's tag and are not ours.
func (s *shared) nodeGroups(ctx context.Context) ([]cloud.SecurityGroup, error) {
	groups, err := s.api.DescribeSecurityGroups(ctx, cloud.GroupFilter{TagKey: owner.TagKubernetesCluster + string(s.cluster)})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(groups, func(g cloud.SecurityGroup) bool { return g.Tags[owner.TagCluster] != "" }), nil
}

// Forget makes the next Backend look again: a call said that the group that we
// believed in is not there.
func (s *shared) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backendID, s.nodeIDs = "", nil
	s.subnetsMu.Lock()
	defer s.subnetsMu.Unlock()
	s.subnets = nil
}

// Release says that a Service has nothing in AWS any more. With the last one go
// the nodes' rule and the group. It may be called again after an error.
func (s *shared) Release(ctx context.Context, uid types.UID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.holders, uid)
	if len(s.holders) > 0 {
		return nil
	}
	if s.backendID == "" {
		id, err := s.findBackend(ctx)
		if err != nil || id == "" {
			return err
		}
		nodes, err := s.nodeGroups(ctx)
		if err != nil {
			return err
		}
		s.backendID, s.nodeIDs = id, s.admitting(nodes, id)
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

// admitting are the groups that have our rule, by its description as well.
func (s *shared) admitting(nodes []cloud.SecurityGroup, backend string) []string {
	var out []string
	for _, g := range nodes {
		if slices.Contains(g.Ingress, cloud.IngressRule{Rule: fromBackend(backend), Description: s.cluster.RuleDescription()}) {
			out = append(out, g.ID)
		}
	}
	return out
}
