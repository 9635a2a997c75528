package intent

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Kinds says on which load balancers an annotation has an effect.
type Kinds string

// Kinds of load balancers, as the reference page prints them.
const (
	forNLB     Kinds = "NLB"
	forClassic Kinds = "Classic"
	forBoth    Kinds = "NLB, Classic"
)

// have says whether load balancers of a type are among the kinds.
func (k Kinds) have(t lb.LoadBalancerType) bool {
	return k == forBoth || (k == forClassic) == (t == lb.Classic)
}

// Annotation is one row of the table that the parser, the lint and the
// reference page are made from.
type Annotation struct {
	Key     string // whole, with its prefix
	Ported  bool   // Key is continued by a dot and Suffix
	Suffix  string // what continues a Ported key, such as PROTOCOL-PORT
	Kinds   Kinds
	Value   string // what may stand there
	Default string
	Change  string // what changing it does to a live load balancer
	Example string

	internal bool   // written by the controller itself
	read     reader // nil: refused
	refused  string // why it keeps a Network Load Balancer from being served
	instead  string // what to do instead; of a Classic one, on a Network Load Balancer
}

// What changing an annotation does.
const (
	inPlace    = "changed in place"
	newTargets = "a new target group takes over when it is healthy"
	replaced   = "the load balancer is replaced, its DNS name changes; waits for " + keyAllowReplacement
	atOnce     = "takes effect at once"
)

// Keys of our own.
const (
	keyAllowReplacement = prefixFairlead + "allow-replacement"
	KeyRecord           = prefixFairlead + "record"
)

// Annotations is the table of every annotation that is known.
func Annotations() []Annotation { return table() }

func table() []Annotation {
	var rows []Annotation
	for _, s := range sections() {
		rows = append(rows, s.rows...)
	}
	return append(rows, refusedRows()...)
}

// section is a part of the table with its title on the reference page.
type section struct {
	title string
	rows  []Annotation
}

func sections() []section {
	return []section{
		{"The load balancer", append(shapeRows(), capacityRow())},
		{"Chosen addresses", addressRows()},
		{"TLS", tlsRows()},
		{"Targets", append(targetRows(), choiceRow(), sharedRow(), actionsRow())},
		{"Health checks", healthRows()},
		{"Who may connect", accessRows()},
		{"Classic Load Balancers", classicRows()},
		{"The controller", controllerRows()},
	}
}

// controllerRows are the annotations about how the controller works.
func controllerRows() []Annotation {
	return []Annotation{
		{Key: keyAllowReplacement, Kinds: forBoth, Value: "true | false; agrees to changes that cost the DNS name or addresses", Default: "false", Change: atOnce, Example: "true",
			read: boolean(func(s *settings, v bool) { s.allowReplacement = v })},
		{Key: prefixFairlead + "dry-run", Kinds: forBoth, Value: "true | false; the plan goes to an event and the condition DryRun, nothing is done; deletion is", Default: "false", Change: "the plan is carried out", Example: "true",
			read: boolean(func(s *settings, v bool) { s.dryRun = v })},
		{Key: prefixFairlead + "drift-policy", Kinds: forBoth, Value: "repair | report | ignore; what to do when AWS differs though the Service has not changed", Default: "repair", Change: "holds from the next comparison with AWS on", Example: "report",
			read: enum(func(s *settings) *DriftPolicy { return &s.drift }, RepairDrift, ReportDrift, IgnoreDrift)},
		{Key: KeyRecord, Kinds: forBoth, Value: "written by the controller", internal: true},
	}
}

// shapeRows are the annotations about the load balancer itself.
func shapeRows() []Annotation {
	return []Annotation{
		{Key: prefixAWS + "type", Kinds: forBoth, Value: "nlb | nlb-ip | external", Default: "a Classic Load Balancer", Change: replaced, Example: "nlb",
			read: enum(func(s *settings) *string { return &s.kind }, "nlb", "nlb-ip", "external")},
		{Key: prefixAWS + "scheme", Kinds: forBoth, Value: "internet-facing | internal", Default: "the controller's --default-scheme", Change: replaced, Example: "internal",
			read: enum(func(s *settings) *lb.Scheme { return &s.scheme }, lb.InternetFacing, lb.Internal)},
		{Key: prefixAWS + "internal", Kinds: forBoth, Value: "true | false; scheme goes before it", Default: "the controller's --default-scheme", Change: replaced, Example: "true",
			read: readInternal},
		{Key: prefixAWS + "name", Kinds: forBoth, Value: "at most 32 letters, digits and hyphens", Default: "made of namespace, name and a hash", Change: replaced, Example: "shop",
			read: text(func(s *settings, v string) { s.name = v })},
		{Key: prefixAWS + "subnets", Kinds: forBoth, Value: "subnet IDs or names, one per zone", Default: "found by their tags", Change: inPlace + "; removing one takes addresses away and waits for " + keyAllowReplacement, Example: "subnet-0a1b2c3d,subnet-4e5f6071",
			read: list(func(_ parser, s *settings, v []string) { s.subnets = v })},
		{Key: prefixAWS + "ip-address-type", Kinds: forNLB, Value: "ipv4 | dualstack", Default: "ipv4", Change: inPlace, Example: "dualstack",
			read: enum(func(s *settings) *lb.IPAddressType { return &s.ipAddressType }, lb.IPv4, lb.DualStack)},
		{Key: prefixAWS + "attributes", Kinds: forNLB, Value: "key=value pairs", Change: inPlace, Example: lb.AttrCrossZone + "=true",
			read: mapping(attributes(loadBalancerAttributes, func(s *settings, _ string) map[string]string { return s.lbAttributes }))},
		{Key: prefixAWS + "cross-zone-load-balancing-enabled", Kinds: forBoth, Value: "true | false", Default: "false", Change: inPlace, Example: "true",
			read: flag(lb.AttrCrossZone)},
		{Key: prefixAWS + "access-log-enabled", Kinds: forBoth, Value: "true | false", Default: "false", Change: inPlace, Example: "true",
			read: flag(lb.AttrAccessLogsEnabled)},
		{Key: prefixAWS + "access-log-s3-bucket-name", Kinds: forBoth, Value: "a bucket's name", Change: inPlace, Example: "logs",
			read: text(func(s *settings, v string) { s.lbAttributes[lb.AttrAccessLogsBucket] = v })},
		{Key: prefixAWS + "access-log-s3-bucket-prefix", Kinds: forBoth, Value: "a prefix", Change: inPlace, Example: "shop",
			read: text(func(s *settings, v string) { s.lbAttributes[lb.AttrAccessLogsPrefix] = v })},
		{Key: prefixAWS + "additional-resource-tags", Kinds: forBoth, Value: "key=value pairs", Change: inPlace, Example: "team=shop",
			read: mapping(readTags)},
		{Key: prefixAWS + "listener-attributes", Ported: true, Suffix: "PROTOCOL-PORT", Kinds: forNLB, Value: "key=value pairs", Change: inPlace, Example: lb.AttrTCPIdleTimeout + "=600",
			read: mapping(attributes(listenerAttributes, listenerOf))},
		{Key: prefixAWS + "enable-tcp-udp-listener", Kinds: forNLB, Value: "true | false; false refuses TCP and UDP on one port", Default: "true", Change: atOnce, Example: "false",
			read: boolean(func(s *settings, v bool) { s.tcpUDP = v })},
	}
}

// targetRows are the annotations about target groups and targets.
func targetRows() []Annotation {
	return []Annotation{
		{Key: prefixAWS + "nlb-target-type", Kinds: forNLB, Value: "instance | ip", Default: "the controller's --default-target-type; ip without node ports", Change: newTargets, Example: "ip",
			read: enum(func(s *settings) *lb.TargetType { return &s.targetType }, lb.InstanceTarget, lb.IPTarget)},
		{Key: prefixAWS + "target-node-labels", Kinds: forBoth, Value: "key=value pairs", Default: "all nodes", Change: inPlace, Example: "pool=edge",
			read: mapping(func(_ parser, s *settings, m map[string]string) { s.nodeLabels = m })},
		{Key: prefixAWS + "target-group-attributes", Kinds: forNLB, Value: "key=value pairs", Change: inPlace, Example: lb.AttrDeregistrationDelay + "=60",
			read: mapping(attributes(targetGroupAttributes, groupOf))},
		{Key: prefixAWS + "target-group-attributes", Ported: true, Suffix: "PORT", Kinds: forNLB, Value: "key=value pairs", Change: inPlace, Example: lb.AttrStickinessEnabled + "=true",
			read: mapping(attributes(targetGroupAttributes, groupOf))},
		{Key: prefixAWS + "proxy-protocol", Kinds: forBoth, Value: "*", Change: inPlace, Example: "*", read: readProxy},
		{Key: prefixAWS + "proxy-protocol-per-target-group", Kinds: forBoth, Value: "port numbers", Change: inPlace, Example: "80,443",
			read: list(func(_ parser, s *settings, v []string) { s.proxyPorts = v })},
	}
}

// sharedRow is the annotation about targets that others register.
func sharedRow() Annotation {
	return Annotation{Key: prefixAWS + "multi-cluster-target-group", Kinds: forNLB, Value: "true | false; targets that others register in the Service's target groups are left alone ([how](../controller.md#targets-of-other-clusters))", Default: "false: they are deregistered", Change: inPlace, Example: "true",
		read: boolean(func(s *settings, v bool) { s.sharedGroups = v })}
}

func healthRows() []Annotation {
	return []Annotation{
		{Key: prefixAWS + "healthcheck-protocol", Kinds: forBoth, Value: "tcp | http | https; Classic: ssl too", Default: "http with externalTrafficPolicy Local, else tcp", Change: inPlace, Example: "http",
			read: byKind(enum(healthProtocol, lb.TCP, lb.HTTP, lb.HTTPS), enum(healthProtocol, lb.TCP, lb.HTTP, lb.HTTPS, lb.SSL))},
		{Key: prefixAWS + "healthcheck-port", Kinds: forBoth, Value: "traffic-port, a port number or the name of a Service port", Default: "healthCheckNodePort with externalTrafficPolicy Local, else traffic-port", Change: inPlace, Example: "8081",
			read: text(func(s *settings, v string) { s.health.port = v })},
		{Key: prefixAWS + "healthcheck-path", Kinds: forBoth, Value: "a path", Default: "/; /healthz with externalTrafficPolicy Local", Change: inPlace, Example: "/ready", read: readPath},
		{Key: prefixAWS + "healthcheck-success-codes", Kinds: forNLB, Value: "HTTP codes such as 200-399 or 200,204", Default: "200-399", Change: inPlace, Example: "200", read: readCodes},
		{Key: prefixAWS + "healthcheck-interval", Kinds: forBoth, Value: "5 to 300 seconds", Default: "the controller's --default-health-check-interval", Change: inPlace, Example: "5",
			read: number(5, 300, func(s *settings, n int) { s.health.interval = time.Duration(n) * time.Second })},
		{Key: prefixAWS + "healthcheck-timeout", Kinds: forBoth, Value: "2 to 120 seconds, not above the interval; Classic: to 60, below the interval", Default: "10 for TCP and HTTPS, 6 for HTTP, Classic 5, or what fits the interval", Change: inPlace, Example: "3",
			read: byKind(number(2, 120, healthTimeout), number(2, 60, healthTimeout))},
		{Key: prefixAWS + "healthcheck-healthy-threshold", Kinds: forBoth, Value: "2 to 10", Default: "the controller's --default-healthy-threshold", Change: inPlace, Example: "2",
			read: number(2, 10, func(s *settings, n int) { s.health.healthy = n })},
		{Key: prefixAWS + "healthcheck-unhealthy-threshold", Kinds: forBoth, Value: "2 to 10", Default: "the controller's --default-unhealthy-threshold", Change: inPlace, Example: "2",
			read: number(2, 10, func(s *settings, n int) { s.health.unhealthy = n })},
	}
}

// accessRows are the annotations about who may connect.
func accessRows() []Annotation {
	return []Annotation{
		{Key: keyRanges, Kinds: forBoth, Value: "CIDR blocks; spec.loadBalancerSourceRanges goes before it", Default: "everyone", Change: inPlace, Example: "203.0.113.0/24", read: ranges},
		{Key: prefixAWS + "security-groups", Kinds: forBoth, Value: "security group IDs or names", Default: "a group of its own", Change: inPlace, Example: "sg-0a1b2c3d",
			read: list(func(_ parser, s *settings, v []string) { s.groups = v })},
		noGroupsRow(),
		{Key: prefixAWS + "manage-backend-security-group-rules", Kinds: forBoth, Value: "true | false", Default: "true; false with security-groups", Change: inPlace, Example: "true",
			read: boolean(func(s *settings, v bool) { s.manageBackend, s.backendGiven = v, true })},
		{Key: prefixAWS + "enable-icmp-for-path-mtu-discovery", Kinds: forBoth, Value: "on | off", Default: "on", Change: inPlace, Example: "off",
			read: onOff(func(s *settings, v bool) { s.icmp = v })},
		{Key: prefixAWS + "security-group-prefix-lists", Kinds: forBoth, Value: "IDs of managed prefix lists; they stand beside source ranges", Default: "none", Change: inPlace, Example: "pl-0a1b2c3d",
			read: list(readPrefixLists)},
		{Key: prefixAWS + "inbound-sg-rules-on-private-link-traffic", Kinds: forNLB, Value: "on | off", Default: "on", Change: inPlace, Example: "off",
			read: onOff(func(s *settings, v bool) { s.privateLink = v })},
	}
}

// find is the row of a key, and the port that continues it.
func find(key string) (a Annotation, suffix string, ok bool) {
	for _, a := range table() {
		if a.Ported {
			if suffix, ok := strings.CutPrefix(key, a.Key+"."); ok {
				return a, suffix, true
			}
		} else if a.Key == key {
			return a, "", true
		}
	}
	return Annotation{}, "", false
}

func keys() []string {
	var out []string
	for _, a := range table() {
		if !a.internal {
			out = append(out, a.Key)
		}
	}
	sort.Strings(out)
	return out
}

func healthProtocol(s *settings) *lb.Protocol { return &s.health.protocol }

func healthTimeout(s *settings, n int) { s.health.timeout = time.Duration(n) * time.Second }

// byKind reads what may stand there on a Network and on a Classic Load Balancer.
func byKind(network, classic reader) reader {
	return func(p parser, s *settings) {
		if p.kind == lb.Classic {
			classic(p, s)
		} else {
			network(p, s)
		}
	}
}

func flag(attribute string) reader {
	return boolean(func(s *settings, v bool) {
		s.lbAttributes[attribute] = map[bool]string{true: "true", false: "false"}[v]
	})
}

// readInternal follows the in-tree provider: false and the empty value mean
// public. The scheme annotation sorts after it and so goes before it.
func readInternal(p parser, s *settings) {
	if p.value == "" {
		s.scheme = lb.InternetFacing
		return
	}
	boolean(func(s *settings, v bool) {
		s.scheme = lb.InternetFacing
		if v {
			s.scheme = lb.Internal
		}
	})(p, s)
}

func readTags(p parser, s *settings, m map[string]string) {
	for k := range m {
		if strings.HasPrefix(k, "aws:") || strings.HasPrefix(k, prefixFairlead) || strings.HasPrefix(k, "kubernetes.io/cluster/") {
			p.bad("the tag "+k+" is reserved", "choose another key")
		}
	}
	s.tags = m
}

func readProxy(p parser, s *settings) {
	if p.value != "*" {
		p.bad("must be *", "for single ports use "+prefixAWS+"proxy-protocol-per-target-group")
		return
	}
	s.proxyAll = true
}

func readPath(p parser, s *settings) {
	if !strings.HasPrefix(p.value, "/") || len(p.value) > 1024 {
		p.bad("must begin with / and have at most 1024 characters", "")
		return
	}
	s.health.path = p.value
}

var prefixListForm = regexp.MustCompile(`^pl-[0-9a-f]+$`)

func readPrefixLists(p parser, s *settings, ids []string) {
	for _, id := range ids {
		if !prefixListForm.MatchString(id) {
			p.bad(fmt.Sprintf("%q is not the ID of a prefix list", id), "write it as pl-0a1b2c3d")
		}
	}
	s.prefixLists = ids
}
