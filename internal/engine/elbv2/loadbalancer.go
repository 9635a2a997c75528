package elbv2

import (
	"cmp"
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/attributes"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Values of EnablePrefixForIpv6SourceNat and its kin.
const (
	on  = "on"
	off = "off"
)

func (s *Service) createLoadBalancer(ctx context.Context, in *elb.CreateLoadBalancerInput) (*elb.CreateLoadBalancerOutput, error) {
	pattern := s.balancerARN(*in.Name, anyID)
	if err := s.AllowCreate(ctx, balancing.Creation{
		Action: balancing.Action{Name: "CreateLoadBalancer", Keys: balancing.CreateConditions(schemeOf(in.Scheme), in.Subnets, in.SecurityGroups)},
		On:     pattern, Made: pattern, Tags: plainTags(in.Tags),
	}); err != nil {
		return nil, err
	}
	tags, err := s.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	network := s.Network()
	wanted, err := s.wantedBalancer(network, in)
	if err != nil {
		return nil, err
	}
	made, err := state.Update(s.DB, func(tx *store.Tx) (state.LoadBalancer, error) { return s.putNewBalancer(tx, network, wanted, tags) })
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, made.ARN)
	return &elb.CreateLoadBalancerOutput{LoadBalancers: []types.LoadBalancer{s.describeBalancer(made)}}, nil
}

func schemeOf(scheme types.LoadBalancerSchemeEnum) lb.Scheme {
	if scheme == "" {
		return lb.InternetFacing
	}
	return lb.Scheme(scheme)
}

// wantedBalancer checks a request by itself and against the network.
func (s *Service) wantedBalancer(network *inventory.Index, in *elb.CreateLoadBalancerInput) (state.LoadBalancer, error) {
	b := state.LoadBalancer{
		Name: *in.Name, Scheme: schemeOf(in.Scheme), IPAddressType: lb.IPv4, SourceNATPrefixes: off,
		SecurityGroups: balancing.Distinct(in.SecurityGroups),
	}
	if err := checkBalancerName(b.Name); err != nil {
		return b, err
	}
	if in.Type != types.LoadBalancerTypeEnumNetwork {
		return b, notOffered("Load balancers of type '%s' are not offered by this endpoint; the type must be 'network'", cmp.Or(in.Type, types.LoadBalancerTypeEnumApplication))
	}
	if in.IpamPools != nil || in.CustomerOwnedIpv4Pool != nil {
		return b, unfit("IPAM pools and customer-owned pools are not supported on load balancers with type 'network'")
	}
	if in.IpAddressType != "" {
		b.IPAddressType = lb.IPAddressType(in.IpAddressType)
	}
	if in.EnablePrefixForIpv6SourceNat != "" {
		b.SourceNATPrefixes = string(in.EnablePrefixForIpv6SourceNat)
	}
	if err := checkAddressType(b); err != nil {
		return b, err
	}
	all, err := placements(in.Subnets, in.SubnetMappings)
	if err != nil {
		return b, err
	}
	if b.Zones, b.VPCID, err = zoneMappings(network, b, all); err != nil {
		return b, err
	}
	if len(b.SecurityGroups) > 0 {
		b.EnforceOnPrivateLink = on
	}
	return b, nil
}

func checkAddressType(b state.LoadBalancer) error {
	if b.IPAddressType != lb.IPv4 && b.IPAddressType != lb.DualStack {
		return invalid("The IP address type '%s' is not supported on load balancers with type 'network'; it must be one of 'ipv4, dualstack'", b.IPAddressType)
	}
	if b.SourceNATPrefixes == on && b.IPAddressType != lb.DualStack {
		return unfit("IPv6 source NAT prefixes require the IP address type 'dualstack'")
	}
	return nil
}

// putNewBalancer creates the load balancer, or returns the one of the same name
// when its settings are the same.
func (s *Service) putNewBalancer(tx *store.Tx, network *inventory.Index, b state.LoadBalancer, tags map[string]string) (state.LoadBalancer, error) {
	if old, exists := state.LoadBalancersByName.First(tx, b.Name); exists {
		if !sameBalancer(old, b) {
			return old, wire.Errorf("DuplicateLoadBalancerName", "A load balancer with the same name '%s' exists, but with different settings", b.Name)
		}
		return old, nil
	}
	if state.LoadBalancers.Len(tx) >= s.Quotas.LoadBalancers {
		return b, balancing.TooMany("TooManyLoadBalancers", "load balancers", s.Quotas.LoadBalancers)
	}
	if err := s.checkSecurityGroups(tx, network, b); err != nil {
		return b, err
	}
	id := newID()
	b.ARN, b.DNSName = s.balancerARN(b.Name, id), s.dnsName(b.Name, id)
	b.CreatedTime = s.Now().UTC()
	b.ActiveTime = b.CreatedTime.Add(s.delays().Provisioning)
	var err error
	if b.Zones, err = balancing.Assign(tx, network, holder(b)); err != nil {
		return b, err
	}
	state.LoadBalancers.Put(tx, b)
	state.PutTags(tx, b.ARN, tags)
	return b, nil
}

// holder is the load balancer as one that has addresses.
func holder(b state.LoadBalancer) balancing.Holder {
	return balancing.Holder{ARN: b.ARN, Zones: b.Zones, DualStack: b.IPAddressType == lb.DualStack}
}

// sameBalancer compares what a client asks for with what exists. Addresses count
// only where the client chose them.
func sameBalancer(old, wanted state.LoadBalancer) bool {
	if len(old.Zones) != len(wanted.Zones) {
		return false
	}
	for i, w := range wanted.Zones {
		o := old.Zones[i]
		if o.SubnetID != w.SubnetID || o.AllocationID != w.AllocationID || o.ChosenIPv4 != w.ChosenIPv4 || o.ChosenIPv6 != w.ChosenIPv6 ||
			w.ChosenIPv4 && o.IPv4 != w.IPv4 || w.ChosenIPv6 && o.IPv6 != w.IPv6 {
			return false
		}
	}
	return old.Scheme == wanted.Scheme && old.IPAddressType == wanted.IPAddressType && old.VPCID == wanted.VPCID &&
		old.SourceNATPrefixes == wanted.SourceNATPrefixes && sameSet(old.SecurityGroups, wanted.SecurityGroups)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// checkSecurityGroups wants every group to exist in the load balancer's VPC.
func (s *Service) checkSecurityGroups(r store.Reader, network *inventory.Index, b state.LoadBalancer) error {
	if len(b.SecurityGroups) > s.Quotas.SecurityGroups {
		return unfit("A load balancer cannot have more than %d security groups", s.Quotas.SecurityGroups)
	}
	return balancing.CheckSecurityGroups(r, network, b.VPCID, b.SecurityGroups)
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
	var found []state.LoadBalancer
	var next *string
	switch {
	case len(in.Names) > 0 && len(in.LoadBalancerArns) > 0:
		return nil, invalid("Load balancer names and load balancer ARNs cannot be specified at the same time")
	case len(in.Names) > 0:
		found, err = lookUp(in.Names, func(name string) (state.LoadBalancer, bool) { return state.LoadBalancersByName.First(r, name) }, balancersNotFound)
	case len(in.LoadBalancerArns) > 0:
		found, err = s.balancersByARN(r, in.LoadBalancerArns)
	default:
		found, next = balancing.Page(c, state.LoadBalancers.From(r, c.First()), func(b state.LoadBalancer) string { return b.ARN })
	}
	if err != nil {
		return nil, err
	}
	return &elb.DescribeLoadBalancersOutput{LoadBalancers: balancing.Convert(found, s.describeBalancer), NextMarker: next}, nil
}

// maxDescribed is how many resources one describe may name.
const maxDescribed = 20

// lookUp finds every name of a list, or fails with all that are absent.
func lookUp[V any](names []string, find func(string) (V, bool), notFound func(...string) error) ([]V, error) {
	names = balancing.Distinct(names)
	if len(names) > maxDescribed {
		return nil, invalid("Cannot have more than %d resources described", maxDescribed)
	}
	var found []V
	var absent []string
	for _, name := range names {
		if v, ok := find(name); ok {
			found = append(found, v)
		} else {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		return nil, notFound(absent...)
	}
	return found, nil
}

func (s *Service) balancersByARN(r store.Reader, arns []string) ([]state.LoadBalancer, error) {
	for _, arn := range arns {
		if err := checkARN(balancerNoun, arn); err != nil {
			return nil, err
		}
	}
	return lookUp(arns, func(arn string) (state.LoadBalancer, bool) { return state.LoadBalancers.Get(r, arn) },
		func(...string) error {
			return wire.Errorf("LoadBalancerNotFound", "One or more load balancers not found")
		})
}

// balancer finds the load balancer of a call that names one.
func balancer(r store.Reader, arn *string) (state.LoadBalancer, error) {
	if err := checkARN(balancerNoun, *arn); err != nil {
		return state.LoadBalancer{}, err
	}
	b, ok := state.LoadBalancers.Get(r, *arn)
	if !ok {
		return b, notFound(balancerNoun, *arn)
	}
	return b, nil
}

// describeBalancer is a load balancer as clients see it.
func (s *Service) describeBalancer(b state.LoadBalancer) types.LoadBalancer {
	out := types.LoadBalancer{
		LoadBalancerArn: &b.ARN, LoadBalancerName: &b.Name, DNSName: &b.DNSName, CanonicalHostedZoneId: aws.String(balancing.HostedZone(hostedZones, s.Region)),
		CreatedTime: &b.CreatedTime, Scheme: types.LoadBalancerSchemeEnum(b.Scheme), VpcId: &b.VPCID,
		State: &types.LoadBalancerState{Code: types.LoadBalancerStateEnum(b.State(s.Now()))}, Type: types.LoadBalancerTypeEnumNetwork,
		IpAddressType: types.IpAddressType(b.IPAddressType), SecurityGroups: b.SecurityGroups,
		AvailabilityZones:            balancing.Convert(b.Zones, describeZone),
		EnablePrefixForIpv6SourceNat: types.EnablePrefixForIpv6SourceNatEnum(b.SourceNATPrefixes),
	}
	if b.EnforceOnPrivateLink != "" {
		out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic = &b.EnforceOnPrivateLink
	}
	return out
}

// describeZone shows, as AWS does, only addresses that the client chose.
func describeZone(z state.ZoneMapping) types.AvailabilityZone {
	out := types.AvailabilityZone{ZoneName: &z.Zone, SubnetId: &z.SubnetID, LoadBalancerAddresses: []types.LoadBalancerAddress{}}
	var address types.LoadBalancerAddress
	if z.AllocationID != "" {
		address.AllocationId, address.IpAddress = &z.AllocationID, aws.String(z.IPv4.String())
	}
	if z.ChosenIPv4 {
		address.PrivateIPv4Address = aws.String(z.IPv4.String())
	}
	if z.ChosenIPv6 {
		address.IPv6Address = aws.String(z.IPv6.String())
	}
	if address != (types.LoadBalancerAddress{}) {
		out.LoadBalancerAddresses = append(out.LoadBalancerAddresses, address)
	}
	return out
}

func (s *Service) deleteLoadBalancer(ctx context.Context, in *elb.DeleteLoadBalancerInput) (*elb.DeleteLoadBalancerOutput, error) {
	if err := s.AllowOn(ctx, "DeleteLoadBalancer", *in.LoadBalancerArn); err != nil {
		return nil, err
	}
	if err := checkARN(balancerNoun, *in.LoadBalancerArn); err != nil {
		return nil, err
	}
	return &elb.DeleteLoadBalancerOutput{}, s.DB.Update(func(tx *store.Tx) error {
		b, ok := state.LoadBalancers.Get(tx, *in.LoadBalancerArn)
		switch {
		case !ok:
			return nil
		case attributes.DeletionProtection(b):
			return wire.Errorf("OperationNotPermitted", "Load balancer '%s' cannot be deleted because deletion protection is enabled", b.ARN)
		}
		for l := range state.ListenersByLoadBalancer.All(tx, b.ARN) {
			removeListener(tx, l)
		}
		for _, z := range b.Zones {
			balancing.Release(tx, z)
		}
		state.LoadBalancers.Delete(tx, b.ARN)
		state.PutTags(tx, b.ARN, nil)
		return nil
	})
}
