package elb

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

func (s *Service) createLoadBalancer(ctx context.Context, in *elb.CreateLoadBalancerInput) (*elb.CreateLoadBalancerOutput, error) {
	arn, plain := s.arn(*in.LoadBalancerName), plainTags(in.Tags)
	if err := s.AllowCreate(ctx, balancing.Creation{
		Action: balancing.Action{Name: "CreateLoadBalancer", Keys: createConditions(in)}, On: arn, Made: arn, Tags: plain,
	}); err != nil {
		return nil, err
	}
	tags, err := balancing.NewTags(plain, s.Quotas.Tags)
	if err != nil {
		return nil, err
	}
	network := s.Network()
	wanted, err := s.wanted(network, in)
	if err != nil {
		return nil, err
	}
	made, err := state.Update(s.DB, func(tx *store.Tx) (state.ClassicLoadBalancer, error) { return s.create(tx, network, wanted, tags) })
	if err != nil {
		return nil, err
	}
	return &elb.CreateLoadBalancerOutput{DNSName: &made.DNSName}, nil
}

// createConditions are the condition keys of CreateLoadBalancer beside tags.
func createConditions(in *elb.CreateLoadBalancerInput) balancing.Conditions {
	keys := balancing.CreateConditions(schemeOf(in.Scheme), in.Subnets, in.SecurityGroups)
	maps.Copy(keys, listenerConditions(in.Listeners))
	return keys
}

func schemeOf(scheme *string) lb.Scheme {
	if aws.ToString(scheme) == "" {
		return lb.InternetFacing
	}
	return lb.Scheme(*scheme)
}

// wanted checks a request by itself and against the network.
func (s *Service) wanted(network *inventory.Index, in *elb.CreateLoadBalancerInput) (state.ClassicLoadBalancer, error) {
	b := state.ClassicLoadBalancer{
		ARN: s.arn(*in.LoadBalancerName), Name: *in.LoadBalancerName, Scheme: schemeOf(in.Scheme),
		SecurityGroups: balancing.Distinct(in.SecurityGroups), Attributes: defaultAttributes(),
	}
	if err := balancing.CheckName("Load balancer", b.Name); err != nil {
		return b, err
	}
	if b.Scheme != lb.Internal && b.Scheme != lb.InternetFacing {
		return b, wire.Errorf("InvalidScheme", "The scheme '%s' is not valid; it must be 'internal' or be left out", b.Scheme)
	}
	if len(in.Listeners) == 0 {
		return b, invalid("At least one listener must be specified")
	}
	if err := s.addListeners(&b, in.Listeners); err != nil {
		return b, err
	}
	subnets, err := subnetsOf(network, in)
	if err != nil {
		return b, err
	}
	if b.Zones, b.VPCID, err = zoneMappings(network, subnets); err != nil {
		return b, err
	}
	if b.Scheme == lb.InternetFacing && !balancing.ReachesInternet(network, b.VPCID) {
		return b, wire.Errorf("InvalidSubnet", "VPC %s has no internet gateway", b.VPCID)
	}
	b.HealthCheck = defaultHealthCheck(b.Listeners)
	return b, nil
}

// create makes the load balancer, or returns the one of the same name when its
// settings are the same.
func (s *Service) create(tx *store.Tx, network *inventory.Index, b state.ClassicLoadBalancer, tags map[string]string) (state.ClassicLoadBalancer, error) {
	if len(b.SecurityGroups) == 0 {
		b.SecurityGroups = defaultGroup(tx, network, b.VPCID)
	}
	if old, exists := state.ClassicLoadBalancers.Get(tx, b.ARN); exists {
		return old, checkSame(old, b, state.Tags(tx, b.ARN), tags)
	}
	if state.ClassicLoadBalancers.Len(tx) >= s.Quotas.LoadBalancers {
		return b, balancing.TooMany("TooManyLoadBalancers", "load balancers", s.Quotas.LoadBalancers)
	}
	if err := s.checkSecurityGroups(tx, network, b); err != nil {
		return b, err
	}
	if err := s.checkCertificates(tx, b); err != nil {
		return b, err
	}
	b.CreatedTime, b.DNSName = s.Now().UTC(), s.dnsName(b.Name, b.Scheme)
	var err error
	if b.Zones, err = balancing.Assign(tx, network, balancing.Holder{ARN: b.ARN, Zones: b.Zones}); err != nil {
		return b, err
	}
	state.ClassicLoadBalancers.Put(tx, b)
	state.PutTags(tx, b.ARN, tags)
	return b, nil
}

// checkSame compares what exists with what a client asks for. Policies count
// only as far as creation gives them.
func checkSame(old, wanted state.ClassicLoadBalancer, oldTags, tags map[string]string) error {
	if !maps.Equal(oldTags, tags) {
		return wire.Errorf("DuplicateLoadBalancerName", "Load Balancer named %s already exists and it is configured with different tags.", old.Name)
	}
	subnet := func(z state.ZoneMapping) string { return z.SubnetID }
	sameSubnets := slices.Equal(balancing.Convert(old.Zones, subnet), balancing.Convert(wanted.Zones, subnet))
	sameGroups := slices.Equal(slices.Sorted(slices.Values(old.SecurityGroups)), slices.Sorted(slices.Values(wanted.SecurityGroups)))
	if old.Scheme != wanted.Scheme || !sameSubnets || !sameGroups || !slices.EqualFunc(old.Listeners, wanted.Listeners, sameListener) {
		return wire.Errorf("DuplicateLoadBalancerName", "Load Balancer named %s already exists and it is configured with different parameters.", old.Name)
	}
	return nil
}

// edit authorises action on a load balancer and replaces its record by what
// change makes of it.
func (s *Service) edit(ctx context.Context, action balancing.Action, name *string, change func(*store.Tx, *state.ClassicLoadBalancer) error) (state.ClassicLoadBalancer, error) {
	if err := s.AllowOn(ctx, action.Name, s.arn(*name), action.Keys); err != nil {
		return state.ClassicLoadBalancer{}, err
	}
	return state.Edit(s.DB, state.ClassicLoadBalancers, func(tx *store.Tx) (state.ClassicLoadBalancer, error) { return s.balancer(tx, name) }, change)
}

// balancer finds the load balancer of a call that names one.
func (s *Service) balancer(r store.Reader, name *string) (state.ClassicLoadBalancer, error) {
	b, ok := state.ClassicLoadBalancers.Get(r, s.arn(*name))
	if !ok {
		return b, balancerNotFound(*name)
	}
	return b, nil
}

func (s *Service) describeLoadBalancers(ctx context.Context, in *elb.DescribeLoadBalancersInput) (*elb.DescribeLoadBalancersOutput, error) {
	if err := s.AllowAll(ctx, "DescribeLoadBalancers"); err != nil {
		return nil, err
	}
	c, err := balancing.NewCursor(in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	r := s.DB.Current()
	var found []state.ClassicLoadBalancer
	var next *string
	for _, name := range balancing.Distinct(in.LoadBalancerNames) {
		b, err := s.balancer(r, &name)
		if err != nil {
			return nil, err
		}
		found = append(found, b)
	}
	if len(in.LoadBalancerNames) == 0 {
		found, next = balancing.Page(c, state.ClassicLoadBalancers.From(r, c.First()), func(b state.ClassicLoadBalancer) string { return b.ARN })
	}
	network := s.Network()
	return &elb.DescribeLoadBalancersOutput{NextMarker: next, LoadBalancerDescriptions: balancing.Convert(found, func(b state.ClassicLoadBalancer) types.LoadBalancerDescription {
		return s.describe(r, network, b)
	})}, nil
}

// describe is a load balancer as clients see it. Clients rely on HealthCheck
// and on lists that are empty rather than absent.
func (s *Service) describe(r store.Reader, network *inventory.Index, b state.ClassicLoadBalancer) types.LoadBalancerDescription {
	out := types.LoadBalancerDescription{
		LoadBalancerName: &b.Name, DNSName: &b.DNSName, CanonicalHostedZoneNameID: aws.String(balancing.HostedZone(hostedZones, s.Region)),
		CreatedTime: &b.CreatedTime, Scheme: (*string)(&b.Scheme), VPCId: &b.VPCID,
		AvailabilityZones:         zonesOf(b),
		Subnets:                   describeSubnets(b),
		SecurityGroups:            append([]string{}, b.SecurityGroups...),
		SourceSecurityGroup:       s.sourceGroup(r, network, b),
		HealthCheck:               describeHealthCheck(b.HealthCheck),
		ListenerDescriptions:      balancing.Convert(b.Listeners, describeListener),
		BackendServerDescriptions: balancing.Convert(b.Backends, describeBackend),
		Policies:                  describePolicyNames(b.Policies),
		Instances:                 registered(r, b.ARN),
	}
	if b.Scheme == lb.InternetFacing {
		out.CanonicalHostedZoneName = &b.DNSName
	}
	return out
}

func (s *Service) deleteLoadBalancer(ctx context.Context, in *elb.DeleteLoadBalancerInput) (*elb.DeleteLoadBalancerOutput, error) {
	arn := s.arn(*in.LoadBalancerName)
	if err := s.AllowOn(ctx, "DeleteLoadBalancer", arn); err != nil {
		return nil, err
	}
	return &elb.DeleteLoadBalancerOutput{}, s.DB.Update(func(tx *store.Tx) error {
		b, ok := state.ClassicLoadBalancers.Get(tx, arn)
		if !ok {
			return nil
		}
		for _, i := range slices.Collect(state.InstancesOfClassic(tx, arn)) {
			state.ClassicInstances.Delete(tx, state.ClassicInstanceKey(arn, i.InstanceID))
		}
		for _, z := range b.Zones {
			balancing.Release(tx, z)
		}
		state.ClassicLoadBalancers.Delete(tx, arn)
		state.PutTags(tx, arn, nil)
		return nil
	})
}
