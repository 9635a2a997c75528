package ec2

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Instances that are made through the API are records: a private address, its
// security groups and a state, for a machine that someone else runs. They change
// their state at once.

type runInstancesInput struct {
	DryRun
	ImageID        string             `ec2:"ImageId,required"`
	MinCount       int32              `ec2:"MinCount,required"`
	MaxCount       int32              `ec2:"MaxCount,required"`
	InstanceType   string             `ec2:"InstanceType"`
	KeyName        string             `ec2:"KeyName"`
	SubnetID       string             `ec2:"SubnetId"`
	SecurityGroups []string           `ec2:"SecurityGroupId"`
	PrivateIP      string             `ec2:"PrivateIpAddress"`
	ClientToken    string             `ec2:"ClientToken"`
	Interfaces     []wantedInterface  `ec2:"NetworkInterface"`
	Tags           []tagSpecification `ec2:"TagSpecification"`
}

// wantedInterface is the one interface that a request may describe.
type wantedInterface struct {
	DeviceIndex    int32    `ec2:"DeviceIndex"`
	SubnetID       string   `ec2:"SubnetId"`
	SecurityGroups []string `ec2:"SecurityGroupId"`
	PrivateIP      string   `ec2:"PrivateIpAddress"`
}

// maxRun is how many instances one request may make.
const maxRun = 100

// terminatedFor is how long a terminated instance can still be described.
const terminatedFor = time.Hour

func (s *Service) runInstances(ctx context.Context, in *runInstancesInput) (*Reservation, error) {
	specs := slices.DeleteFunc(slices.Clone(in.Tags), func(t tagSpecification) bool {
		return t.ResourceType == "volume" || t.ResourceType == "network-interface" // there are none to tag
	})
	tags, err := specifiedTags(specs, "instance")
	if err != nil {
		return nil, err
	}
	if err := s.allowMake(ctx, making{"RunInstances", "instance", tags}, in.DryRun); err != nil {
		return nil, err
	}
	n := s.network()
	order, err := newOrder(n, in)
	if err != nil {
		return nil, err
	}
	var made []state.Instance
	err = s.DB.Update(func(tx *store.Tx) error {
		if made = slices.Collect(state.InstancesByToken.All(tx, in.ClientToken)); in.ClientToken != "" && len(made) > 0 {
			return nil
		}
		made, err = s.putInstances(tx, n, order, tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	now, r := s.network(), s.DB.Current()
	out := &Reservation{ID: made[0].ReservationID, OwnerID: s.AccountID, Groups: []groupName{}}
	for _, i := range made {
		wire.NoteResource(ctx, s.arn("instance", i.InstanceID))
		if shown, ok := now.Instance(i.InstanceID); ok {
			out.Instances = append(out.Instances, s.instance(r, now, shown, state.Tags(r, i.InstanceID)))
		}
	}
	return out, nil
}

// order is a checked request for instances.
type order struct {
	state.Instance // what all have in common
	subnet         inventory.Subnet
	count          int
	asked          netip.Addr
}

func newOrder(n *network, in *runInstancesInput) (order, error) {
	want := wantedInterface{SubnetID: in.SubnetID, SecurityGroups: in.SecurityGroups, PrivateIP: in.PrivateIP}
	if len(in.Interfaces) > 0 {
		want = in.Interfaces[0]
	}
	o := order{count: int(in.MaxCount), Instance: state.Instance{
		ReservationID: newID("r"), ClientToken: in.ClientToken, ImageID: in.ImageID, InstanceType: cmp.Or(in.InstanceType, "m1.small"),
		KeyName: in.KeyName, State: "running", SecurityGroups: want.SecurityGroups,
	}}
	switch {
	case in.MinCount < 1 || in.MinCount > in.MaxCount || in.MaxCount > maxRun:
		return o, invalidValue("The counts %d to %d are invalid: at least 1 and at most %d instances", in.MinCount, in.MaxCount, maxRun)
	case len(in.Interfaces) > 1 || want.DeviceIndex != 0:
		return o, invalidValue("Instances with several network interfaces are not offered by this endpoint")
	case want.SubnetID == "":
		return o, wire.Errorf("MissingInput", "No subnets found for the default VPC: a subnet must be specified")
	}
	var ok bool
	if o.subnet, ok = n.Subnet(want.SubnetID); !ok {
		return o, notFound("InvalidSubnetID.NotFound", "subnet")([]string{want.SubnetID})
	}
	o.SubnetID = o.subnet.SubnetID
	if want.PrivateIP == "" {
		return o, nil
	}
	var err error
	if o.asked, err = netip.ParseAddr(want.PrivateIP); err != nil || !balancing.Assignable(o.subnet.CIDRBlock, o.asked) || o.count > 1 {
		return o, invalidValue("Address %s does not fall within the subnet's address range, is reserved or was asked for more than once", want.PrivateIP)
	}
	return o, nil
}

// putInstances makes what was ordered.
func (s *Service) putInstances(tx *store.Tx, n *network, o order, tags map[string]string) ([]state.Instance, error) {
	forgetTerminated(tx, s.Now())
	if state.Instances.Len(tx)+o.count > maxMade {
		return nil, wire.Errorf("InstanceLimitExceeded", "You have requested more instances than your current instance limit of %d allows.", maxMade)
	}
	if _, ok := state.Subnets.Get(tx, o.SubnetID); !ok && !n.fromFile(o.SubnetID) {
		return nil, notFound("InvalidSubnetID.NotFound", "subnet")([]string{o.SubnetID})
	}
	groups, err := groupsFor(tx, n, o)
	if err != nil {
		return nil, err
	}
	var made []state.Instance
	for range o.count {
		i := o.Instance
		i.InstanceID, i.InterfaceID, i.SecurityGroups, i.LaunchTime = newID("i"), newID("eni"), groups, s.Now().UTC()
		i.MACAddress = "02:" + colons(i.InterfaceID[len(i.InterfaceID)-10:])
		if err := takeAddresses(tx, n, o, &i); err != nil {
			return nil, err
		}
		i.PrivateDNSName = "ip-" + strings.ReplaceAll(i.IPv4.String(), ".", "-") + "." + s.Region + ".compute.internal"
		state.Instances.Put(tx, i)
		state.PutTags(tx, i.InstanceID, tags)
		made = append(made, i)
	}
	return made, nil
}

// groupsFor are the security groups of new instances: those asked for, else the
// VPC's default one.
func groupsFor(tx *store.Tx, n *network, o order) ([]string, error) {
	if len(o.SecurityGroups) == 0 {
		if g, ok := n.groupNamed(tx, o.subnet.VPCID, defaultGroup); ok {
			return []string{g.GroupID}, nil
		}
		return nil, nil
	}
	for _, id := range o.SecurityGroups {
		g, ok := n.group(tx, id)
		switch {
		case !ok:
			return nil, groupsNotFound([]string{id})
		case g.VPCID != o.subnet.VPCID:
			return nil, wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", id, o.subnet.VPCID)
		}
	}
	return o.SecurityGroups, nil
}

// takeAddresses gives an instance its addresses.
func takeAddresses(tx *store.Tx, n *network, o order, i *state.Instance) error {
	var err error
	claim := balancing.Claim{InstanceID: i.InstanceID, Subnet: o.subnet, Chosen: o.asked}
	if i.IPv4, err = claim.Take(tx, n.Index); err != nil && o.asked.IsValid() {
		return wire.Errorf("InvalidIPAddress.InUse", "Address %s is in use.", o.asked)
	} else if err != nil {
		return wire.Errorf("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", o.SubnetID)
	}
	if _, ipv6 := onLaunch(tx, o.subnet); ipv6 && o.subnet.IPv6CIDRBlock.IsValid() {
		claim.IPv6, claim.Chosen = true, netip.Addr{}
		i.IPv6, err = claim.Take(tx, n.Index)
	}
	return err
}

// forgetTerminated removes instances that were terminated long ago.
func forgetTerminated(tx *store.Tx, now time.Time) {
	for i := range state.Instances.All(tx) {
		if i.State == "terminated" && now.Sub(i.TerminatedTime) > terminatedFor {
			remove(tx, state.Instances, i.InstanceID)
		}
	}
}

type instancesInput struct {
	DryRun
	InstanceIDs []string `ec2:"InstanceId,required"`
}

type instancesOutput struct {
	Instances []stateChange `ec2:"InstancesSet"`
}

type stateChange struct {
	InstanceID string        `ec2:"InstanceId"`
	Current    instanceState `ec2:"CurrentState"`
	Previous   instanceState `ec2:"PreviousState"`
}

func (s *Service) startInstances(ctx context.Context, in *instancesInput) (*instancesOutput, error) {
	return s.changeInstances(ctx, "StartInstances", in, "running")
}

func (s *Service) stopInstances(ctx context.Context, in *instancesInput) (*instancesOutput, error) {
	return s.changeInstances(ctx, "StopInstances", in, "stopped")
}

func (s *Service) terminateInstances(ctx context.Context, in *instancesInput) (*instancesOutput, error) {
	return s.changeInstances(ctx, "TerminateInstances", in, "terminated")
}

func (s *Service) changeInstances(ctx context.Context, action string, in *instancesInput, to string) (*instancesOutput, error) {
	if err := s.allowOn(ctx, action, in.DryRun, in.InstanceIDs...); err != nil {
		return nil, err
	}
	n := s.network()
	out := &instancesOutput{Instances: []stateChange{}}
	return out, s.DB.Update(func(tx *store.Tx) error {
		for _, id := range in.InstanceIDs {
			i, err := own(tx, n, state.Instances, id)
			if err != nil {
				return err
			}
			if i.State == "terminated" && to != "terminated" {
				return wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be changed.", id)
			}
			out.Instances = append(out.Instances, stateChange{id, instanceState{stateCodes[to], to}, instanceState{stateCodes[i.State], i.State}})
			if to == "terminated" && i.State != to {
				i.TerminatedTime = s.Now().UTC()
				releaseAddresses(tx, i)
			}
			i.State = to
			state.Instances.Put(tx, i)
		}
		return nil
	})
}

// releaseAddresses frees what a terminated instance had.
func releaseAddresses(tx *store.Tx, i state.Instance) {
	for _, a := range []netip.Addr{i.IPv4, i.IPv6} {
		if a.IsValid() {
			state.ZonalAddresses.Delete(tx, state.ZonalAddressKey(i.SubnetID, a))
		}
	}
	for e := range state.ElasticAddressesByInterface.All(tx, i.InterfaceID) {
		e.InterfaceID = ""
		state.ElasticAddresses.Put(tx, e)
	}
}
