package lb

// ClassicParts are what a Classic Load Balancer has instead of target groups
// and listeners of ELBv2: one set of instances and one health check for all of
// its listeners.
type ClassicParts struct {
	Listeners   []ClassicListener `json:"listeners"`           // by port
	HealthCheck HealthCheck       `json:"healthCheck"`         // TCP, SSL, HTTP or HTTPS; without a matcher, 200 alone passes
	Backends    []ClassicBackend  `json:"backends,omitempty"`  // by instance port
	Policies    []ClassicPolicy   `json:"policies,omitempty"`  // by name
	Instances   []string          `json:"instances,omitempty"` // sorted IDs
}

// Attributes of Classic Load Balancers: the members of LoadBalancerAttributes
// in the API reference, by their path. Those of one group (what is before the
// dot) are written together.
const (
	ClassicCrossZone         = "CrossZoneLoadBalancing.Enabled"
	ClassicIdleTimeout       = "ConnectionSettings.IdleTimeout" // seconds, 1 to 4000
	ClassicDraining          = "ConnectionDraining.Enabled"
	ClassicDrainingTimeout   = "ConnectionDraining.Timeout" // seconds, 1 to 3600
	ClassicAccessLogs        = "AccessLog.Enabled"
	ClassicAccessLogBucket   = "AccessLog.S3BucketName"
	ClassicAccessLogPrefix   = "AccessLog.S3BucketPrefix"
	ClassicAccessLogInterval = "AccessLog.EmitInterval" // minutes, 5 or 60
)

// DefaultClassicAttributes are the attributes of a new Classic Load Balancer
// (user guide for Classic Load Balancers).
func DefaultClassicAttributes() map[string]string {
	return map[string]string{
		ClassicCrossZone:         "false",
		ClassicIdleTimeout:       "60",
		ClassicDraining:          "false",
		ClassicDrainingTimeout:   "300",
		ClassicAccessLogs:        "false",
		ClassicAccessLogBucket:   "",
		ClassicAccessLogPrefix:   "",
		ClassicAccessLogInterval: "60",
	}
}

// Secure reports whether the protocol is encrypted on a Classic listener.
func (p Protocol) Secure() bool { return p == HTTPS || p == SSL }

// Web reports whether the protocol is HTTP, encrypted or not.
func (p Protocol) Web() bool { return p == HTTP || p == HTTPS }
