package ec2

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

type describeInstancesInput struct {
	Query
	InstanceIDs []string `ec2:"InstanceId"`
}

type describeInstancesOutput struct {
	Reservations []Reservation `ec2:"ReservationSet"`
	NextToken    *string       `ec2:"NextToken"`
}

// Reservation is what instances come in; here each has its own.
type Reservation struct {
	ID        string      `ec2:"ReservationId"`
	OwnerID   string      `ec2:"OwnerId"`
	Groups    []groupName `ec2:"GroupSet"`
	Instances []Instance  `ec2:"InstancesSet"`
}

// Instance is an instance in responses: what the inventory knows of it.
type Instance struct {
	InstanceID      string             `ec2:"InstanceId"`
	State           instanceState      `ec2:"InstanceState"`
	PrivateDNSName  string             `ec2:"PrivateDnsName"`
	PublicDNSName   string             `ec2:"DnsName"`
	LaunchIndex     int32              `ec2:"AmiLaunchIndex"`
	Placement       placement          `ec2:"Placement"`
	SubnetID        string             `ec2:"SubnetId,omitempty"`
	VpcID           string             `ec2:"VpcId,omitempty"`
	PrivateIP       string             `ec2:"PrivateIpAddress,omitempty"`
	IPv6Address     string             `ec2:"Ipv6Address,omitempty"`
	PublicIP        string             `ec2:"IpAddress,omitempty"`
	ImageID         string             `ec2:"ImageId,omitempty"`
	InstanceType    string             `ec2:"InstanceType,omitempty"`
	KeyName         string             `ec2:"KeyName,omitempty"`
	LaunchTime      time.Time          `ec2:"LaunchTime,omitempty"`
	ClientToken     string             `ec2:"ClientToken,omitempty"`
	SourceDestCheck bool               `ec2:"SourceDestCheck"`
	Groups          []groupName        `ec2:"GroupSet"`
	Tags            []Tag              `ec2:"TagSet"`
	Interfaces      []NetworkInterface `ec2:"NetworkInterfaceSet"`
}

type placement struct {
	Zone    string `ec2:"AvailabilityZone"`
	Group   string `ec2:"GroupName"`
	Tenancy string `ec2:"Tenancy"`
}

type instanceState struct {
	Code int32  `ec2:"Code"`
	Name string `ec2:"Name"`
}

// stateCodes are EC2's codes of instance states.
var stateCodes = map[string]int32{
	"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80,
}

func stateName(i inventory.Instance) string { return cmp.Or(i.State, "running") }

func (s *Service) instanceKind(r store.Reader, n *network) kind[inventory.Instance] {
	type instance = inventory.Instance
	groups := groupNames{r, n}
	one := func(f func(instance) string) func(instance) []string {
		return func(i instance) []string { return nonEmpty(f(i)) }
	}
	ofNics := func(f func(nic) []string) func(instance) []string {
		return func(i instance) []string {
			var all []string
			for _, v := range nicsOf(n.Index, i) {
				all = append(all, f(v)...)
			}
			return all
		}
	}
	groupIDs := ofNics(func(v nic) []string { return v.groups })
	ipv4 := ofNics(func(v nic) []string { return v.texts(false) })
	ipv6 := ofNics(func(v nic) []string { return v.texts(true) })
	return kind[instance]{
		id: func(i instance) string { return i.InstanceID }, idFilter: "instance-id",
		absent: notFound("InvalidInstanceID.NotFound", "instance"),
		tags:   func(i instance) map[string]string { return tagsOf(r, i.InstanceID, i.Tags) },
		attributes: attributes[instance]{
			"instance-id":         one(func(i instance) string { return i.InstanceID }),
			"instance-state-name": one(stateName),
			"instance-state-code": one(func(i instance) string { return strconv.Itoa(int(stateCodes[stateName(i)])) }),
			"private-dns-name":    one(func(i instance) string { return i.PrivateDNSName }),
			"vpc-id":              one(n.VPCOf),
			"availability-zone":   one(n.ZoneOf),
			"subnet-id": one(func(i instance) string {
				return first(ofNics(func(v nic) []string { return []string{v.subnet.SubnetID} })(i))
			}),
			"private-ip-address":                             one(func(i instance) string { return first(ipv4(i)) }),
			"ipv6-address":                                   ipv6,
			"owner-id":                                       one(func(instance) string { return s.AccountID }),
			"reservation-id":                                 one(func(i instance) string { return reservationID(r, i) }),
			"client-token":                                   one(func(i instance) string { return made(r, i).ClientToken }),
			"image-id":                                       one(func(i instance) string { return made(r, i).ImageID }),
			"instance-type":                                  one(func(i instance) string { return made(r, i).InstanceType }),
			"instance.group-id":                              groupIDs,
			"instance.group-name":                            func(i instance) []string { return groups.all(groupIDs(i)) },
			"network-interface.network-interface-id":         ofNics(func(v nic) []string { return []string{v.id} }),
			"network-interface.subnet-id":                    ofNics(func(v nic) []string { return []string{v.subnet.SubnetID} }),
			"network-interface.vpc-id":                       ofNics(func(v nic) []string { return []string{v.subnet.VPCID} }),
			"network-interface.mac-address":                  ofNics(func(v nic) []string { return nonEmpty(v.mac) }),
			"network-interface.private-dns-name":             ofNics(func(v nic) []string { return nonEmpty(v.dnsName) }),
			"network-interface.group-id":                     groupIDs,
			"network-interface.addresses.private-ip-address": ipv4,
			"network-interface.ipv6-addresses.ipv6-address":  ipv6,
		},
	}
}

// made is what the state knows of an instance; nothing of one of the file.
func made(r store.Reader, i inventory.Instance) state.Instance {
	known, _ := state.Instances.Get(r, i.InstanceID)
	return known
}

func reservationID(r store.Reader, i inventory.Instance) string {
	return cmp.Or(made(r, i).ReservationID, derivedID("r", i.InstanceID))
}

func (s *Service) describeInstances(ctx context.Context, in *describeInstancesInput) (*describeInstancesOutput, error) {
	if err := s.allowRead(ctx, "DescribeInstances", in.DryRun); err != nil {
		return nil, err
	}
	if err := checkIDs("i-", in.InstanceIDs, "InvalidInstanceID.Malformed"); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	k := s.instanceKind(r, n)
	found, next, err := k.find(source[inventory.Instance]{n.Instance, slices.Values(n.Instances)}, in.InstanceIDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeInstancesOutput{convert(found, func(i inventory.Instance) Reservation {
		return Reservation{
			ID: reservationID(r, i), OwnerID: s.AccountID, Groups: []groupName{},
			Instances: []Instance{s.instance(r, n, i, k.tags(i))},
		}
	}), token(next)}, nil
}

func (s *Service) instance(r store.Reader, n *network, i inventory.Instance, tags map[string]string) Instance {
	out := Instance{
		InstanceID: i.InstanceID, State: instanceState{stateCodes[stateName(i)], stateName(i)}, PrivateDNSName: i.PrivateDNSName,
		Placement: placement{Zone: n.ZoneOf(i), Tenancy: "default"}, SourceDestCheck: true, Tags: tagSet(tags),
		Groups: []groupName{}, Interfaces: []NetworkInterface{},
	}
	known := made(r, i)
	out.ImageID, out.InstanceType, out.KeyName, out.LaunchTime, out.ClientToken = known.ImageID, known.InstanceType, known.KeyName, known.LaunchTime, known.ClientToken
	groups := groupNames{r, n}
	for _, v := range nicsOf(n.Index, i) {
		if e, ok := state.ElasticAddressesByInterface.First(r, v.id); ok && v.device == 0 {
			out.PublicIP = e.Address.String()
		}
		out.Interfaces = append(out.Interfaces, s.networkInterface(v, groups, nil))
		if v.device == 0 {
			out.SubnetID, out.VpcID, out.PrivateIP = v.subnet.SubnetID, v.subnet.VPCID, v.primary()
			out.IPv6Address, out.Groups = first(v.texts(true)), groups.named(v.groups)
		}
	}
	return out
}
