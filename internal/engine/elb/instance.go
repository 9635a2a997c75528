package elb

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/zonal"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

func instanceIDs(list []types.Instance) []string {
	return balancing.Distinct(balancing.Convert(list, func(i types.Instance) string { return aws.ToString(i.InstanceId) }))
}

// registered lists the instances of a load balancer but those that leave.
func registered(r store.Reader, arn string) []types.Instance {
	list := []types.Instance{}
	for i := range state.InstancesOfClassic(r, arn) {
		if i.DrainUntil.IsZero() {
			list = append(list, types.Instance{InstanceId: &i.InstanceID})
		}
	}
	return list
}

// editInstances authorises action, changes the instances of a load balancer and
// returns those that it has then.
func (s *Service) editInstances(ctx context.Context, action string, name *string, change func(*store.Tx, state.ClassicLoadBalancer) error) ([]types.Instance, error) {
	if err := s.AllowOn(ctx, action, s.arn(*name)); err != nil {
		return nil, err
	}
	return state.Update(s.DB, func(tx *store.Tx) ([]types.Instance, error) {
		b, err := s.balancer(tx, name)
		if err != nil {
			return nil, err
		}
		if err := change(tx, b); err != nil {
			return nil, err
		}
		return registered(tx, b.ARN), nil
	})
}

func (s *Service) registerInstances(ctx context.Context, in *elb.RegisterInstancesWithLoadBalancerInput) (*elb.RegisterInstancesWithLoadBalancerOutput, error) {
	network, now := s.Network(), s.Now().UTC()
	list, err := s.editInstances(ctx, "RegisterInstancesWithLoadBalancer", in.LoadBalancerName, func(tx *store.Tx, b state.ClassicLoadBalancer) error {
		for _, id := range instanceIDs(in.Instances) {
			if err := checkInstance(network, b, id); err != nil {
				return err
			}
			old, exists := state.ClassicInstances.Get(tx, state.ClassicInstanceKey(b.ARN, id))
			if !exists || !old.DrainUntil.IsZero() {
				state.ClassicInstances.Put(tx, state.ClassicInstance{LoadBalancerARN: b.ARN, InstanceID: id, RegisteredTime: now})
			}
		}
		if n := len(registered(tx, b.ARN)); n > s.Quotas.Instances {
			return invalid("A load balancer cannot have more than %d registered instances; there would be %d", s.Quotas.Instances, n)
		}
		return nil
	})
	return &elb.RegisterInstancesWithLoadBalancerOutput{Instances: list}, err
}

func checkInstance(network *inventory.Index, b state.ClassicLoadBalancer, id string) error {
	instance, known := network.Instance(id)
	switch {
	case !known:
		return unknownInstance(id)
	case network.VPCOf(instance) != b.VPCID:
		return invalidInstance("EC2 instance %s is not in the same VPC as ELB.", id)
	case !instance.PrimaryAddress(false).IsValid():
		return invalidInstance("EC2 instance %s has no IPv4 address.", id)
	}
	return nil
}

func unknownInstance(id string) error { return invalidInstance("Could not find EC2 instance %s.", id) }

// deregisterInstances lets go also of instances that exist no more; one that is
// neither registered nor known is refused.
func (s *Service) deregisterInstances(ctx context.Context, in *elb.DeregisterInstancesFromLoadBalancerInput) (*elb.DeregisterInstancesFromLoadBalancerOutput, error) {
	network, now := s.Network(), s.Now().UTC()
	list, err := s.editInstances(ctx, "DeregisterInstancesFromLoadBalancer", in.LoadBalancerName, func(tx *store.Tx, b state.ClassicLoadBalancer) error {
		for _, id := range instanceIDs(in.Instances) {
			i, exists := state.ClassicInstances.Get(tx, state.ClassicInstanceKey(b.ARN, id))
			if _, known := network.Instance(id); !exists && !known {
				return unknownInstance(id)
			}
			if exists {
				leave(tx, b, i, now)
			}
		}
		return nil
	})
	return &elb.DeregisterInstancesFromLoadBalancerOutput{Instances: list}, err
}

// leave starts the draining of an instance; without connection draining it goes
// at once.
func leave(tx *store.Tx, b state.ClassicLoadBalancer, i state.ClassicInstance, now time.Time) {
	switch {
	case !b.Attributes.Draining:
		state.ClassicInstances.Delete(tx, state.ClassicInstanceKey(b.ARN, i.InstanceID))
	case i.DrainUntil.IsZero():
		i.DrainUntil = now.Add(time.Duration(b.Attributes.DrainingSeconds) * time.Second)
		state.ClassicInstances.Put(tx, i)
	}
}

// States of instances, and whose fault it is when one is out of service.
const (
	inService    = "InService"
	outOfService = "OutOfService"
	unknown      = "Unknown"

	nobody     = "N/A"
	balancerIs = "ELB"
	instanceIs = "Instance"
)

// health is an instance's state in the words of InstanceState in the API
// reference, which clients and people search for.
type health struct{ state, reason, description string }

var (
	serving       = health{inService, nobody, "N/A"}
	draining      = health{inService, nobody, "Instance deregistration currently in progress."}
	registering   = health{outOfService, balancerIs, "Instance registration is still in progress."}
	zoneDisabled  = health{outOfService, balancerIs, "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to."}
	failing       = health{outOfService, instanceIs, "Instance has failed at least the UnhealthyThreshold number of health checks consecutively."}
	notRegistered = health{outOfService, instanceIs, "Instance is not currently registered with the LoadBalancer."}
	pending       = health{outOfService, instanceIs, "Instance is in pending state."}
	stopped       = health{outOfService, instanceIs, "Instance is in stopped state."}
	terminated    = health{outOfService, instanceIs, "Instance is in terminated state."}
	transient     = health{unknown, balancerIs, "A transient error occurred. Please try again later."}
)

func (s *Service) describeInstanceHealth(ctx context.Context, in *elb.DescribeInstanceHealthInput) (*elb.DescribeInstanceHealthOutput, error) {
	if err := s.AllowAll(ctx, "DescribeInstanceHealth"); err != nil {
		return nil, err
	}
	r, network := s.DB.Current(), s.Network()
	b, err := s.balancer(r, in.LoadBalancerName)
	if err != nil {
		return nil, err
	}
	ids := instanceIDs(in.Instances)
	if len(ids) == 0 {
		for _, i := range registered(r, b.ARN) {
			ids = append(ids, *i.InstanceId)
		}
	}
	out := &elb.DescribeInstanceHealthOutput{InstanceStates: []types.InstanceState{}}
	classic := zonal.NewClassic(network, b)
	for _, id := range ids {
		i, exists := state.ClassicInstances.Get(r, state.ClassicInstanceKey(b.ARN, id))
		if _, known := network.Instance(id); !exists && !known {
			return nil, unknownInstance(id)
		}
		h := notRegistered
		if exists {
			h = s.health(classic, network, i)
		}
		out.InstanceStates = append(out.InstanceStates, types.InstanceState{
			InstanceId: &id, State: &h.state, ReasonCode: &h.reason, Description: &h.description,
		})
	}
	return out, nil
}

// health is the state of a registered instance: what its machine is, where it
// is, and then what edges found.
func (s *Service) health(c zonal.Classic, network *inventory.Index, i state.ClassicInstance) health {
	if h, ok := machine(network, i.InstanceID); !ok {
		return h
	}
	zones := c.EdgeZones(i)
	if len(zones) == 0 {
		return zoneDisabled
	}
	h := s.probed(c.Key(i), zones)
	if h == serving && !i.DrainUntil.IsZero() {
		return draining
	}
	return h
}

// machine tells whether an instance runs.
func machine(network *inventory.Index, id string) (health, bool) {
	instance, known := network.Instance(id)
	switch {
	case known && instance.Running():
		return health{}, true
	case known && instance.State == "pending":
		return pending, false
	case known && (instance.State == "stopped" || instance.State == "stopping"):
		return stopped, false
	}
	return terminated, false
}

// probed is what the edges of the zones found: in service when any of them can
// reach the instance.
func (s *Service) probed(key lb.TargetKey, zones []string) health {
	found := registering
	for _, zone := range zones {
		h, ok := s.Health.Health(zone, key)
		switch {
		case !ok:
		case h.State == lb.Healthy:
			return serving
		case h.State == lb.Unhealthy || h.State == lb.UnhealthyDraining:
			found = failing
		case h.State == lb.Unavailable && found != failing:
			found = transient
		}
	}
	return found
}
