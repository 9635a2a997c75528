// Package plan compares what a Service wants with what there is and says, as
// data, which API calls lead from one to the other.
//
// Invariants: the package is pure. A plan is in an order that can be executed
// from its start to any point: what a step needs stands before it, and what
// serves traffic is taken away only after its replacement serves. Where a plan
// breaks off, a new Diff of what there is then leads to the same end. An empty
// plan means that have is want.
package plan

import (
	"slices"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Action is what a step does: an action of ELBv2 or EC2, or one of our own that
// writes nothing to AWS.
type Action string

// Actions of ELBv2 and EC2.
const (
	CreateLoadBalancer           Action = "CreateLoadBalancer"
	DeleteLoadBalancer           Action = "DeleteLoadBalancer"
	ModifyLoadBalancerAttributes Action = "ModifyLoadBalancerAttributes"
	SetSubnets                   Action = "SetSubnets"
	SetSecurityGroups            Action = "SetSecurityGroups"
	SetIPAddressType             Action = "SetIpAddressType"
	ModifyCapacityReservation    Action = "ModifyCapacityReservation"
	CreateTargetGroup            Action = "CreateTargetGroup"
	ModifyTargetGroup            Action = "ModifyTargetGroup"
	ModifyTargetGroupAttributes  Action = "ModifyTargetGroupAttributes"
	DeleteTargetGroup            Action = "DeleteTargetGroup"
	RegisterTargets              Action = "RegisterTargets"
	DeregisterTargets            Action = "DeregisterTargets"
	CreateListener               Action = "CreateListener"
	ModifyListener               Action = "ModifyListener"
	ModifyListenerAttributes     Action = "ModifyListenerAttributes"
	DeleteListener               Action = "DeleteListener"
	AddListenerCertificates      Action = "AddListenerCertificates"
	RemoveListenerCertificates   Action = "RemoveListenerCertificates"
	AddTags                      Action = "AddTags"
	RemoveTags                   Action = "RemoveTags"
	CreateSecurityGroup          Action = "CreateSecurityGroup"
	AuthorizeIngress             Action = "AuthorizeSecurityGroupIngress"
	RevokeIngress                Action = "RevokeSecurityGroupIngress"
	DeleteSecurityGroup          Action = "DeleteSecurityGroup"
	CreateTags                   Action = "CreateTags"
	DeleteTags                   Action = "DeleteTags"
)

// Actions of ELB, which Classic Load Balancers have beside those above.
const (
	AttachSubnets        Action = "AttachLoadBalancerToSubnets"
	DetachSubnets        Action = "DetachLoadBalancerFromSubnets"
	ApplySecurityGroups  Action = "ApplySecurityGroupsToLoadBalancer"
	ConfigureHealthCheck Action = "ConfigureHealthCheck"
	CreateListeners      Action = "CreateLoadBalancerListeners"
	DeleteListeners      Action = "DeleteLoadBalancerListeners"
	SetCertificate       Action = "SetLoadBalancerListenerSSLCertificate"
	CreatePolicy         Action = "CreateLoadBalancerPolicy"
	DeletePolicy         Action = "DeleteLoadBalancerPolicy"
	SetListenerPolicies  Action = "SetLoadBalancerPoliciesOfListener"
	SetBackendPolicies   Action = "SetLoadBalancerPoliciesForBackendServer"
	RegisterInstances    Action = "RegisterInstancesWithLoadBalancer"
	DeregisterInstances  Action = "DeregisterInstancesFromLoadBalancer"
)

// Actions of our own.
const (
	// AwaitHealthy holds back all later steps until a target in After is
	// healthy, or none in Before is.
	AwaitHealthy Action = "AwaitHealthy"
	// PublishHostname writes the new load balancer's name into the Service.
	PublishHostname Action = "PublishHostname"
)

// Disruption is what users of the load balancer notice of a step.
type Disruption string

// Disruptions, mildest first. Steps that disrupt more than connections wait
// for the user's consent.
const (
	None        Disruption = "none"
	Connections Disruption = "connections" // established ones may break
	Address     Disruption = "address"     // the load balancer loses addresses
	DNSName     Disruption = "dns-name"    // the load balancer gets another name
)

// Kind is the kind of a resource.
type Kind string

// Kinds of resources.
const (
	KindLoadBalancer  Kind = "load-balancer"
	KindClassic       Kind = "classic-load-balancer"
	KindTargetGroup   Kind = "target-group"
	KindListener      Kind = "listener"
	KindSecurityGroup Kind = "security-group"
)

// Resource is what a step is about. A listener has its load balancer's name
// and a port, a Classic Load Balancer the port of a listener or of its instances
// where that is what the step is about.
type Resource struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	Port uint16 `json:"port,omitempty"`
}

// Value is what a step changes: the one field that its action is about.
type Value struct {
	LoadBalancer  *lb.LoadBalancer  `json:"loadBalancer,omitempty"`
	TargetGroup   *lb.TargetGroup   `json:"targetGroup,omitempty"`
	HealthCheck   *lb.HealthCheck   `json:"healthCheck,omitempty"`
	SecurityGroup *lb.SecurityGroup `json:"securityGroup,omitempty"`
	Listener      *Listener         `json:"listener,omitempty"`
	Targets       []lb.Target       `json:"targets,omitempty"` // instances of a Classic Load Balancer have no port
	Rules         []lb.Rule         `json:"rules,omitempty"`
	Map           map[string]string `json:"map,omitempty"`  // attributes or tags
	List          []string          `json:"list,omitempty"` // subnets, security groups or tag keys
	Text          string            `json:"text,omitempty"` // an address type, or another group's name

	ClassicListeners []lb.ClassicListener `json:"classicListeners,omitempty"`
	Policy           *lb.ClassicPolicy    `json:"policy,omitempty"`

	PrivateLinkUnfiltered bool               `json:"privateLinkUnfiltered,omitempty"`
	Mappings              []lb.SubnetMapping `json:"mappings,omitempty"` // addresses chosen in the subnets of List
	IPAddressType         lb.IPAddressType   `json:"ipAddressType,omitempty"`
	IPv6SourceNAT         string             `json:"ipv6SourceNat,omitempty"`
	CapacityUnits         int32              `json:"capacityUnits,omitempty"`
}

// Step is one write to AWS, or a wait.
type Step struct {
	Action     Action     `json:"action"`
	Resource   Resource   `json:"resource"`
	Before     Value      `json:"before,omitzero"`
	After      Value      `json:"after,omitzero"`
	Why        string     `json:"why"`
	Disruption Disruption `json:"disruption"`

	stage stage
}

// stage orders steps: the dependencies between kinds of resources, as data.
type stage int

const (
	stageMakeRoom   stage = iota // security groups that are full shut out
	stageAdmit                   // security groups exist and let in
	stageMakeWay                 // what holds a name that is needed goes
	stageBalancer                // load balancers exist and are as wanted
	stageGroup                   // target groups exist and are as wanted
	stageRegister                // targets are registered
	stageListen                  // listeners exist; new groups are attached and so probed
	stageDeregister              // targets leave groups that others stay in
	stageRevoke                  // security groups shut out
	stageAwait                   // replacements are healthy
	stageSwitch                  // listeners move to them
	stageDrain                   // replaced targets leave
	stageUnlisten                // what is not wanted goes, users before the used
	stagePublish
	stageDropBalancer
	stageDropGroup
	stageDropAdmission
)

// Plan is what to do, in order, and what waits for the user's consent.
type Plan struct {
	Steps   []Step `json:"steps"`
	Blocked []Step `json:"blocked,omitempty"`
}

// Empty says that there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Creates says whether the plan makes resources whose names have to be on
// record before.
func (p Plan) Creates() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool {
		return s.Action == CreateLoadBalancer || s.Action == CreateTargetGroup || s.Action == CreateSecurityGroup
	})
}

// TargetsOnly leaves of a plan what keeps existing target groups in step with
// nodes and pods: all that may be done for a Service whose settings are wrong.
func (p Plan) TargetsOnly() Plan {
	var out Plan
	created := map[string]bool{}
	for _, s := range p.Steps {
		switch s.Action {
		case CreateTargetGroup, CreateLoadBalancer:
			created[s.Resource.Name] = true
		case RegisterTargets, DeregisterTargets, RegisterInstances, DeregisterInstances:
			if !created[s.Resource.Name] {
				out.Steps = append(out.Steps, s)
			}
		}
	}
	return out
}

// Policy says what a plan may do.
type Policy struct {
	AllowReplacement bool // the user agrees to another DNS name or fewer addresses
}
