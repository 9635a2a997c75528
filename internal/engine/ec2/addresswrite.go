package ec2

import (
	"context"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

type allocateAddressInput struct {
	DryRun
	Domain  string             `ec2:"Domain"`
	Address string             `ec2:"Address"`
	Tags    []tagSpecification `ec2:"TagSpecification"`
}

type allocateAddressOutput struct {
	PublicIP     string `ec2:"PublicIp"`
	AllocationID string `ec2:"AllocationId"`
	Pool         string `ec2:"PublicIpv4Pool"`
	Domain       string `ec2:"Domain"`
	BorderGroup  string `ec2:"NetworkBorderGroup"`
}

func (s *Service) allocateAddress(ctx context.Context, in *allocateAddressInput) (*allocateAddressOutput, error) {
	tags, err := specifiedTags(in.Tags, "elastic-ip")
	if err != nil {
		return nil, err
	}
	if err := s.allowMake(ctx, making{"AllocateAddress", "elastic-ip", tags}, in.DryRun); err != nil {
		return nil, err
	}
	if in.Domain != "" && in.Domain != "vpc" {
		return nil, invalidValue("Value (%s) for parameter domain is invalid: there are only addresses for VPCs", in.Domain)
	}
	n := s.network()
	e := state.ElasticAddress{AllocationID: newID("eipalloc")}
	err = s.DB.Update(func(tx *store.Tx) error {
		if e.Address, err = freeElastic(tx, n.ElasticIPPools, in.Address); err != nil {
			return err
		}
		state.ElasticAddresses.Put(tx, e)
		state.PutTags(tx, e.AllocationID, tags)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, s.arn("elastic-ip", e.AllocationID))
	return &allocateAddressOutput{e.Address.String(), e.AllocationID, "amazon", "vpc", s.Region}, nil
}

// freeElastic chooses an address of the pools that nobody has, or the one that
// was asked for.
func freeElastic(tx *store.Tx, pools []netip.Prefix, asked string) (netip.Addr, error) {
	taken := map[netip.Addr]bool{}
	for e := range state.ElasticAddresses.All(tx) {
		taken[e.Address] = true
	}
	if asked != "" {
		a, err := netip.ParseAddr(asked)
		for _, p := range pools {
			if err == nil && p.Contains(a) && !taken[a] {
				return a, nil
			}
		}
		return a, wire.Errorf("InvalidAddress.NotFound", "Address '%s' is not a free one of the elasticIpPools in the inventory file.", asked)
	}
	for _, p := range pools {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			if !taken[a] {
				return a, nil
			}
		}
	}
	return netip.Addr{}, wire.Errorf("AddressLimitExceeded", "The maximum number of addresses has been reached: the elasticIpPools in the inventory file have no other.")
}

type releaseAddressInput struct {
	DryRun
	AllocationID string `ec2:"AllocationId,required"`
}

func (s *Service) releaseAddress(ctx context.Context, in *releaseAddressInput) (*noOutput, error) {
	if err := s.allowOn(ctx, "ReleaseAddress", in.DryRun, in.AllocationID); err != nil {
		return nil, err
	}
	n := s.network()
	return nil, s.DB.Update(func(tx *store.Tx) error {
		e, err := own(tx, n, state.ElasticAddresses, in.AllocationID)
		if err != nil {
			return err
		}
		if e.LoadBalancerARN != "" || e.InterfaceID != "" {
			return wire.Errorf("InvalidIPAddress.InUse", "Address %s is in use.", e.Address)
		}
		remove(tx, state.ElasticAddresses, e.AllocationID)
		return nil
	})
}

type associateAddressInput struct {
	DryRun
	AllocationID string `ec2:"AllocationId,required"`
	InstanceID   string `ec2:"InstanceId"`
	InterfaceID  string `ec2:"NetworkInterfaceId"`
	Again        bool   `ec2:"AllowReassociation"`
}

type associateAddressOutput struct {
	Return        bool   `ec2:"Return"`
	AssociationID string `ec2:"AssociationId"`
}

// associateAddress notes that an instance has an address; to bring packets for
// it there is the network's part. Those of load balancers are associated by
// CreateLoadBalancer alone.
func (s *Service) associateAddress(ctx context.Context, in *associateAddressInput) (*associateAddressOutput, error) {
	if err := s.allowOn(ctx, "AssociateAddress", in.DryRun, in.AllocationID); err != nil {
		return nil, err
	}
	interfaceID, err := s.network().interfaceFor(s.DB.Current(), in)
	if err != nil {
		return nil, err
	}
	out := &associateAddressOutput{Return: true}
	return out, editOwn(s, state.ElasticAddresses, in.AllocationID, func(_ *store.Tx, _ *network, e *state.ElasticAddress) error {
		if e.LoadBalancerARN != "" || e.InterfaceID != "" && e.InterfaceID != interfaceID && !in.Again {
			return wire.Errorf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", e.AllocationID, associationID(*e))
		}
		e.InterfaceID = interfaceID
		out.AssociationID = associationID(*e)
		return nil
	})
}

// interfaceFor finds the interface of a request: named, or the instance's first.
func (n *network) interfaceFor(r store.Reader, in *associateAddressInput) (string, error) {
	if in.InstanceID != "" {
		i, ok := n.Instance(in.InstanceID)
		switch nics := nicsOf(n.Index, i); {
		case !ok:
			return "", notFound("InvalidInstanceID.NotFound", "instance")([]string{in.InstanceID})
		case len(nics) == 0:
			return "", wire.Errorf("InvalidInstanceID", "The instance '%s' is not in a valid state for this operation.", in.InstanceID)
		default:
			return nics[0].id, nil
		}
	}
	v, ok := n.nicByID(r, in.InterfaceID)
	switch {
	case in.InterfaceID == "":
		return "", wire.Errorf("MissingParameter", "Either instance ID or network interface id must be specified")
	case !ok:
		return "", notFound("InvalidNetworkInterfaceID.NotFound", "networkInterface")([]string{in.InterfaceID})
	case v.managed():
		return "", wire.Errorf("AuthFailure", "You do not have permission to access the specified resource.")
	}
	return v.id, nil
}

type disassociateAddressInput struct {
	DryRun
	AssociationID string `ec2:"AssociationId,required"`
}

func (s *Service) disassociateAddress(ctx context.Context, in *disassociateAddressInput) (*noOutput, error) {
	var found state.ElasticAddress
	for e := range state.ElasticAddresses.All(s.DB.Current()) {
		if (e.InterfaceID != "" || e.LoadBalancerARN != "") && associationID(e) == in.AssociationID {
			found = e
		}
	}
	if found.AllocationID == "" {
		return nil, wire.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.AssociationID)
	}
	if err := s.allowOn(ctx, "DisassociateAddress", in.DryRun, found.AllocationID); err != nil {
		return nil, err
	}
	if found.LoadBalancerARN != "" {
		return nil, wire.Errorf("AuthFailure", "You do not have permission to access the specified resource.")
	}
	return nil, s.DB.Update(func(tx *store.Tx) error {
		e, ok := state.ElasticAddresses.Get(tx, found.AllocationID)
		if ok && e.InterfaceID == found.InterfaceID {
			e.InterfaceID = ""
			state.ElasticAddresses.Put(tx, e)
		}
		return nil
	})
}

type describeAddressesAttributeInput struct {
	Query
	AllocationIDs []string `ec2:"AllocationId"`
	Attribute     string   `ec2:"Attribute"`
}

type describeAddressesAttributeOutput struct {
	Addresses []addressAttribute `ec2:"AddressSet"`
	NextToken *string            `ec2:"NextToken"`
}

type addressAttribute struct {
	PublicIP     string `ec2:"PublicIp"`
	AllocationID string `ec2:"AllocationId"`
}

// describeAddressesAttribute lists the addresses: none has a domain name.
func (s *Service) describeAddressesAttribute(ctx context.Context, in *describeAddressesAttributeInput) (*describeAddressesAttributeOutput, error) {
	if err := s.allowRead(ctx, "DescribeAddressesAttribute", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	found, next, err := s.addressKind(r).find(s.addresses(r, n), in.AllocationIDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeAddressesAttributeOutput{convert(found, func(a Address) addressAttribute {
		return addressAttribute{a.PublicIP, a.AllocationID}
	}), token(next)}, nil
}
