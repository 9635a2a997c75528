package lb

import (
	"net/netip"
	"time"
)

// ZoneSnapshot is all that the edge of one zone needs to know, at one revision
// of the engine's state. The engine cuts it; an edge acts on it, keeps the last
// one on disk and lives on it while the engine is away.
//
// Everything that depends on more than one zone or resource (which targets an
// edge may use, whether cross-zone is on) is decided by the engine, so that an
// edge never has to guess. The JSON form is the wire and the disk form.
type ZoneSnapshot struct {
	Revision      uint64          `json:"revision"`
	Zone          string          `json:"zone"` // such as us-west-2a
	LoadBalancers []ZonalBalancer `json:"loadBalancers"`
	TargetGroups  []ZonalGroup    `json:"targetGroups"`

	Classic []ClassicBalancer `json:"classic,omitempty"` // sorted by ARN

	// ClientSets are what security groups let through, by the names that
	// listeners and targets have for it.
	ClientSets ClientSets `json:"clientSets,omitempty"`

	// Certificates are those that the zone's listeners serve, sorted by ARN.
	Certificates []Certificate `json:"certificates,omitempty"`
}

// ZonalBalancer is a load balancer as one zone sees it.
type ZonalBalancer struct {
	ARN       string          `json:"arn"`
	Name      string          `json:"name"`
	IPv4      netip.Addr      `json:"ipv4"` // the zonal address; the zero Addr when it has none
	IPv6      netip.Addr      `json:"ipv6"`
	Listeners []ZonalListener `json:"listeners"`

	// AccessLog is that of TLS listeners; nil when none is kept.
	AccessLog *AccessLog `json:"accessLog,omitempty"`

	// EchoClients names the clients whose echo requests (ICMP, ICMPv6) the
	// security groups of the load balancer let in.
	EchoClients string `json:"echoClients,omitempty"`
}

// AccessLog is where a load balancer's access log goes and how often.
type AccessLog struct {
	Bucket   string        `json:"bucket"`
	Prefix   string        `json:"prefix,omitempty"`
	Interval time.Duration `json:"interval"` // 5 minutes, or 60 with Classic
}

// ZonalListener is a listener and where it forwards to.
type ZonalListener struct {
	ARN         string          `json:"arn"`
	Protocol    Protocol        `json:"protocol"`
	Port        uint16          `json:"port"`
	IdleTimeout time.Duration   `json:"idleTimeout"`          // TCP: 60 s to 6000 s, default 350 s; UDP: 120 s
	Forward     []WeightedGroup `json:"forward"`              // one or more; new flows are spread by weight
	Stickiness  bool            `json:"stickiness,omitempty"` // all flows of a client's address go to one group of Forward; not for TLS

	// Clients are those whose new flows the inbound rules of the load balancer's
	// security groups let in.
	Clients Admission `json:"clients,omitzero"`

	// Of TLS listeners: the ARNs of the certificates, the default one first, and
	// the names of the policies, such as ELBSecurityPolicy-TLS13-1-2-2021-06 and
	// HTTP2Preferred.
	Certificates []string `json:"certificates,omitempty"`
	SSLPolicy    string   `json:"sslPolicy,omitempty"`
	ALPNPolicy   string   `json:"alpnPolicy,omitempty"`
}

// WeightedGroup is one target group of a forward action. Weight is 0 to 999;
// with a single group the weight has no meaning.
type WeightedGroup struct {
	TargetGroupARN string `json:"targetGroupArn"`
	Weight         int    `json:"weight"`
}

// ZonalGroup is a target group with the targets that this zone's edge may use:
// those of its own zone, or of all enabled zones when cross-zone is on.
type ZonalGroup struct {
	ARN         string      `json:"arn"`
	Name        string      `json:"name"`
	Protocol    Protocol    `json:"protocol"`
	HealthCheck HealthCheck `json:"healthCheck"`
	CrossZone   bool        `json:"crossZone"` // effective: the group's setting, else the load balancer's

	PreserveClientIP              bool          `json:"preserveClientIp"`
	ProxyProtocolV2               bool          `json:"proxyProtocolV2"`
	Stickiness                    bool          `json:"stickiness"` // by source address
	DeregistrationTermination     bool          `json:"deregistrationTermination"`
	UnhealthyTermination          bool          `json:"unhealthyTermination"`
	UnhealthyDrainingInterval     time.Duration `json:"unhealthyDrainingInterval"`
	UnhealthyRoutingMinCount      int           `json:"unhealthyRoutingMinCount"`      // fail open below this many healthy targets
	UnhealthyRoutingMinPercentage int           `json:"unhealthyRoutingMinPercentage"` // 0 means off

	Targets []ZonalTarget `json:"targets"`
}

// ZonalTarget is one registered target, resolved to an address.
type ZonalTarget struct {
	ID   string     `json:"id"`   // as registered: an instance ID or an address
	Port uint16     `json:"port"` // as registered, or the group's port
	Zone string     `json:"zone"`
	Addr netip.Addr `json:"addr"` // where packets go; the zero Addr when it cannot be resolved

	// Siblings are all addresses of the instance behind the target: interface
	// addresses and pod ranges. A client inside them gets source NAT when this
	// target is chosen, because its replies would never leave the machine.
	Siblings []netip.Prefix `json:"siblings,omitempty"`

	// DrainUntil is set while the target is being deregistered: no new flows,
	// old ones live on until then and, with DeregistrationTermination, no longer.
	DrainUntil time.Time `json:"drainUntil,omitzero"`

	// OutboundBlocked are the transports, TCP or UDP, that the outbound rules of
	// the load balancer's security groups keep from the target.
	OutboundBlocked []Protocol `json:"outboundBlocked,omitempty"`

	// Clients are those whose new flows the inbound rules of the target's
	// security groups let in, by the address that the target sees.
	Clients Admission `json:"clients,omitzero"`

	// HealthCheckBlocked says that the security groups of either side keep the
	// load balancer's health checks from the target.
	HealthCheckBlocked bool `json:"healthCheckBlocked,omitempty"`
}

// TargetKey names a registered target: the same target may be in several groups
// and several times in one group with different ports.
type TargetKey struct {
	TargetGroupARN string `json:"targetGroupArn"`
	ID             string `json:"id"`
	Port           uint16 `json:"port"`
}

// HealthReport is what an edge tells the engine about its targets and itself.
type HealthReport struct {
	Zone     string               `json:"zone"`
	Revision uint64               `json:"revision"` // of the snapshot that the edge has applied
	Full     bool                 `json:"full"`     // replaces all that this zone reported before
	Targets  []TargetHealthReport `json:"targets"`  // changed ones, or all when Full
	Removed  []TargetKey          `json:"removed,omitempty"`
	DataPath DataPath             `json:"dataPath,omitempty"` // the edge's; empty: not known yet
}

// TargetHealthReport is one target's health as seen from one zone.
type TargetHealthReport struct {
	Target TargetKey    `json:"target"`
	Health TargetHealth `json:"health"`
}
