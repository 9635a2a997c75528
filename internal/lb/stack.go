package lb

import (
	"net/netip"
	"slices"
)

// Stack is everything that one Service wants: one load balancer and what hangs
// on it. The zero Stack wants nothing, which is how deletion is said.
//
// It is a value without identifiers of AWS: resources are told apart by name,
// listeners by port. Slices are sorted, so that equal stacks encode equally.
type Stack struct {
	LoadBalancer LoadBalancer `json:"loadBalancer"`
	// Frontend is the security group that says who may connect; nil when the
	// user names groups of their own.
	Frontend *SecurityGroup `json:"frontend,omitempty"`
	// Backend attaches the cluster's shared backend group, the one that the
	// nodes' own groups let in.
	Backend bool `json:"backend,omitempty"`
	// NodeRules are what the nodes' own groups have to let in, where the load
	// balancer has no security groups that they could let in instead.
	NodeRules    []Rule        `json:"nodeRules,omitempty"`
	TargetGroups []TargetGroup `json:"targetGroups,omitempty"` // by name
	Listeners    []Listener    `json:"listeners,omitempty"`    // by port
	// Classic is set for a Classic Load Balancer, which has neither target groups
	// nor listeners of ELBv2.
	Classic *ClassicParts `json:"classic,omitempty"`
}

// Empty says that the stack wants nothing.
func (s Stack) Empty() bool { return s.LoadBalancer.Name == "" }

// Group is the target group of a name, or nil.
func (s Stack) Group(name string) *TargetGroup {
	i := slices.IndexFunc(s.TargetGroups, func(g TargetGroup) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &s.TargetGroups[i]
}

// LoadBalancer is the load balancer itself.
type LoadBalancer struct {
	Name          string           `json:"name"`
	Type          LoadBalancerType `json:"type"`
	Scheme        Scheme           `json:"scheme"`
	IPAddressType IPAddressType    `json:"ipAddressType"`
	Subnets       []string         `json:"subnets"`
	// SubnetMappings are the subnets in which the user chooses addresses, sorted
	// by subnet. AWS chooses in those that have none.
	SubnetMappings []SubnetMapping   `json:"subnetMappings,omitempty"`
	SecurityGroups []string          `json:"securityGroups,omitempty"` // those that the user names
	Attributes     map[string]string `json:"attributes,omitempty"`     // explicit ones only
	Tags           map[string]string `json:"tags,omitempty"`
	// NoSecurityGroups says that the load balancer is made without security
	// groups. One that is can never get any, and one that is not keeps some.
	NoSecurityGroups bool `json:"noSecurityGroups,omitempty"`
	// PrivateLinkUnfiltered lets everyone in who comes through PrivateLink,
	// whatever the security groups say.
	PrivateLinkUnfiltered bool `json:"privateLinkUnfiltered,omitempty"`
	// IPv6SourceNAT is EnablePrefixForIpv6SourceNat, on or off; empty leaves it
	// as it is, which is off for a new load balancer.
	IPv6SourceNAT string `json:"ipv6SourceNat,omitempty"`
	// CapacityUnits are the load balancer capacity units that are reserved; 0 is
	// no reservation.
	CapacityUnits int32 `json:"capacityUnits,omitempty"`
}

// Values of IPv6SourceNAT, and the prefix that AWS chooses itself.
const (
	On           = "on"
	Off          = "off"
	AutoAssigned = "auto_assigned"
)

// SubnetMapping is a subnet of a load balancer with the addresses chosen in it.
// It is comparable.
type SubnetMapping struct {
	SubnetID            string     `json:"subnetId"`
	AllocationID        string     `json:"allocationId,omitempty"` // of an Elastic IP address
	PrivateIPv4Address  netip.Addr `json:"privateIPv4Address,omitzero"`
	IPv6Address         netip.Addr `json:"ipv6Address,omitzero"`
	SourceNATIPv6Prefix string     `json:"sourceNatIpv6Prefix,omitempty"` // a /80, or AutoAssigned
}

// Mapping is the mapping of a subnet, without addresses when none are chosen.
func (b *LoadBalancer) Mapping(subnet string) SubnetMapping {
	for _, m := range b.SubnetMappings {
		if m.SubnetID == subnet {
			return m
		}
	}
	return SubnetMapping{SubnetID: subnet}
}

// SecurityGroup is a security group with its inbound rules.
type SecurityGroup struct {
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Ingress     []Rule            `json:"ingress,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// Rule lets one source in. It is comparable: sets of rules are compared by it.
type Rule struct {
	Protocol string       `json:"protocol"` // tcp, udp, icmp, icmpv6, or -1 for all
	FromPort int32        `json:"fromPort"` // first port, or the ICMP type
	ToPort   int32        `json:"toPort"`   // last port, or the ICMP code
	Source   netip.Prefix `json:"source,omitzero"`
	// SourceGroup is a group's ID, SourceList a managed prefix list's, instead of Source.
	SourceGroup string `json:"sourceGroup,omitempty"`
	SourceList  string `json:"sourceList,omitempty"`
}

// TargetGroup is a target group with its targets.
type TargetGroup struct {
	Key           string            `json:"key"` // what the Service calls it: its port's name, or protocol and number
	Name          string            `json:"name"`
	Protocol      Protocol          `json:"protocol"`
	Port          uint16            `json:"port"` // the default port; every target is registered with its own
	TargetType    TargetType        `json:"targetType"`
	IPAddressType IPAddressType     `json:"ipAddressType"`
	HealthCheck   HealthCheck       `json:"healthCheck"`
	Attributes    map[string]string `json:"attributes,omitempty"` // explicit ones only
	Tags          map[string]string `json:"tags,omitempty"`
	Targets       []Target          `json:"targets,omitempty"` // by ID, then port
	// Shared says that others register targets too, and that theirs are left
	// alone.
	Shared bool `json:"shared,omitempty"`
}

// Target is what a target group is registered with. It is comparable.
type Target struct {
	ID   string `json:"id"` // an instance ID or an address
	Port uint16 `json:"port"`
}

// Listener takes connections on a port and forwards them to one target group,
// or to several by their weights.
type Listener struct {
	Port        uint16   `json:"port"`
	Protocol    Protocol `json:"protocol"`
	TargetGroup string   `json:"targetGroup"` // its name
	// Forward are the groups that share new connections, TargetGroup among them;
	// it is empty when TargetGroup gets all.
	Forward []Forward `json:"forward,omitempty"`
	// Stickiness keeps a client to the one of several groups that it got first.
	Stickiness bool              `json:"stickiness,omitempty"`
	Security   Security          `json:"security,omitzero"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// MaxForward is AWS's quota of target groups in one forward action.
const MaxForward = 5

// Forward is a target group of a listener with its share of new connections.
// It is comparable.
type Forward struct {
	TargetGroup string `json:"targetGroup"` // its name
	Weight      int    `json:"weight"`      // 0 to 999
	// Foreign says that the group is not the Service's own: TargetGroup is its
	// ARN then, or its name as long as the ARN has not been looked up.
	Foreign bool `json:"foreign,omitempty"`
}

// Security is the TLS part of a listener; the zero value is that of others.
type Security struct {
	Certificates []string `json:"certificates"` // ARNs; the first is the default
	SSLPolicy    string   `json:"sslPolicy"`
	ALPNPolicy   string   `json:"alpnPolicy"`
}

// What the API gives a TLS listener that names no policies.
const (
	DefaultSSLPolicy = "ELBSecurityPolicy-2016-08"
	NoALPN           = "None"
)

// DefaultLoadBalancerAttributes are the attributes of a new Network Load
// Balancer as the ELBv2 API reference gives them. The bucket of access logs is
// left out: it is empty, and AWS refuses to make it so again.
func DefaultLoadBalancerAttributes(scheme Scheme) map[string]string {
	deny := "false"
	if scheme == Internal {
		deny = "true"
	}
	return map[string]string{
		AttrDeletionProtection:  "false",
		AttrCrossZone:           "false",
		AttrAccessLogsEnabled:   "false",
		AttrAccessLogsPrefix:    "",
		AttrDenyAllIGWTraffic:   deny,
		AttrZonalShift:          "false",
		AttrClientRoutingPolicy: "any_availability_zone",
		AttrSecondaryIPs:        "0",
	}
}

// DefaultTargetGroupAttributes are the attributes of a new target group of a
// Network Load Balancer; some depend on its protocol and target type.
func DefaultTargetGroupAttributes(p Protocol, t TargetType) map[string]string {
	udp := p == UDP || p == TCPUDP
	attrs := map[string]string{
		AttrDeregistrationDelay:        "300",
		AttrDeregistrationTermination:  "false",
		AttrPreserveClientIP:           "true",
		AttrProxyProtocolV2:            "false",
		AttrStickinessEnabled:          "false",
		AttrStickinessType:             "source_ip",
		AttrCrossZone:                  CrossZoneFromLoadBalancer,
		AttrDNSFailoverCount:           "1",
		AttrDNSFailoverPercentage:      "off",
		AttrUnhealthyRoutingCount:      "1",
		AttrUnhealthyRoutingPercentage: "off",
		AttrUnhealthyTermination:       "true",
		AttrUnhealthyDrainingInterval:  "0",
	}
	if udp {
		attrs[AttrDeregistrationTermination] = "true"
		attrs[AttrUnhealthyTermination] = "false"
	}
	if t == IPTarget && !udp {
		attrs[AttrPreserveClientIP] = "false"
	}
	return attrs
}

// DefaultListenerAttributes are the attributes of a new listener.
func DefaultListenerAttributes(p Protocol) map[string]string {
	if p == TCP || p == TCPUDP {
		return map[string]string{AttrTCPIdleTimeout: "350"}
	}
	return nil
}
