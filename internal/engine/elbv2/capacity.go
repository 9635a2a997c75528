package elbv2

import (
	"context"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// A reservation is kept and reported as provisioned: edges here are machines of
// their own, whose capacity is there in any case.

// decreasesPerDay is how often AWS lets a reservation shrink in a day. Here
// nothing has to be given back, so the number never falls.
const decreasesPerDay = 2

func (s *Service) describeCapacityReservation(ctx context.Context, in *elb.DescribeCapacityReservationInput) (*elb.DescribeCapacityReservationOutput, error) {
	if err := s.AllowAll(ctx, "DescribeCapacityReservation"); err != nil {
		return nil, err
	}
	b, err := balancer(s.DB.Current(), in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeCapacityReservationOutput{
		CapacityReservationState: reservationState(b), MinimumLoadBalancerCapacity: minimumCapacity(b),
		DecreaseRequestsRemaining: aws.Int32(decreasesPerDay),
	}, nil
}

func (s *Service) modifyCapacityReservation(ctx context.Context, in *elb.ModifyCapacityReservationInput) (*elb.ModifyCapacityReservationOutput, error) {
	b, err := s.editBalancer(ctx, balancing.Action{Name: "ModifyCapacityReservation"}, in.LoadBalancerArn, func(_ *store.Tx, b *state.LoadBalancer) error {
		switch {
		case aws.ToBool(in.ResetCapacityReservation):
			b.CapacityUnits = 0
			return nil
		case in.MinimumLoadBalancerCapacity == nil || in.MinimumLoadBalancerCapacity.CapacityUnits == nil:
			return invalid("You must specify either a minimum load balancer capacity or a reset of the capacity reservation")
		}
		b.CapacityUnits = *in.MinimumLoadBalancerCapacity.CapacityUnits
		return balancing.CheckRange("minimumLoadBalancerCapacity.capacityUnits", &b.CapacityUnits, 0, math.MaxInt32)
	})
	if err != nil {
		return nil, err
	}
	return &elb.ModifyCapacityReservationOutput{
		CapacityReservationState: reservationState(b), MinimumLoadBalancerCapacity: minimumCapacity(b),
		DecreaseRequestsRemaining: aws.Int32(decreasesPerDay),
	}, nil
}

func minimumCapacity(b state.LoadBalancer) *types.MinimumLoadBalancerCapacity {
	if b.CapacityUnits == 0 {
		return nil
	}
	return &types.MinimumLoadBalancerCapacity{CapacityUnits: aws.Int32(b.CapacityUnits)}
}

// reservationState shares the units out among the zones, as AWS does.
func reservationState(b state.LoadBalancer) []types.ZonalCapacityReservationState {
	if b.CapacityUnits == 0 {
		return []types.ZonalCapacityReservationState{}
	}
	units := float64(b.CapacityUnits) / float64(len(b.Zones))
	return balancing.Convert(b.Zones, func(z state.ZoneMapping) types.ZonalCapacityReservationState {
		return types.ZonalCapacityReservationState{
			AvailabilityZone: &z.Zone, EffectiveCapacityUnits: &units,
			State: &types.CapacityReservationStatus{Code: types.CapacityReservationStateEnumProvisioned},
		}
	})
}
