// Package intent turns a Service, the nodes, the endpoints and the network into
// the lb.Stack that the Service wants.
//
// Invariants: the package is pure and total. Desired returns every problem at
// once, never the first only, and a Stack for whatever it is given; a Stack
// that comes with an Error must not be built, because parts of it are guesses.
package intent

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// Input is all that the wishes of a Service depend on.
type Input struct {
	Cluster string
	Service *corev1.Service
	// Type is what the Service is to get; empty is lb.Network.
	Type   lb.LoadBalancerType
	Nodes  []*corev1.Node
	Slices []*discoveryv1.EndpointSlice // the Service's own
	// Backends are the other Services that Backends names, those that exist.
	Backends map[string]Backend
	// Subnets are those of the VPC. They are not looked at when Pinned holds.
	Subnets []Subnet
	Pinned  Pinned
	// Defaults are the controller's, for what the Service does not say.
	Defaults Defaults
	// Fit are pods that are targets before they are Ready: they wait for that.
	Fit map[types.UID]bool
	// NoSecurityGroups goes before what the Service says about it, when not nil:
	// the load balancer that there is cannot be changed in this.
	NoSecurityGroups *bool
	// NameTakenBy is another Service, as namespace/name, that asked first for
	// the load balancer name that this one asks for.
	NameTakenBy string
}

// Defaults are the controller's values for what a Service leaves open.
type Defaults struct {
	Scheme             lb.Scheme
	TargetType         lb.TargetType
	HealthInterval     time.Duration // 5 s to 300 s
	HealthyThreshold   int           // 2 to 10
	UnhealthyThreshold int           // 2 to 10
}

// builder collects a stack and its problems.
type builder struct {
	in       Input
	svc      *corev1.Service
	owner    owner.Service
	set      settings
	problems []Problem
	lbName   string
	groups   int                 // how many target groups there will be
	numbers  []string            // of ports that have target groups
	only     *corev1.ServicePort // of another Service, the port that is used
}

// Desired is what the Service wants, and everything that is wrong with it.
func Desired(in Input) (lb.Stack, []Problem) {
	b := newBuilder(in)
	b.checkName()
	stack := lb.Stack{LoadBalancer: b.loadBalancer()}
	ports := b.ports()
	b.secure(ports)
	b.checkSpec()
	if b.classic() {
		b.checkClassicSpec()
		stack.Classic = b.classicParts(ports)
	} else {
		b.checkNetworkSpec()
		stack.TargetGroups = b.targetGroups(ports)
		stack.Listeners = b.listeners(ports, stack.TargetGroups)
		b.act(&stack, ports)
		b.checkPorted()
	}
	if b.set.noGroups {
		b.ungrouped(&stack)
	} else {
		b.securityGroups(&stack, ports)
	}
	return stack, sortProblems(b.problems)
}

func newBuilder(in Input) *builder {
	b := &builder{in: in, svc: in.Service}
	b.owner = OwnerOf(in.Cluster, in.Service)
	b.set, b.problems = parse(in.Service.Annotations, in.Defaults, in.Type)
	b.set.noGroups = deref(in.NoSecurityGroups, b.set.noGroups) && in.Type != lb.Classic
	b.lbName = b.set.name
	if b.lbName == "" {
		b.lbName = b.madeName()
	}
	return b
}

// madeName is the name of a load balancer that the user gave none.
func (b *builder) madeName() string {
	if b.classic() {
		return b.owner.LoadBalancerName(string(lb.Classic), string(b.set.scheme))
	}
	if b.set.noGroups {
		return b.owner.LoadBalancerName(string(b.set.scheme), groupless)
	}
	return b.owner.LoadBalancerName(string(b.set.scheme))
}

// OwnerOf is the Service as an owner of resources in AWS.
func OwnerOf(cluster string, svc *corev1.Service) owner.Service {
	return owner.Service{Cluster: cluster, Namespace: svc.Namespace, Name: svc.Name, UID: string(svc.UID)}
}

// WantedName is the load balancer name that the Service asks for by annotation,
// or "" when it leaves the name to us.
func WantedName(svc *corev1.Service) string {
	return strings.TrimSpace(svc.Annotations[prefixAWS+"name"])
}

// AllowReplacement says whether the Service agrees to changes that give the
// load balancer another DNS name or take addresses from it.
func AllowReplacement(svc *corev1.Service) bool {
	s, _ := parse(svc.Annotations, Defaults{}, lb.Network)
	return s.allowReplacement
}

// DryRun says that the Service wants to see plans only.
func DryRun(svc *corev1.Service) bool {
	s, _ := parse(svc.Annotations, Defaults{}, lb.Network)
	return s.dryRun
}

// DriftPolicy says what to do when AWS differs from what was made, though the
// Service has not changed.
type DriftPolicy string

// Drift policies.
const (
	RepairDrift DriftPolicy = "repair"
	ReportDrift DriftPolicy = "report"
	IgnoreDrift DriftPolicy = "ignore"
)

// DriftPolicyOf is the Service's policy, RepairDrift when it says nothing.
func DriftPolicyOf(svc *corev1.Service) DriftPolicy {
	s, _ := parse(svc.Annotations, Defaults{}, lb.Network)
	return s.drift
}

func (b *builder) fail(field, value, why, hint string) {
	b.problems = append(b.problems, Problem{Error, field, value, why, hint})
}

func (b *builder) warn(field, value, why, hint string) {
	b.problems = append(b.problems, Problem{Warning, field, value, why, hint})
}

func (b *builder) tags(resource string) map[string]string {
	tags := map[string]string{}
	maps.Copy(tags, b.set.tags)
	maps.Copy(tags, b.owner.Tags(resource))
	return tags
}

func (b *builder) loadBalancer() lb.LoadBalancer {
	subnets, mappings := b.placement()
	return lb.LoadBalancer{
		Name:           b.lbName,
		Type:           orDefault(b.in.Type, lb.Network),
		Scheme:         b.set.scheme,
		IPAddressType:  b.set.ipAddressType,
		Subnets:        subnets,
		SubnetMappings: mappings,
		IPv6SourceNAT:  b.sourceNAT(),
		CapacityUnits:  b.set.capacity,
		SecurityGroups: slices.Concat(b.set.groups, b.set.extraGroups),
		Attributes:     b.attributes(),
		Tags:           b.tags("load-balancer"),

		PrivateLinkUnfiltered: !b.set.privateLink,
	}
}

func (b *builder) attributes() map[string]string {
	if b.classic() {
		return b.classicAttributes()
	}
	attrs := b.routing()
	maps.Copy(attrs, b.set.lbAttributes)
	b.needsBucket(attrs, lb.AttrAccessLogsEnabled, lb.AttrAccessLogsBucket)
	return attrs
}

// needsBucket fails when access logs are on and go nowhere.
func (b *builder) needsBucket(attrs map[string]string, enabled, bucket string) {
	if attrs[enabled] == "true" && attrs[bucket] == "" {
		b.fail(prefixAWS+"access-log-enabled", "true", "access logs need a bucket", "set "+prefixAWS+"access-log-s3-bucket-name")
	}
}

// routing is what spec.trafficDistribution says about clients in the VPC: the
// DNS name answers with the address in the client's own zone, as long as that
// has healthy targets. Nothing is nearer than a zone for a load balancer.
func (b *builder) routing() map[string]string {
	attrs := map[string]string{}
	switch deref(b.svc.Spec.TrafficDistribution, "") {
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode:
		attrs[lb.AttrClientRoutingPolicy] = "availability_zone_affinity"
	}
	return attrs
}

// checkSpec looks at fields that no load balancer can follow.
func (b *builder) checkSpec() {
	if ip := b.svc.Spec.LoadBalancerIP; ip != "" {
		b.fail("spec.loadBalancerIP", ip, kindName(b.in.Type)+" takes its addresses from its subnets", "remove the field")
	}
	if len(b.svc.Spec.Ports) == 0 {
		b.fail("spec.ports", "", "a load balancer needs at least one port", "add a port")
	}
}

// checkNetworkSpec looks at fields that mean something else to a Network Load
// Balancer.
func (b *builder) checkNetworkSpec() {
	if b.svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		b.warn("spec.sessionAffinity", "ClientIP", "clients are kept to a target by source address, without the time limit of sessionAffinityConfig", "")
	}
}

func (b *builder) checkName() {
	const key = prefixAWS + "name"
	name := b.set.name
	if name == "" {
		return
	}
	switch {
	case len(name) > 32:
		b.fail(key, name, "a load balancer's name has at most 32 characters", "")
	case !nameForm.MatchString(name):
		b.fail(key, name, "a load balancer's name has letters, digits and hyphens, no hyphen at its ends", "")
	case strings.HasPrefix(name, "internal-"):
		b.fail(key, name, "a load balancer's name must not begin with internal-", "")
	}
	if other := b.in.NameTakenBy; other != "" {
		b.fail(key, name, "Service "+other+" asked for this name before", "choose another name or remove the annotation")
	}
}

// sortProblems puts errors first and drops repeats: a setting for all ports is
// looked at once per port.
func sortProblems(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.String(), b.String()))
	})
	return slices.Compact(problems)
}
