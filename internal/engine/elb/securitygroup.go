package elb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// defaultGroup is the VPC's group named default, which a load balancer without
// groups gets; none when the VPC has no such group.
func defaultGroup(r store.Reader, network *inventory.Index, vpc string) []string {
	for _, g := range network.SecurityGroups {
		if g.VPCID == vpc && g.GroupName == "default" {
			return []string{g.GroupID}
		}
	}
	if g, ok := state.SecurityGroupsByName.First(r, vpc+"/default"); ok {
		return []string{g.GroupID}
	}
	return nil
}

func (s *Service) checkSecurityGroups(r store.Reader, network *inventory.Index, b state.ClassicLoadBalancer) error {
	if len(b.SecurityGroups) > s.Quotas.SecurityGroups {
		return conflict("A load balancer cannot have more than %d security groups", s.Quotas.SecurityGroups)
	}
	return balancing.CheckSecurityGroups(r, network, b.VPCID, b.SecurityGroups)
}

func (s *Service) applySecurityGroups(ctx context.Context, in *elb.ApplySecurityGroupsToLoadBalancerInput) (*elb.ApplySecurityGroupsToLoadBalancerOutput, error) {
	keys := balancing.Conditions{}
	if len(in.SecurityGroups) > 0 {
		keys[balancing.KeyPrefix+"SecurityGroup"] = in.SecurityGroups
	}
	b, err := s.edit(ctx, balancing.Action{Name: "ApplySecurityGroupsToLoadBalancer", Keys: keys}, in.LoadBalancerName, func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		if len(in.SecurityGroups) == 0 {
			return conflict("At least one security group must be specified")
		}
		b.SecurityGroups = balancing.Distinct(in.SecurityGroups)
		return s.checkSecurityGroups(tx, s.Network(), *b)
	})
	if err != nil {
		return nil, err
	}
	return &elb.ApplySecurityGroupsToLoadBalancerOutput{SecurityGroups: b.SecurityGroups}, nil
}

// Where the traffic of a load balancer without groups comes from, in the words
// that AWS has for it.
const (
	sharedOwner = "amazon-elb"
	sharedGroup = "amazon-elb-sg"
)

// sourceGroup is the group that instances should let in: the first of the load
// balancer's.
func (s *Service) sourceGroup(r store.Reader, network *inventory.Index, b state.ClassicLoadBalancer) *types.SourceSecurityGroup {
	if len(b.SecurityGroups) == 0 {
		return &types.SourceSecurityGroup{OwnerAlias: aws.String(sharedOwner), GroupName: aws.String(sharedGroup)}
	}
	name := b.SecurityGroups[0]
	if g, ok := state.SecurityGroups.Get(r, name); ok {
		name = g.GroupName
	} else if g, ok := network.SecurityGroup(name); ok {
		name = g.GroupName
	}
	return &types.SourceSecurityGroup{OwnerAlias: &s.AccountID, GroupName: &name}
}
