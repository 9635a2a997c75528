package lb

import "time"

// HealthCheck is how an edge asks a target whether it can serve.
type HealthCheck struct {
	Protocol           Protocol      // TCP, HTTP or HTTPS
	Port               string        // "traffic-port" or a decimal port
	Path               string        // HTTP and HTTPS only
	Matcher            string        // HTTP codes such as "200-399" or "200,202"
	Interval           time.Duration // 5 s to 300 s
	Timeout            time.Duration // 2 s to 120 s
	HealthyThreshold   int           // consecutive passes, 2 to 10
	UnhealthyThreshold int           // consecutive failures, 2 to 10
}

// TrafficPort is the health check port that means "the port of the target".
const TrafficPort = "traffic-port"

// HealthState is the state of a target in a target group.
type HealthState string

// Target states of ELBv2.
const (
	Initial           HealthState = "initial"
	Healthy           HealthState = "healthy"
	Unhealthy         HealthState = "unhealthy"
	UnhealthyDraining HealthState = "unhealthy.draining"
	Unused            HealthState = "unused"
	Draining          HealthState = "draining"
	Unavailable       HealthState = "unavailable"
)

// Reason is the code that explains a state other than healthy.
type Reason string

// Reason codes of ELBv2; each belongs to the states named beside it.
const (
	RegistrationInProgress   Reason = "Elb.RegistrationInProgress"      // initial
	InitialHealthChecking    Reason = "Elb.InitialHealthChecking"       // initial
	InternalError            Reason = "Elb.InternalError"               // unhealthy, unavailable
	ResponseCodeMismatch     Reason = "Target.ResponseCodeMismatch"     // unhealthy
	Timeout                  Reason = "Target.Timeout"                  // unhealthy
	FailedHealthChecks       Reason = "Target.FailedHealthChecks"       // unhealthy
	NotRegistered            Reason = "Target.NotRegistered"            // unused
	NotInUse                 Reason = "Target.NotInUse"                 // unused
	InvalidState             Reason = "Target.InvalidState"             // unused
	IPUnusable               Reason = "Target.IpUnusable"               // unused
	DeregistrationInProgress Reason = "Target.DeregistrationInProgress" // draining
	HealthCheckDisabled      Reason = "Target.HealthCheckDisabled"      // unavailable
)

// TargetHealth is the state of a target with its explanation.
// Reason and Description are empty when the target is healthy.
type TargetHealth struct {
	State       HealthState `json:"state"`
	Reason      Reason      `json:"reason,omitempty"`
	Description string      `json:"description,omitempty"`
}
