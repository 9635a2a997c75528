package ec2

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

type createSubnetInput struct {
	VPCRef
	CidrBlock string             `ec2:"CidrBlock,required"`
	IPv6Block string             `ec2:"Ipv6CidrBlock"`
	Zone      string             `ec2:"AvailabilityZone"`
	ZoneID    string             `ec2:"AvailabilityZoneId"`
	Tags      []tagSpecification `ec2:"TagSpecification"`
}

type createSubnetOutput struct {
	Subnet Subnet `ec2:"Subnet"`
}

func (s *Service) createSubnet(ctx context.Context, in *createSubnetInput) (*createSubnetOutput, error) {
	tags, err := specifiedTags(in.Tags, "subnet")
	if err != nil {
		return nil, err
	}
	if err := s.allowMake(ctx, making{"CreateSubnet", "subnet", tags}, DryRun{}); err != nil {
		return nil, err
	}
	if err := s.allowOn(ctx, "CreateSubnet", in.DryRun, in.VpcID); err != nil {
		return nil, err
	}
	n := s.network()
	made, err := s.newSubnet(n, in)
	if err != nil {
		return nil, err
	}
	err = s.DB.Update(func(tx *store.Tx) error {
		if err := room(tx, state.Subnets, "SubnetLimitExceeded", "subnets"); err != nil {
			return err
		}
		if err := checkVPCThere(tx, n, made.VPCID); err != nil {
			return err
		}
		if err := checkSubnetApart(tx, n, made); err != nil {
			return err
		}
		state.Subnets.Put(tx, made)
		state.PutTags(tx, made.SubnetID, tags)
		return nil
	})
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, s.arn("subnet", made.SubnetID))
	now := s.network()
	v, _ := now.Subnet(made.SubnetID)
	return &createSubnetOutput{s.subnet(s.DB.Current(), now, v)}, nil
}

// newSubnet checks a request against its VPC.
func (s *Service) newSubnet(n *network, in *createSubnetInput) (state.Subnet, error) {
	v, _ := n.VPC(in.VpcID) // allowOn has found it
	zone, err := s.zoneFor(n, cmp.Or(in.Zone, in.ZoneID))
	if err != nil {
		return state.Subnet{}, err
	}
	made := state.Subnet{SubnetID: newID("subnet"), VPCID: v.VPCID, AvailabilityZone: zone.ZoneName, AvailabilityZoneID: zone.ZoneID}
	if made.CIDRBlock, err = parseIPv4Block(in.CidrBlock, "InvalidSubnet.Range"); err != nil {
		return made, err
	}
	if !v.CIDRBlock.Contains(made.CIDRBlock.Addr()) || made.CIDRBlock.Bits() < v.CIDRBlock.Bits() {
		return made, wire.Errorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", in.CidrBlock)
	}
	if in.IPv6Block == "" {
		return made, nil
	}
	made.IPv6CIDRBlock, err = netip.ParsePrefix(in.IPv6Block)
	if b := made.IPv6CIDRBlock; err != nil || !v.IPv6CIDRBlock.IsValid() || b.Bits() != 64 || b != b.Masked() || !v.IPv6CIDRBlock.Contains(b.Addr()) {
		return made, wire.Errorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", in.IPv6Block)
	}
	return made, nil
}

// zoneFor finds a zone by name or ID; the first one when neither is given.
func (s *Service) zoneFor(n *network, name string) (AvailabilityZone, error) {
	zones := s.zones(n)
	if name == "" {
		return zones[0], nil
	}
	i := slices.IndexFunc(zones, func(z AvailabilityZone) bool { return z.ZoneName == name || z.ZoneID == name })
	if i < 0 {
		names := convert(zones, func(z AvailabilityZone) string { return z.ZoneName })
		return AvailabilityZone{}, invalidValue("Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", name, strings.Join(names, ", "))
	}
	return zones[i], nil
}

// checkVPCThere finds out, within a transaction, that a VPC was not deleted
// since it was looked at.
func checkVPCThere(tx *store.Tx, n *network, id string) error {
	if _, ok := state.VPCs.Get(tx, id); ok || n.fromFile(id) {
		return nil
	}
	return notFound("InvalidVpcID.NotFound", "vpc")([]string{id})
}

// checkSubnetApart wants ranges that no other subnet of the VPC has.
func checkSubnetApart(tx *store.Tx, n *network, made state.Subnet) error {
	conflict := func(ipv4, ipv6 netip.Prefix) error {
		if ipv4.Overlaps(made.CIDRBlock) {
			return wire.Errorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", made.CIDRBlock)
		}
		if ipv6.IsValid() && made.IPv6CIDRBlock.IsValid() && ipv6.Overlaps(made.IPv6CIDRBlock) {
			return wire.Errorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", made.IPv6CIDRBlock)
		}
		return nil
	}
	for other := range state.SubnetsByVPC.All(tx, made.VPCID) {
		if err := conflict(other.CIDRBlock, other.IPv6CIDRBlock); err != nil {
			return err
		}
	}
	for _, other := range n.Subnets {
		if other.VPCID != made.VPCID || !n.fromFile(other.SubnetID) {
			continue
		}
		if err := conflict(other.CIDRBlock, other.IPv6CIDRBlock); err != nil {
			return err
		}
	}
	return nil
}

// SubnetRef names the subnet of a request.
type SubnetRef struct {
	DryRun
	SubnetID string `ec2:"SubnetId,required"`
}

func (s *Service) deleteSubnet(ctx context.Context, in *SubnetRef) (*noOutput, error) {
	if err := s.allowOn(ctx, "DeleteSubnet", in.DryRun, in.SubnetID); err != nil {
		return nil, err
	}
	n := s.network()
	return nil, s.DB.Update(func(tx *store.Tx) error {
		if _, err := own(tx, n, state.Subnets, in.SubnetID); err != nil {
			return err
		}
		for range state.ZonalAddresses.Prefix(tx, in.SubnetID+"/") { // of instances and load balancers
			return dependency("The subnet '%s' has dependencies and cannot be deleted.", in.SubnetID)
		}
		remove(tx, state.Subnets, in.SubnetID)
		state.AddressCursors.Delete(tx, in.SubnetID)
		return nil
	})
}

type modifySubnetAttributeInput struct {
	SubnetID    string     `ec2:"SubnetId,required"`
	MapPublicIP *boolValue `ec2:"MapPublicIpOnLaunch"`
	AssignIPv6  *boolValue `ec2:"AssignIpv6AddressOnCreation"`
}

func (s *Service) modifySubnetAttribute(ctx context.Context, in *modifySubnetAttributeInput) (*noOutput, error) {
	if err := s.allowOn(ctx, "ModifySubnetAttribute", DryRun{}, in.SubnetID); err != nil {
		return nil, err
	}
	if (in.MapPublicIP == nil) == (in.AssignIPv6 == nil) {
		return nil, wire.Errorf("InvalidParameterCombination", "Exactly one of the attributes mapPublicIpOnLaunch and assignIpv6AddressOnCreation must be specified; others are not offered by this endpoint")
	}
	return nil, editOwn(s, state.Subnets, in.SubnetID, func(_ *store.Tx, _ *network, v *state.Subnet) error {
		if in.MapPublicIP != nil && in.MapPublicIP.Value != nil {
			v.MapPublicIP = *in.MapPublicIP.Value
		}
		if in.AssignIPv6 != nil && in.AssignIPv6.Value != nil {
			v.AssignIPv6 = *in.AssignIPv6.Value
		}
		return nil
	})
}

// onLaunch tells what new instances of a subnet get: as its attributes say, or,
// for one of the inventory, as its kind suggests.
func onLaunch(r store.Reader, v inventory.Subnet) (publicIP, ipv6 bool) {
	if made, ok := state.Subnets.Get(r, v.SubnetID); ok {
		return made.MapPublicIP, made.AssignIPv6
	}
	return v.Public, v.IPv6CIDRBlock.IsValid()
}
