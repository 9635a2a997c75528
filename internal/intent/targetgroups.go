package intent

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// kubeProxyHealth is kube-proxy's own health port: what tells that a node can
// forward when nothing on it answers TCP.
const kubeProxyHealth = "10256"

func (b *builder) targetGroups(ports []port) []lb.TargetGroup {
	b.groups = len(ports) + b.backends()
	source, family := b.targetSource(), b.family()
	var out []lb.TargetGroup
	for _, p := range ports {
		out = append(out, b.targetGroup(groupWish{key: p.key(), port: p, protocol: b.groupProtocol(p), source: source, family: family}))
		b.numbers = append(b.numbers, strconv.Itoa(int(p.number)))
	}
	slices.SortFunc(out, func(a, b lb.TargetGroup) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// groupWish is what a target group is for.
type groupWish struct {
	key      string
	port     port
	protocol lb.Protocol
	source   targetSource
	family   lb.IPAddressType
}

func (b *builder) targetGroup(w groupWish) lb.TargetGroup {
	g := lb.TargetGroup{
		Key: w.key, Protocol: w.protocol, Port: w.source.defaultPort(w.port),
		TargetType: w.source.targetType(), IPAddressType: w.family,
		Targets: w.source.targets(w.port, w.family), Shared: b.set.sharedGroups,
	}
	g.Name = b.owner.TargetGroupName(g.Key, b.lbName, string(g.Protocol), string(g.TargetType), string(g.IPAddressType))
	g.HealthCheck = b.healthCheck(w.port)
	g.Attributes = b.groupAttributes(w.port, w.source)
	g.Tags = b.tags("target-group/" + g.Key)
	return g
}

// family is the targets' address family: the Service's first.
func (b *builder) family() lb.IPAddressType {
	families := b.svc.Spec.IPFamilies
	if len(families) == 0 || families[0] != corev1.IPv6Protocol {
		return lb.IPv4
	}
	if b.set.ipAddressType != lb.DualStack {
		b.fail("spec.ipFamilies[0]", "IPv6", "IPv6 targets need a load balancer with IPv6 addresses", "set "+prefixAWS+"ip-address-type to dualstack")
	}
	return lb.IPv6
}

// groupAttributes are what the fields and annotations of the Service ask for;
// what is asked for one port goes before what is asked for all.
func (b *builder) groupAttributes(p port, source targetSource) map[string]string {
	attrs := map[string]string{}
	if b.svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		attrs[lb.AttrStickinessEnabled] = "true"
		attrs[lb.AttrStickinessType] = "source_ip"
	}
	if source.keepsClientAddress() {
		attrs[lb.AttrPreserveClientIP] = "true"
	}
	number := strconv.Itoa(int(p.number))
	maps.Copy(attrs, b.set.groupAttributes)
	if b.set.proxyPorts != nil {
		attrs[lb.AttrProxyProtocolV2] = strconv.FormatBool(slices.Contains(b.set.proxyPorts, number))
	}
	if b.set.proxyAll {
		attrs[lb.AttrProxyProtocolV2] = "true"
	}
	maps.Copy(attrs, b.set.portAttributes[number])
	udp := slices.Contains(p.protocol.Transports(), lb.UDP)
	if udp && attrs[lb.AttrPreserveClientIP] == "false" {
		b.fail(prefixAWS+"target-group-attributes", lb.AttrPreserveClientIP+"=false", fmt.Sprintf("port %d has UDP, which always keeps the client's address", p.number), "")
	}
	if udp && attrs[lb.AttrUnhealthyTermination] == "true" {
		b.fail(prefixAWS+"target-group-attributes", lb.AttrUnhealthyTermination+"=true", fmt.Sprintf("port %d has UDP, which cannot have it", p.number), "")
	}
	return attrs
}

// checkPorted warns about settings for ports that neither the Service nor those
// behind it have.
func (b *builder) checkPorted() {
	for number := range b.set.portAttributes {
		if !slices.Contains(b.numbers, number) {
			b.warn(prefixAWS+"target-group-attributes."+number, "", "the Service has no such port; it has no effect", "")
		}
	}
	b.checkProxyPorts(b.numbers)
}

func (b *builder) checkProxyPorts(numbers []string) {
	for _, number := range b.set.proxyPorts {
		if !slices.Contains(numbers, number) {
			b.fail(prefixAWS+"proxy-protocol-per-target-group", number, "the Service has no such port", "its ports are "+strings.Join(numbers, ", "))
		}
	}
}

// healthCheck is what tells whether a target can serve the port. With policy
// Local a node serves when it has a ready pod: kube-proxy answers that on the
// healthCheckNodePort.
func (b *builder) healthCheck(p port) lb.HealthCheck {
	hc := lb.HealthCheck{Protocol: lb.TCP, Port: lb.TrafficPort}
	pods := b.podTargets()
	local := b.svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	switch {
	case local && !pods && b.svc.Spec.HealthCheckNodePort > 0:
		hc = lb.HealthCheck{Protocol: lb.HTTP, Port: strconv.Itoa(int(b.svc.Spec.HealthCheckNodePort)), Path: "/healthz"}
	case p.protocol == lb.UDP && !pods:
		hc = lb.HealthCheck{Protocol: lb.HTTP, Port: kubeProxyHealth, Path: "/healthz"}
	}
	b.overrideHealth(&hc)
	if p.protocol == lb.UDP && hc.Port == lb.TrafficPort {
		b.warn(p.field, strconv.Itoa(int(p.number)), "health checks go by TCP to a port that serves UDP", "set "+prefixAWS+"healthcheck-port to one that answers")
	}
	b.timing(&hc)
	return hc
}

func (b *builder) overrideHealth(hc *lb.HealthCheck) {
	h := b.set.health
	if h.protocol != "" && h.protocol != hc.Protocol {
		hc.Protocol = h.protocol
		hc.Path = ""
	}
	if h.port != "" {
		hc.Port = b.healthPort(h.port)
	}
	if hc.Protocol == lb.TCP {
		if h.path != "" {
			b.warn(prefixAWS+"healthcheck-path", h.path, "has no effect on health checks by TCP", "set "+prefixAWS+"healthcheck-protocol to http")
		}
		if h.codes != "" {
			b.warn(prefixAWS+"healthcheck-success-codes", h.codes, "has no effect on health checks by TCP", "set "+prefixAWS+"healthcheck-protocol to http")
		}
		hc.Path, hc.Matcher = "", ""
		return
	}
	if h.path != "" {
		hc.Path = h.path
	}
	if hc.Path == "" {
		hc.Path = "/"
	}
	hc.Matcher = "200-399"
	if h.codes != "" {
		hc.Matcher = h.codes
	}
}

// healthPort reads traffic-port, a number, or the name of a Service port.
func (b *builder) healthPort(value string) string {
	if value == lb.TrafficPort {
		return value
	}
	if n, err := strconv.ParseUint(value, 10, 16); err == nil && n > 0 {
		return value
	}
	names := []string{lb.TrafficPort}
	for _, p := range b.svc.Spec.Ports {
		names = append(names, p.Name)
		if p.Name != value {
			continue
		}
		if !b.podTargets() {
			return strconv.Itoa(int(p.NodePort))
		}
		if n := p.TargetPort.IntValue(); n > 0 {
			return strconv.Itoa(n)
		}
		b.fail(prefixAWS+"healthcheck-port", value, "its target port is a name, which may differ from pod to pod", "use a number")
		return lb.TrafficPort
	}
	b.fail(prefixAWS+"healthcheck-port", value, "must be traffic-port, 1 to 65535 or the name of a Service port", didYouMean(value, names))
	return lb.TrafficPort
}

// timing fills intervals and thresholds. AWS wants a timeout not above the
// interval, below it for HTTP and HTTPS.
func (b *builder) timing(hc *lb.HealthCheck) {
	h, d := b.set.health, b.in.Defaults
	hc.Interval = orDefault(h.interval, d.HealthInterval)
	hc.HealthyThreshold = orDefault(h.healthy, d.HealthyThreshold)
	hc.UnhealthyThreshold = orDefault(h.unhealthy, d.UnhealthyThreshold)
	longest, usual := hc.Interval, 10*time.Second
	if hc.Protocol != lb.TCP {
		longest -= time.Second
	}
	if hc.Protocol == lb.HTTP {
		usual = 6 * time.Second
	}
	hc.Timeout = min(usual, longest)
	if h.timeout == 0 {
		return
	}
	if hc.Timeout = h.timeout; h.timeout > longest {
		b.fail(prefixAWS+"healthcheck-timeout", strconv.Itoa(int(h.timeout/time.Second)), fmt.Sprintf("must be at most %d with an interval of %d and protocol %s", longest/time.Second, hc.Interval/time.Second, hc.Protocol), "")
	}
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}
