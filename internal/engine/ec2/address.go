package ec2

import (
	"context"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Address is an Elastic IP address in responses.
type Address struct {
	PublicIP         string `ec2:"PublicIp"`
	AllocationID     string `ec2:"AllocationId"`
	Domain           string `ec2:"Domain"`
	BorderGroup      string `ec2:"NetworkBorderGroup"`
	AssociationID    string `ec2:"AssociationId,omitempty"`
	InstanceID       string `ec2:"InstanceId,omitempty"`
	PrivateIP        string `ec2:"PrivateIpAddress,omitempty"`
	InterfaceID      string `ec2:"NetworkInterfaceId,omitempty"`
	InterfaceOwnerID string `ec2:"NetworkInterfaceOwnerId,omitempty"`
	Tags             []Tag  `ec2:"TagSet"`
}

type describeAddressesInput struct {
	DryRun
	Filters       []Filter `ec2:"Filter"`
	PublicIPs     []string `ec2:"PublicIp"`
	AllocationIDs []string `ec2:"AllocationId"`
}

type describeAddressesOutput struct {
	Addresses []Address `ec2:"AddressesSet"`
}

// addresses are all Elastic IP addresses.
func (s *Service) addresses(r store.Reader, n *network) source[Address] {
	return source[Address]{
		get: func(id string) (Address, bool) {
			e, ok := state.ElasticAddresses.Get(r, id)
			return s.address(r, n, e), ok
		},
		all: func(yield func(Address) bool) {
			for e := range state.ElasticAddresses.All(r) {
				if !yield(s.address(r, n, e)) {
					return
				}
			}
		},
	}
}

func (s *Service) describeAddresses(ctx context.Context, in *describeAddressesInput) (*describeAddressesOutput, error) {
	if err := s.allowRead(ctx, "DescribeAddresses", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	filters := in.Filters
	if len(in.PublicIPs) > 0 {
		filters = append(slices.Clone(filters), Filter{Name: "public-ip", Values: in.PublicIPs})
	}
	found, _, err := s.addressKind(r).find(s.addresses(r, n), in.AllocationIDs, Query{Filters: filters})
	if err != nil {
		return nil, err
	}
	for _, ip := range in.PublicIPs {
		if !slices.ContainsFunc(found, func(a Address) bool { return a.PublicIP == ip }) {
			return nil, wire.Errorf("InvalidAddress.NotFound", "Address '%s' not found.", ip)
		}
	}
	return &describeAddressesOutput{found}, nil
}

func (s *Service) addressKind(r store.Reader) kind[Address] {
	one := func(f func(Address) string) func(Address) []string {
		return func(a Address) []string { return nonEmpty(f(a)) }
	}
	return kind[Address]{
		id: func(a Address) string { return a.AllocationID }, idFilter: "allocation-id",
		absent: func(ids []string) error {
			return wire.Errorf("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", strings.Join(ids, ", "))
		},
		tags: func(a Address) map[string]string { return state.Tags(r, a.AllocationID) },
		attributes: attributes[Address]{
			"allocation-id":              one(func(a Address) string { return a.AllocationID }),
			"instance-id":                one(func(a Address) string { return a.InstanceID }),
			"private-ip-address":         one(func(a Address) string { return a.PrivateIP }),
			"association-id":             one(func(a Address) string { return a.AssociationID }),
			"domain":                     one(func(a Address) string { return a.Domain }),
			"network-border-group":       one(func(a Address) string { return a.BorderGroup }),
			"network-interface-id":       one(func(a Address) string { return a.InterfaceID }),
			"network-interface-owner-id": one(func(a Address) string { return a.InterfaceOwnerID }),
			"public-ip":                  one(func(a Address) string { return a.PublicIP }),
		},
	}
}

// address tells which interface, of an instance or a load balancer, has the
// address.
func (s *Service) address(r store.Reader, n *network, e state.ElasticAddress) Address {
	a := Address{
		PublicIP: e.Address.String(), AllocationID: e.AllocationID, Domain: "vpc", BorderGroup: s.Region,
		Tags: tagSet(state.Tags(r, e.AllocationID)),
	}
	if nic, ok := n.interfaces[e.InterfaceID]; ok {
		a.InterfaceID, a.InterfaceOwnerID, a.InstanceID, a.PrivateIP = nic.id, s.AccountID, nic.instanceID, nic.primary()
		a.AssociationID = associationID(e)
	}
	b, _ := state.LoadBalancers.Get(r, e.LoadBalancerARN)
	for _, z := range b.Zones {
		if z.AllocationID == e.AllocationID {
			a.InterfaceID, a.InterfaceOwnerID = balancerNic(n.Index, b, z).id, s.AccountID
			a.AssociationID = associationID(e)
		}
	}
	return a
}

// associationID is that of an address with whatever has it.
func associationID(e state.ElasticAddress) string {
	return derivedID("eipassoc", e.LoadBalancerARN, e.InterfaceID, e.AllocationID)
}
