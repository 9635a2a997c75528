package state

import (
	"iter"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
)

// ClassicLoadBalancer is a Classic Load Balancer with all that belongs to it
// but its instances. Policies, listeners and backends refer to each other by
// name and port, so that they are checked and written together.
type ClassicLoadBalancer struct {
	ARN            string               `json:"arn"`
	Name           string               `json:"name"`
	DNSName        string               `json:"dnsName"`
	Scheme         lb.Scheme            `json:"scheme"`
	VPCID          string               `json:"vpcId"`
	CreatedTime    time.Time            `json:"createdTime"`
	Zones          []ZoneMapping        `json:"zones"` // sorted by zone
	SecurityGroups []string             `json:"securityGroups,omitempty"`
	Listeners      []lb.ClassicListener `json:"listeners"`          // sorted by port
	Backends       []lb.ClassicBackend  `json:"backends,omitempty"` // sorted by port; those with policies
	Policies       []lb.ClassicPolicy   `json:"policies,omitempty"` // sorted by name
	HealthCheck    ClassicHealthCheck   `json:"healthCheck"`
	Attributes     ClassicAttributes    `json:"attributes"`
}

// ClassicHealthCheck is a health check as the client wrote it, such as
// HTTP:8080/healthz, and what that means.
type ClassicHealthCheck struct {
	Target string         `json:"target"`
	Check  lb.HealthCheck `json:"check"`
}

// ClassicAttributes are the attributes of a Classic Load Balancer, defaults
// included.
type ClassicAttributes struct {
	CrossZone          bool             `json:"crossZone"`
	IdleTimeoutSeconds int32            `json:"idleTimeoutSeconds"`
	Draining           bool             `json:"draining"`
	DrainingSeconds    int32            `json:"drainingSeconds"`
	DesyncMode         string           `json:"desyncMitigationMode"`
	AccessLog          ClassicAccessLog `json:"accessLog"`
}

// ClassicAccessLog is where access logs go.
type ClassicAccessLog struct {
	Enabled             bool   `json:"enabled"`
	Bucket              string `json:"bucket,omitempty"`
	Prefix              string `json:"prefix,omitempty"`
	EmitIntervalMinutes int32  `json:"emitIntervalMinutes,omitempty"` // 5 or 60
}

// ClassicInstance is an instance that is registered with a Classic Load Balancer.
type ClassicInstance struct {
	LoadBalancerARN string    `json:"loadBalancerArn"`
	InstanceID      string    `json:"instanceId"`
	RegisteredTime  time.Time `json:"registeredTime"`
	// DrainUntil is when an instance that is being deregistered goes; zero before.
	DrainUntil time.Time `json:"drainUntil,omitzero"`
}

// Tables of Classic Load Balancers. Keys stand in the comments.
var (
	ClassicLoadBalancers = store.NewTable(schema, "classicLoadBalancers", func(b ClassicLoadBalancer) string { return b.ARN })
	ClassicInstances     = store.NewTable(schema, "classicInstances", func(i ClassicInstance) string { return ClassicInstanceKey(i.LoadBalancerARN, i.InstanceID) })
)

// Indexes of Classic Load Balancers.
var (
	ClassicLoadBalancersByDNSName       = store.NewIndex(schema, ClassicLoadBalancers, func(b ClassicLoadBalancer) []string { return []string{strings.ToLower(b.DNSName)} }) // lower case
	ClassicLoadBalancersByInterface     = store.NewIndex(schema, ClassicLoadBalancers, func(b ClassicLoadBalancer) []string { return interfaceIDs(b.ARN, b.Zones) })
	ClassicLoadBalancersBySecurityGroup = store.NewIndex(schema, ClassicLoadBalancers, func(b ClassicLoadBalancer) []string { return b.SecurityGroups })
	ClassicLoadBalancersByCertificate   = store.NewIndex(schema, ClassicLoadBalancers, CertificatesOfClassic)
	DrainingClassicInstances            = store.NewIndex(schema, ClassicInstances, drainingInstanceKeys) // by AllDraining
)

func drainingInstanceKeys(i ClassicInstance) []string {
	if i.DrainUntil.IsZero() {
		return nil
	}
	return []string{AllDraining}
}

// CertificatesOfClassic are the ARNs of the certificates of a load balancer's
// listeners.
func CertificatesOfClassic(b ClassicLoadBalancer) []string {
	var arns []string
	for _, l := range b.Listeners {
		if l.CertificateARN != "" {
			arns = append(arns, l.CertificateARN)
		}
	}
	return arns
}

// ClassicInstanceKey is the key of an instance that is registered with a load
// balancer.
func ClassicInstanceKey(balancerARN, instanceID string) string { return balancerARN + "|" + instanceID }

// InstancesOfClassic yields the instances of a load balancer by ID, draining
// ones too.
func InstancesOfClassic(r store.Reader, balancerARN string) iter.Seq[ClassicInstance] {
	return ClassicInstances.Prefix(r, balancerARN+"|")
}
