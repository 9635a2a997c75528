package ec2

import (
	"context"
	"encoding/hex"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// nic is a network interface: of an instance, or of a load balancer in a zone.
type nic struct {
	id          string
	subnet      inventory.Subnet
	description string
	mac         string
	addresses   []netip.Addr // primary first, both families
	prefixes    []netip.Prefix
	groups      []string
	instanceID  string // empty for a load balancer's
	owner       string // who attached a load balancer's
	typ         string
	dnsName     string
	device      int
}

// Who owns and manages load balancers' interfaces. Clients wait for them to be
// gone by the owner and the description.
const (
	balancerOwner     = "amazon-aws"
	classicOwner      = "amazon-elb"
	balancerRequester = "amazon-elb"

	ordinaryInterface = "interface"
	balancerInterface = "network_load_balancer"
)

func (n nic) managed() bool { return n.instanceID == "" }

// texts lists the addresses of a family.
func (n nic) texts(ipv6 bool) []string {
	var out []string
	for _, a := range n.addresses {
		if a.Is6() == ipv6 {
			out = append(out, a.String())
		}
	}
	return out
}

// primary is the first IPv4 address; empty when there is none.
func (n nic) primary() string { return first(n.texts(false)) }

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// nicsOf lists the interfaces of an instance in order.
func nicsOf(index *inventory.Index, instance inventory.Instance) []nic {
	var all []nic
	for i, in := range instance.Interfaces {
		subnet, _ := index.Subnet(in.SubnetID) // the inventory is consistent
		n := nic{
			id: in.NetworkInterfaceID, subnet: subnet, mac: in.MACAddress, addresses: in.Addresses, prefixes: in.Prefixes,
			groups: in.SecurityGroups, instanceID: instance.InstanceID, dnsName: instance.PrivateDNSName, device: i, typ: ordinaryInterface,
		}
		if n.id == "" {
			n.id = derivedID("eni", instance.InstanceID, strconv.Itoa(i))
		}
		all = append(all, n)
	}
	return all
}

// balancerNics yields the interfaces of all load balancers: one per zone.
func balancerNics(r store.Reader, index *inventory.Index) iter.Seq[nic] {
	return func(yield func(nic) bool) {
		for b := range state.LoadBalancers.All(r) {
			for _, z := range b.Zones {
				if !yield(balancerNic(index, b, z)) {
					return
				}
			}
		}
		for b := range state.ClassicLoadBalancers.All(r) {
			for _, z := range b.Zones {
				if !yield(classicNic(index, b, z)) {
					return
				}
			}
		}
	}
}

func balancerNic(index *inventory.Index, b state.LoadBalancer, z state.ZoneMapping) nic {
	return zonalNic(index, b.ARN, z, nic{groups: b.SecurityGroups, owner: balancerOwner, typ: balancerInterface})
}

func classicNic(index *inventory.Index, b state.ClassicLoadBalancer, z state.ZoneMapping) nic {
	return zonalNic(index, b.ARN, z, nic{groups: b.SecurityGroups, owner: classicOwner, typ: ordinaryInterface})
}

// zonalNic completes the interface of a load balancer in a zone.
func zonalNic(index *inventory.Index, arn string, z state.ZoneMapping, n nic) nic {
	n.id = state.InterfaceID(arn, z.Zone)
	n.subnet, _ = index.Subnet(z.SubnetID)
	n.description = "ELB " + arn[strings.LastIndex(arn, "loadbalancer/")+len("loadbalancer/"):]
	n.mac = "02:" + colons(n.id[len(n.id)-10:])
	for _, a := range []netip.Addr{z.IPv4, z.IPv6} {
		if a.IsValid() {
			n.addresses = append(n.addresses, a)
		}
	}
	return n
}

// colons writes hexadecimal digits as the bytes of a MAC address.
func colons(digits string) string {
	raw, _ := hex.DecodeString(digits) // derived IDs end in hexadecimal digits
	parts := make([]string, len(raw))
	for i := range raw {
		parts[i] = digits[2*i : 2*i+2]
	}
	return strings.Join(parts, ":")
}

type describeNetworkInterfacesInput struct {
	Query
	IDs []string `ec2:"NetworkInterfaceId"`
}

type describeNetworkInterfacesOutput struct {
	Interfaces []NetworkInterface `ec2:"NetworkInterfaceSet"`
	NextToken  *string            `ec2:"NextToken"`
}

// NetworkInterface is a network interface in responses, by itself or as part of
// an instance.
type NetworkInterface struct {
	ID               string           `ec2:"NetworkInterfaceId"`
	SubnetID         string           `ec2:"SubnetId"`
	VpcID            string           `ec2:"VpcId"`
	Zone             string           `ec2:"AvailabilityZone"`
	Description      string           `ec2:"Description"`
	OwnerID          string           `ec2:"OwnerId"`
	RequesterID      string           `ec2:"RequesterId,omitempty"`
	RequesterManaged bool             `ec2:"RequesterManaged"`
	Status           string           `ec2:"Status"`
	MacAddress       string           `ec2:"MacAddress,omitempty"`
	PrivateIP        string           `ec2:"PrivateIpAddress,omitempty"`
	PrivateDNSName   string           `ec2:"PrivateDnsName,omitempty"`
	SourceDestCheck  bool             `ec2:"SourceDestCheck"`
	Groups           []groupName      `ec2:"GroupSet"`
	Attachment       nicAttachment    `ec2:"Attachment"`
	Tags             []Tag            `ec2:"TagSet"`
	PrivateIPs       []privateAddress `ec2:"PrivateIpAddressesSet"`
	IPv6Addresses    []ipv6Address    `ec2:"Ipv6AddressesSet"`
	InterfaceType    string           `ec2:"InterfaceType"`
	IPv4Prefixes     []ipv4Prefix     `ec2:"Ipv4PrefixSet"`
	IPv6Prefixes     []ipv6Prefix     `ec2:"Ipv6PrefixSet"`
}

type groupName struct {
	ID   string `ec2:"GroupId"`
	Name string `ec2:"GroupName"`
}

type nicAttachment struct {
	ID                  string `ec2:"AttachmentId"`
	InstanceID          string `ec2:"InstanceId,omitempty"`
	InstanceOwnerID     string `ec2:"InstanceOwnerId"`
	DeviceIndex         int32  `ec2:"DeviceIndex"`
	Status              string `ec2:"Status"`
	DeleteOnTermination bool   `ec2:"DeleteOnTermination"`
}

type privateAddress struct {
	Address string `ec2:"PrivateIpAddress"`
	DNSName string `ec2:"PrivateDnsName,omitempty"`
	Primary bool   `ec2:"Primary"`
}

type ipv6Address struct {
	Address string `ec2:"Ipv6Address"`
}

type ipv4Prefix struct {
	Prefix string `ec2:"Ipv4Prefix"`
}

type ipv6Prefix struct {
	Prefix string `ec2:"Ipv6Prefix"`
}

func (s *Service) nicKind(r store.Reader, groups groupNames) kind[nic] {
	text := func(f func(nic) string) func(nic) []string {
		return func(n nic) []string { return nonEmpty(f(n)) }
	}
	ipv4 := func(n nic) []string { return n.texts(false) }
	return kind[nic]{
		id: func(n nic) string { return n.id }, idFilter: "network-interface-id",
		absent: notFound("InvalidNetworkInterfaceID.NotFound", "networkInterface"),
		tags:   func(n nic) map[string]string { return state.Tags(r, n.id) },
		attributes: attributes[nic]{
			"network-interface-id":         text(func(n nic) string { return n.id }),
			"subnet-id":                    text(func(n nic) string { return n.subnet.SubnetID }),
			"vpc-id":                       text(func(n nic) string { return n.subnet.VPCID }),
			"availability-zone":            text(func(n nic) string { return n.subnet.AvailabilityZone }),
			"description":                  func(n nic) []string { return []string{n.description} },
			"mac-address":                  text(func(n nic) string { return n.mac }),
			"private-ip-address":           text(nic.primary),
			"private-dns-name":             text(func(n nic) string { return n.dnsName }),
			"addresses.private-ip-address": ipv4,
			"ipv6-addresses.ipv6-address":  func(n nic) []string { return n.texts(true) },
			"group-id":                     func(n nic) []string { return n.groups },
			"group-name":                   func(n nic) []string { return groups.all(n.groups) },
			"interface-type":               text(func(n nic) string { return n.typ }),
			"owner-id":                     text(func(nic) string { return s.AccountID }),
			"requester-managed":            func(n nic) []string { return yes(n.managed()) },
			"requester-id":                 text(requester),
			"status":                       text(func(nic) string { return "in-use" }),
			"source-dest-check":            func(n nic) []string { return yes(!n.managed()) },
			"attachment.instance-id":       text(func(n nic) string { return n.instanceID }),
			"attachment.instance-owner-id": text(s.attachedBy),
			"attachment.device-index":      text(func(n nic) string { return strconv.Itoa(n.device) }),
			"attachment.status":            text(func(nic) string { return "attached" }),
			"attachment.attachment-id":     text(attachmentID),
		},
	}
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func requester(n nic) string {
	if n.managed() {
		return balancerRequester
	}
	return ""
}

func (s *Service) attachedBy(n nic) string {
	if n.managed() {
		return n.owner
	}
	return s.AccountID
}

func attachmentID(n nic) string { return derivedID("eni-attach", n.id) }

func (s *Service) describeNetworkInterfaces(ctx context.Context, in *describeNetworkInterfacesInput) (*describeNetworkInterfacesOutput, error) {
	if err := s.allowRead(ctx, "DescribeNetworkInterfaces", in.DryRun); err != nil {
		return nil, err
	}
	n, r := s.network(), s.DB.Current()
	groups := groupNames{r, n}
	k := s.nicKind(r, groups)
	from := source[nic]{
		get: func(id string) (nic, bool) { return n.nicByID(r, id) },
		all: func(yield func(nic) bool) {
			for _, v := range n.interfaces {
				if !yield(v) {
					return
				}
			}
			balancerNics(r, n.Index)(yield)
		},
	}
	found, next, err := k.find(from, in.IDs, in.Query)
	if err != nil {
		return nil, err
	}
	return &describeNetworkInterfacesOutput{convert(found, func(v nic) NetworkInterface {
		return s.networkInterface(v, groups, k.tags(v))
	}), token(next)}, nil
}

// nicByID finds an interface.
func (n *network) nicByID(r store.Reader, id string) (nic, bool) {
	if v, ok := n.interfaces[id]; ok {
		return v, true
	}
	if b, ok := state.LoadBalancersByInterface.First(r, id); ok {
		return balancerNic(n.Index, b, zoneOf(b.ARN, b.Zones, id)), true
	}
	if b, ok := state.ClassicLoadBalancersByInterface.First(r, id); ok {
		return classicNic(n.Index, b, zoneOf(b.ARN, b.Zones, id)), true
	}
	return nic{}, false
}

// zoneOf is the zone of a load balancer that an interface is of.
func zoneOf(arn string, zones []state.ZoneMapping, interfaceID string) state.ZoneMapping {
	i := slices.IndexFunc(zones, func(z state.ZoneMapping) bool { return state.InterfaceID(arn, z.Zone) == interfaceID })
	return zones[i] // the index found the load balancer by it
}

func (s *Service) networkInterface(n nic, groups groupNames, tags map[string]string) NetworkInterface {
	out := NetworkInterface{
		ID: n.id, SubnetID: n.subnet.SubnetID, VpcID: n.subnet.VPCID, Zone: n.subnet.AvailabilityZone,
		Description: n.description, OwnerID: s.AccountID, RequesterID: requester(n), RequesterManaged: n.managed(),
		Status: "in-use", MacAddress: n.mac, PrivateIP: n.primary(), PrivateDNSName: n.dnsName, SourceDestCheck: !n.managed(),
		Groups: groups.named(n.groups), Tags: tagSet(tags), InterfaceType: n.typ,
		Attachment: nicAttachment{
			ID: attachmentID(n), InstanceID: n.instanceID, InstanceOwnerID: s.attachedBy(n), DeviceIndex: int32(n.device),
			Status: "attached", DeleteOnTermination: !n.managed(),
		},
		PrivateIPs:    []privateAddress{},
		IPv6Addresses: convert(n.texts(true), func(a string) ipv6Address { return ipv6Address{a} }),
	}
	for i, a := range n.texts(false) {
		out.PrivateIPs = append(out.PrivateIPs, privateAddress{Address: a, Primary: i == 0})
	}
	v4 := slices.DeleteFunc(slices.Clone(n.prefixes), func(p netip.Prefix) bool { return p.Addr().Is6() })
	v6 := slices.DeleteFunc(slices.Clone(n.prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() })
	out.IPv4Prefixes = convert(v4, func(p netip.Prefix) ipv4Prefix { return ipv4Prefix{p.String()} })
	out.IPv6Prefixes = convert(v6, func(p netip.Prefix) ipv6Prefix { return ipv6Prefix{p.String()} })
	return out
}
