package lb

import (
	"net/netip"
	"time"
)

// ClassicBalancer is a Classic Load Balancer as one zone sees it. Edges that do
// not serve Classic listeners ignore it.
//
// Its registered instances are the targets of the ZonalGroup that has the load
// balancer's ARN, with the port of the health check: that is how edges probe
// them and report their health. No listener forwards to this group.
type ClassicBalancer struct {
	ARN         string            `json:"arn"`
	Name        string            `json:"name"`
	IPv4        netip.Addr        `json:"ipv4"`
	Listeners   []ClassicListener `json:"listeners"`
	Backends    []ClassicBackend  `json:"backends,omitempty"`
	Policies    []ClassicPolicy   `json:"policies,omitempty"`
	IdleTimeout time.Duration     `json:"idleTimeout"`          // 1 s to 4000 s, default 60 s
	DesyncMode  string            `json:"desyncMitigationMode"` // monitor, defensive or strictest

	// AccessLog is nil when none is kept.
	AccessLog *AccessLog `json:"accessLog,omitempty"`

	// Clients names, by the port of a listener, the set of clients that the
	// inbound rules of the load balancer's security groups let in. A port that is
	// missing lets in everyone.
	Clients map[uint16]string `json:"clients,omitempty"`

	// Unreachable are, by instance ID, the instance ports that the security groups
	// of either side keep from the load balancer.
	Unreachable map[string][]uint16 `json:"unreachable,omitempty"`
}

// ClassicListener takes connections on a port and hands them to a port of the
// instances. TCP, SSL, HTTP and HTTPS are the protocols of either side.
type ClassicListener struct {
	Port             uint16   `json:"port"`
	Protocol         Protocol `json:"protocol"`
	InstancePort     uint16   `json:"instancePort"`
	InstanceProtocol Protocol `json:"instanceProtocol"`
	CertificateARN   string   `json:"certificateArn,omitempty"` // of HTTPS and SSL listeners
	Policies         []string `json:"policies,omitempty"`       // names
}

// ClassicBackend is the policies in force towards one port of the instances.
type ClassicBackend struct {
	InstancePort uint16   `json:"instancePort"`
	Policies     []string `json:"policies"` // names
}

// Types of policies (DescribeLoadBalancerPolicyTypes).
const (
	ProxyProtocolPolicyType               = "ProxyProtocolPolicyType"
	LBCookieStickinessPolicyType          = "LBCookieStickinessPolicyType"
	AppCookieStickinessPolicyType         = "AppCookieStickinessPolicyType"
	SSLNegotiationPolicyType              = "SSLNegotiationPolicyType"
	PublicKeyPolicyType                   = "PublicKeyPolicyType"
	BackendServerAuthenticationPolicyType = "BackendServerAuthenticationPolicyType"
)

// Attributes of policies (DescribeLoadBalancerPolicyTypes).
const (
	PolicyProxyProtocol    = "ProxyProtocol"
	PolicyCookieName       = "CookieName"
	PolicyCookieExpiration = "CookieExpirationPeriod" // seconds
	PolicyReference        = "Reference-Security-Policy"
	PolicyPublicKeyName    = "PublicKeyPolicyName"
	PolicyPublicKey        = "PublicKey"
)

// ClassicPolicy is a policy of a Classic Load Balancer.
type ClassicPolicy struct {
	Name       string             `json:"name"`
	Type       string             `json:"type"` // such as ProxyProtocolPolicyType
	Attributes []ClassicAttribute `json:"attributes,omitempty"`
}

// ClassicAttribute is an attribute of a policy; a name may occur several times.
type ClassicAttribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
