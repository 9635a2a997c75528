// Package lb holds the nouns of Fairlead: what AWS calls load balancers,
// listeners, target groups, targets and their health.
//
// The controller and the engine share these words and nothing else.
// Names, enum values and reason codes are AWS's letter for letter, because they
// travel over the API unchanged and users search for them.
//
// Invariants: the package is pure. It imports the standard library only and
// nothing of ours, knows no clock, no context, no logger and no SDK, so that
// every other package may import it.
package lb

// Protocol is the protocol of a listener, a target group or a health check.
type Protocol string

// Protocols of Network Load Balancer listeners and target groups; HTTP and
// HTTPS occur in health checks and on Classic listeners, SSL on Classic ones.
const (
	TCP    Protocol = "TCP"
	TLS    Protocol = "TLS"
	UDP    Protocol = "UDP"
	TCPUDP Protocol = "TCP_UDP"
	HTTP   Protocol = "HTTP"
	HTTPS  Protocol = "HTTPS"
	SSL    Protocol = "SSL"
)

// Scheme says from where a load balancer can be reached.
type Scheme string

// Schemes of ELBv2.
const (
	InternetFacing Scheme = "internet-facing"
	Internal       Scheme = "internal"
)

// IPAddressType is the address family of a load balancer (ipv4, dualstack) or
// of a target group (ipv4, ipv6).
type IPAddressType string

// Address types of ELBv2.
const (
	IPv4      IPAddressType = "ipv4"
	IPv6      IPAddressType = "ipv6"
	DualStack IPAddressType = "dualstack"
)

// TargetType says what the targets of a group are registered by.
type TargetType string

// Target types of Network Load Balancers.
const (
	InstanceTarget TargetType = "instance"
	IPTarget       TargetType = "ip"
)

// State is the life cycle state of a load balancer.
type State string

// States of ELBv2 load balancers.
const (
	Provisioning   State = "provisioning"
	Active         State = "active"
	ActiveImpaired State = "active_impaired"
	Failed         State = "failed"
)

// LoadBalancerType is the kind of a load balancer.
type LoadBalancerType string

// Kinds of load balancers. Classic ones live in the older ELB API, which has
// no word for itself; the value is ours.
const (
	Network LoadBalancerType = "network"
	Classic LoadBalancerType = "classic"
)
