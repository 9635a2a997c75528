package state

import (
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/store"
)

// VPC is a VPC that was created through the API. Those of the inventory are not
// records.
type VPC struct {
	VPCID         string       `json:"vpcId"`
	CIDRBlock     netip.Prefix `json:"cidrBlock"`
	IPv6CIDRBlock netip.Prefix `json:"ipv6CidrBlock,omitzero"`
	NoDNSSupport  bool         `json:"noDnsSupport,omitempty"` // enableDnsSupport is true by default
	DNSHostnames  bool         `json:"dnsHostnames,omitempty"`
	UsageMetrics  bool         `json:"usageMetrics,omitempty"`
}

// Subnet is a subnet that was created through the API.
type Subnet struct {
	SubnetID           string       `json:"subnetId"`
	VPCID              string       `json:"vpcId"`
	AvailabilityZone   string       `json:"availabilityZone"`
	AvailabilityZoneID string       `json:"availabilityZoneId"`
	CIDRBlock          netip.Prefix `json:"cidrBlock"`
	IPv6CIDRBlock      netip.Prefix `json:"ipv6CidrBlock,omitzero"`
	MapPublicIP        bool         `json:"mapPublicIp,omitempty"`
	AssignIPv6         bool         `json:"assignIpv6,omitempty"`
	RouteTableID       string       `json:"routeTableId,omitempty"` // empty: the VPC's main one
}

// InternetGateway is an internet gateway that was created through the API.
type InternetGateway struct {
	GatewayID string `json:"gatewayId"`
	VPCID     string `json:"vpcId,omitempty"` // empty: attached to none
}

// RouteTable is a route table that was created through the API, or with a VPC.
type RouteTable struct {
	RouteTableID string  `json:"routeTableId"`
	VPCID        string  `json:"vpcId"`
	Main         bool    `json:"main,omitempty"`
	Routes       []Route `json:"routes,omitempty"` // beside the local ones
}

// Route leads to an internet gateway or to an instance.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	GatewayID   string       `json:"gatewayId,omitempty"`
	InstanceID  string       `json:"instanceId,omitempty"`
}

// Instance is an instance that was created through the API: a record with
// addresses, for machines that someone else runs.
type Instance struct {
	InstanceID     string     `json:"instanceId"`
	ReservationID  string     `json:"reservationId"`
	ClientToken    string     `json:"clientToken,omitempty"`
	ImageID        string     `json:"imageId"`
	InstanceType   string     `json:"instanceType"`
	KeyName        string     `json:"keyName,omitempty"`
	State          string     `json:"state"` // running, stopped or terminated
	LaunchTime     time.Time  `json:"launchTime"`
	TerminatedTime time.Time  `json:"terminatedTime,omitzero"`
	PrivateDNSName string     `json:"privateDnsName"`
	InterfaceID    string     `json:"interfaceId"`
	MACAddress     string     `json:"macAddress"`
	SubnetID       string     `json:"subnetId"`
	IPv4           netip.Addr `json:"ipv4"`
	IPv6           netip.Addr `json:"ipv6,omitzero"`
	SecurityGroups []string   `json:"securityGroups,omitempty"`
}

// PrefixList is a managed prefix list: addresses that rules of security groups
// refer to together.
type PrefixList struct {
	PrefixListID string            `json:"prefixListId"`
	Name         string            `json:"name"`
	IPv6         bool              `json:"ipv6,omitempty"` // the family of its entries
	MaxEntries   int32             `json:"maxEntries"`
	Version      int64             `json:"version"`           // rises with every change of entries
	Entries      []PrefixListEntry `json:"entries,omitempty"` // sorted by prefix, each once
}

// PrefixListEntry is a prefix of a list.
type PrefixListEntry struct {
	CIDR        netip.Prefix `json:"cidr"`
	Description string       `json:"description,omitempty"`
}

// Tables and indexes of the network. Keys stand in the comments.
var (
	PrefixLists                 = store.NewTable(schema, "prefixLists", func(l PrefixList) string { return l.PrefixListID })
	VPCs                        = store.NewTable(schema, "vpcs", func(v VPC) string { return v.VPCID })
	Subnets                     = store.NewTable(schema, "subnets", func(s Subnet) string { return s.SubnetID })
	InternetGateways            = store.NewTable(schema, "internetGateways", func(g InternetGateway) string { return g.GatewayID })
	RouteTables                 = store.NewTable(schema, "routeTables", func(t RouteTable) string { return t.RouteTableID })
	Instances                   = store.NewTable(schema, "instances", func(i Instance) string { return i.InstanceID })
	SubnetsByVPC                = store.NewIndex(schema, Subnets, func(s Subnet) []string { return []string{s.VPCID} })
	SubnetsByRouteTable         = store.NewIndex(schema, Subnets, func(s Subnet) []string { return optional(s.RouteTableID) })
	InternetGatewaysByVPC       = store.NewIndex(schema, InternetGateways, func(g InternetGateway) []string { return optional(g.VPCID) })
	RouteTablesByVPC            = store.NewIndex(schema, RouteTables, func(t RouteTable) []string { return []string{t.VPCID} })
	ElasticAddressesByInterface = store.NewIndex(schema, ElasticAddresses, func(a ElasticAddress) []string { return optional(a.InterfaceID) })
	InstancesByToken            = store.NewIndex(schema, Instances, func(i Instance) []string { return optional(i.ClientToken) })
)

// MainRouteTable is the one of a VPC's subnets that have no other.
func MainRouteTable(r store.Reader, vpcID string) (RouteTable, bool) {
	for t := range RouteTablesByVPC.All(r, vpcID) {
		if t.Main {
			return t, true
		}
	}
	return RouteTable{}, false
}
