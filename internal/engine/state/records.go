package state

import (
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// LoadBalancer is a Network Load Balancer.
type LoadBalancer struct {
	ARN            string            `json:"arn"`
	Name           string            `json:"name"`
	DNSName        string            `json:"dnsName"`
	Scheme         lb.Scheme         `json:"scheme"`
	IPAddressType  lb.IPAddressType  `json:"ipAddressType"`
	VPCID          string            `json:"vpcId"`
	CreatedTime    time.Time         `json:"createdTime"`
	ActiveTime     time.Time         `json:"activeTime"` // provisioning until then, active from then on
	Zones          []ZoneMapping     `json:"zones"`      // sorted by zone
	SecurityGroups []string          `json:"securityGroups,omitempty"`
	Attributes     map[string]string `json:"attributes,omitempty"`

	// SourceNATPrefixes is "on" or "off": EnablePrefixForIpv6SourceNat.
	SourceNATPrefixes string `json:"sourceNatPrefixes"`
	// EnforceOnPrivateLink is "on" or "off" and empty without security groups:
	// EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic.
	EnforceOnPrivateLink string `json:"enforceOnPrivateLink,omitempty"`
	// CapacityUnits is the minimum capacity that was asked for; 0 when none was.
	CapacityUnits int32 `json:"capacityUnits,omitempty"`
}

// State is provisioning before ActiveTime and active from then on.
func (b LoadBalancer) State(now time.Time) lb.State {
	if now.Before(b.ActiveTime) {
		return lb.Provisioning
	}
	return lb.Active
}

// Zone returns the mapping of a zone.
func (b LoadBalancer) Zone(zone string) (ZoneMapping, bool) {
	for _, z := range b.Zones {
		if z.Zone == zone {
			return z, true
		}
	}
	return ZoneMapping{}, false
}

// ZoneMapping is a zone that a load balancer is enabled in.
type ZoneMapping struct {
	Zone         string     `json:"zone"`
	SubnetID     string     `json:"subnetId"`
	IPv4         netip.Addr `json:"ipv4,omitzero"`
	IPv6         netip.Addr `json:"ipv6,omitzero"` // of dualstack load balancers
	AllocationID string     `json:"allocationId,omitempty"`
	ChosenIPv4   bool       `json:"chosenIpv4,omitempty"` // by the client, not by the engine
	ChosenIPv6   bool       `json:"chosenIpv6,omitempty"`
}

// Listener is a listener of a load balancer.
type Listener struct {
	ARN             string             `json:"arn"`
	LoadBalancerARN string             `json:"loadBalancerArn"`
	RuleARN         string             `json:"ruleArn"` // of its default rule
	Protocol        lb.Protocol        `json:"protocol"`
	Port            uint16             `json:"port"`
	Forward         []lb.WeightedGroup `json:"forward"`
	Stickiness      bool               `json:"stickiness,omitempty"`   // of the forward action, by source address
	Certificates    []string           `json:"certificates,omitempty"` // ARNs, the default one first
	SSLPolicy       string             `json:"sslPolicy,omitempty"`
	ALPNPolicy      string             `json:"alpnPolicy,omitempty"`
	Attributes      map[string]string  `json:"attributes,omitempty"`
}

// TargetGroupARNs lists the groups that the listener forwards to.
func (l Listener) TargetGroupARNs() []string {
	arns := make([]string, len(l.Forward))
	for i, f := range l.Forward {
		arns[i] = f.TargetGroupARN
	}
	return arns
}

// TargetGroup is a set of targets with one health check.
type TargetGroup struct {
	ARN           string            `json:"arn"`
	Name          string            `json:"name"`
	Protocol      lb.Protocol       `json:"protocol"`
	Port          uint16            `json:"port"`
	VPCID         string            `json:"vpcId"`
	TargetType    lb.TargetType     `json:"targetType"`
	IPAddressType lb.IPAddressType  `json:"ipAddressType"`
	HealthCheck   lb.HealthCheck    `json:"healthCheck"`
	Attributes    map[string]string `json:"attributes,omitempty"`
	CreatedTime   time.Time         `json:"createdTime"`
}

// Target is a registration in a target group.
type Target struct {
	TargetGroupARN string    `json:"targetGroupArn"`
	ID             string    `json:"id"` // an instance ID or an address, as the group's target type says
	Port           uint16    `json:"port"`
	Zone           string    `json:"zone,omitempty"` // "all" for an address outside the VPC; empty means that of its subnet
	RegisteredTime time.Time `json:"registeredTime"`
	// PendingUntil is when its registration takes effect, of one that has to wait
	// for that; zero from then on.
	PendingUntil time.Time `json:"pendingUntil,omitzero"`
	// DrainUntil is when a target that is being deregistered goes; zero before.
	DrainUntil time.Time `json:"drainUntil,omitzero"`
}

// Key names the target as edges do.
func (t Target) Key() lb.TargetKey {
	return lb.TargetKey{TargetGroupARN: t.TargetGroupARN, ID: t.ID, Port: t.Port}
}

// ZonalAddress is an address of a subnet that a load balancer holds, or an
// instance that was created through the API.
type ZonalAddress struct {
	SubnetID string     `json:"subnetId"`
	Address  netip.Addr `json:"address"`
	Holder   string     `json:"holder"` // the load balancer's ARN, or the instance's ID
}

// AddressCursor is where the search for a free address of a subnet goes on, so
// that an address that became free is not given out again at once.
type AddressCursor struct {
	SubnetID string     `json:"subnetId"`
	IPv4     netip.Addr `json:"ipv4,omitzero"` // the last one given out
	IPv6     netip.Addr `json:"ipv6,omitzero"`
}

// ElasticAddress is a public address that was allocated to the account.
type ElasticAddress struct {
	AllocationID    string     `json:"allocationId"`
	Address         netip.Addr `json:"address"`
	LoadBalancerARN string     `json:"loadBalancerArn,omitempty"` // the load balancer that holds it
	InterfaceID     string     `json:"interfaceId,omitempty"`     // the instance's interface that it is associated with
}

// SecurityGroup is a security group that was created through the API. Those of
// the inventory are not records; their rules and tags are.
type SecurityGroup struct {
	GroupID     string `json:"groupId"`
	GroupName   string `json:"groupName"`
	Description string `json:"description"`
	VPCID       string `json:"vpcId"`
}

// SecurityGroupRule allows traffic: from or to exactly one of CIDRIPv4,
// CIDRIPv6, ReferencedGroupID and PrefixListID.
type SecurityGroupRule struct {
	RuleID            string       `json:"ruleId"`
	GroupID           string       `json:"groupId"`
	Egress            bool         `json:"egress,omitempty"`
	IPProtocol        string       `json:"ipProtocol"` // tcp, udp, icmp, icmpv6, a number, or -1 for all
	FromPort          int32        `json:"fromPort"`   // or the ICMP type; -1 for all
	ToPort            int32        `json:"toPort"`     // or the ICMP code; -1 for all
	CIDRIPv4          netip.Prefix `json:"cidrIpv4,omitzero"`
	CIDRIPv6          netip.Prefix `json:"cidrIpv6,omitzero"`
	ReferencedGroupID string       `json:"referencedGroupId,omitempty"`
	PrefixListID      string       `json:"prefixListId,omitempty"`
	Description       string       `json:"description,omitempty"`
}

// TagSet is the tags of one resource.
type TagSet struct {
	Resource string            `json:"resource"`
	Values   map[string]string `json:"values"`
}
