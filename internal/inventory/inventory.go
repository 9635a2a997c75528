// Package inventory describes the network that load balancers live in: VPCs,
// subnets, instances with all their addresses, and the edges.
//
// On AWS this knowledge is EC2's. Off AWS a person or a tool (the lab, a
// provisioning script, fairlead node) writes it to a file that the engine
// watches and serves through its EC2 API. Words are EC2's.
//
// Invariants: the package is pure; Parse reports every problem of a file at
// once; a File that Parse returned without error is consistent (every reference
// resolves, no address occurs twice).
package inventory

import "net/netip"

// File is the whole inventory, in YAML or JSON.
type File struct {
	VPCs           []VPC           `json:"vpcs"`
	Subnets        []Subnet        `json:"subnets"`
	SecurityGroups []SecurityGroup `json:"securityGroups,omitempty"`
	Instances      []Instance      `json:"instances,omitempty"`
	Edges          []Edge          `json:"edges,omitempty"`

	// ElasticIPPools are the public addresses that AllocateAddress gives out.
	// Packets to them have to be routed to the zones' segments.
	ElasticIPPools []netip.Prefix `json:"elasticIpPools,omitempty"`
}

// VPC is a virtual network.
type VPC struct {
	VPCID         string       `json:"vpcId"`
	CIDRBlock     netip.Prefix `json:"cidrBlock"`
	IPv6CIDRBlock netip.Prefix `json:"ipv6CidrBlock,omitzero"`
	IsDefault     bool         `json:"isDefault,omitempty"`

	// InternetGatewayID is that of its internet gateway. A VPC with a public subnet
	// has one also when it is not named.
	InternetGatewayID string `json:"internetGatewayId,omitempty"`

	Tags map[string]string `json:"tags,omitempty"`
	Made bool              `json:"-"` // through the API: not in the file
}

// Subnet is the part of a VPC that lies in one zone. Load balancer addresses
// are taken from it.
type Subnet struct {
	SubnetID           string       `json:"subnetId"`
	VPCID              string       `json:"vpcId"`
	AvailabilityZone   string       `json:"availabilityZone"`   // such as us-west-2a
	AvailabilityZoneID string       `json:"availabilityZoneId"` // such as usw2-az1
	CIDRBlock          netip.Prefix `json:"cidrBlock"`
	IPv6CIDRBlock      netip.Prefix `json:"ipv6CidrBlock,omitzero"`
	Public             bool         `json:"public,omitempty"` // its default route is an internet gateway

	// CIDRReservations are ranges of the subnet that no load balancer address
	// is taken from, such as those of machines and pods that come later (EC2's
	// subnet CIDR reservations).
	CIDRReservations []netip.Prefix `json:"cidrReservations,omitempty"`

	Tags map[string]string `json:"tags,omitempty"`
	Made bool              `json:"-"` // through the API: not in the file
}

// SecurityGroup is a group that exists before any client creates one, such as
// the nodes' own. Rules are added through the API.
type SecurityGroup struct {
	GroupID     string            `json:"groupId"`
	GroupName   string            `json:"groupName"`
	Description string            `json:"description,omitempty"`
	VPCID       string            `json:"vpcId"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// Instance is a machine that can be a target.
type Instance struct {
	InstanceID     string             `json:"instanceId"`
	PrivateDNSName string             `json:"privateDnsName,omitempty"`
	State          string             `json:"state,omitempty"` // EC2's instance state; empty means running
	Interfaces     []NetworkInterface `json:"networkInterfaces"`
	Tags           map[string]string  `json:"tags,omitempty"`
}

// NetworkInterface is one interface of an instance. The first address of the
// first interface is where an instance target's packets go, per family.
type NetworkInterface struct {
	NetworkInterfaceID string         `json:"networkInterfaceId,omitempty"`
	SubnetID           string         `json:"subnetId"`
	MACAddress         string         `json:"macAddress,omitempty"`
	Addresses          []netip.Addr   `json:"addresses"`          // primary first, then secondary; both families
	Prefixes           []netip.Prefix `json:"prefixes,omitempty"` // delegated ranges, such as pod CIDRs
	SecurityGroups     []string       `json:"securityGroups,omitempty"`
}

// Edge is a load balancer node: its addresses are taken, and health checks
// come from them. They may be an instance's, which the edge then runs on.
type Edge struct {
	Zone      string       `json:"availabilityZone"`
	Addresses []netip.Addr `json:"addresses"`
}
