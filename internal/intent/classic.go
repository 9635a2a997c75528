package intent

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// maxClassicListeners is the default quota of Classic Load Balancers.
const maxClassicListeners = 100

const proxyPolicy = owner.PolicyPrefix + "proxy-protocol"

func (b *builder) classic() bool { return b.in.Type == lb.Classic }

// kindName is what problems call the kind of load balancer.
func kindName(t lb.LoadBalancerType) string {
	if t == lb.Classic {
		return "a Classic Load Balancer"
	}
	return "a Network Load Balancer"
}

// checkClassicSpec looks at fields and annotations that a Classic Load Balancer
// cannot follow.
func (b *builder) checkClassicSpec() {
	if b.svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		b.fail("spec.sessionAffinity", "ClientIP", "a Classic Load Balancer cannot keep clients to an instance by their address", "set it to None, or ask for a Network Load Balancer")
	}
	if families := b.svc.Spec.IPFamilies; len(families) > 0 && families[0] == corev1.IPv6Protocol {
		b.fail("spec.ipFamilies[0]", "IPv6", "a Classic Load Balancer reaches instances by IPv4", "put IPv4 first, or ask for a Network Load Balancer")
	}
	if b.svc.Spec.LoadBalancerClass != nil && b.set.kind != "" {
		b.warn(prefixAWS+"type", b.set.kind, "has no effect beside spec.loadBalancerClass, which asks for a Classic Load Balancer", "")
	}
	if n := len(b.set.tls.certificates); n > 1 {
		b.fail(keyCertificates, "", fmt.Sprintf("%d certificates; a Classic Load Balancer takes one", n), "name one that is for all hosts, or ask for a Network Load Balancer")
	}
}

// classicParts are the listeners, instances and policies. Ports that end TLS
// have been marked by secure.
func (b *builder) classicParts(ports []port) *lb.ClassicParts {
	c := &lb.ClassicParts{Instances: b.instances(), HealthCheck: b.classicHealth(ports)}
	var numbers []string
	for _, p := range ports {
		numbers = append(numbers, strconv.Itoa(int(p.number)))
		l := b.classicListener(p)
		c.Listeners = append(c.Listeners, l)
		if b.proxied(p, l.InstanceProtocol) {
			c.Backends = append(c.Backends, lb.ClassicBackend{InstancePort: l.InstancePort, Policies: []string{proxyPolicy}})
		}
		if l.Protocol.Secure() && !slices.ContainsFunc(c.Policies, func(p lb.ClassicPolicy) bool { return p.Name == l.Policies[0] }) {
			c.Policies = append(c.Policies, b.sslPolicy())
		}
	}
	if len(c.Backends) > 0 {
		c.Policies = append(c.Policies, lb.ClassicPolicy{
			Name: proxyPolicy, Type: lb.ProxyProtocolPolicyType, Attributes: []lb.ClassicAttribute{{Name: lb.PolicyProxyProtocol, Value: "true"}},
		})
	}
	b.checkProxyPorts(numbers)
	slices.SortFunc(c.Backends, func(a, b lb.ClassicBackend) int { return cmp.Compare(a.InstancePort, b.InstancePort) })
	slices.SortFunc(c.Policies, func(a, b lb.ClassicPolicy) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// classicListener speaks HTTP on both sides or on none (Listener in the API
// reference). Without a certificate encrypted traffic passes through as TCP.
func (b *builder) classicListener(p port) lb.ClassicListener {
	l := lb.ClassicListener{Port: p.number, Protocol: lb.TCP, InstancePort: uint16(p.service.NodePort), InstanceProtocol: lb.TCP}
	backend := b.set.tls.backend
	if p.protocol != lb.TLS {
		if backend == "http" {
			l.Protocol, l.InstanceProtocol = lb.HTTP, lb.HTTP
		}
		return l
	}
	l.CertificateARN, l.Policies = b.set.tls.certificates[0], []string{b.sslPolicy().Name}
	switch backend {
	case "http":
		l.Protocol, l.InstanceProtocol = lb.HTTPS, lb.HTTP
	case "https":
		l.Protocol, l.InstanceProtocol = lb.HTTPS, lb.HTTPS
	case "ssl":
		l.Protocol, l.InstanceProtocol = lb.SSL, lb.SSL
	default:
		l.Protocol, l.InstanceProtocol = lb.SSL, lb.TCP
	}
	return l
}

// sslPolicy is the policy that a listener with a certificate negotiates by.
// AWS itself makes the one of the default, under the default's name.
func (b *builder) sslPolicy() lb.ClassicPolicy {
	reference := orDefault(b.set.tls.policy, lb.DefaultSSLPolicy)
	name := owner.PolicyPrefix + reference
	if reference == lb.DefaultSSLPolicy {
		name = reference
	}
	return lb.ClassicPolicy{Name: name, Type: lb.SSLNegotiationPolicyType, Attributes: []lb.ClassicAttribute{{Name: lb.PolicyReference, Value: reference}}}
}

// proxied says whether instances learn the client's address by PROXY protocol
// at this port. HTTP tells it in X-Forwarded-For instead.
func (b *builder) proxied(p port, instance lb.Protocol) bool {
	number := strconv.Itoa(int(p.number))
	key, value, asked := prefixAWS+"proxy-protocol", "*", b.set.proxyAll
	if !asked {
		key, value, asked = prefixAWS+"proxy-protocol-per-target-group", number, slices.Contains(b.set.proxyPorts, number)
	}
	if asked && instance.Web() {
		b.warn(key, value, "has no effect on port "+number+", which speaks HTTP: X-Forwarded-For has the client's address there", "")
		return false
	}
	return asked
}

// instances are the nodes to register, by instance ID.
func (b *builder) instances() []string {
	b.checkNodePorts()
	nodes := b.eligibleNodes()
	var ids, strangers []string
	for _, n := range nodes {
		if id := InstanceID(n); id != "" {
			ids = append(ids, id)
		} else {
			strangers = append(strangers, n.Name)
		}
	}
	slices.Sort(strangers)
	for _, name := range strangers {
		if why := "names no EC2 instance"; len(ids) == 0 {
			b.fail("nodes/"+name+" spec.providerID", "", why+", and a Classic Load Balancer sends to nothing else", "ask for a Network Load Balancer")
		} else {
			b.warn("nodes/"+name+" spec.providerID", "", why+", unlike other nodes; the node gets no traffic", "")
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// classicAttributes are those that the annotations ask for, by their names on
// Classic Load Balancers. What belongs to something that is off is left out:
// AWS does not keep it.
func (b *builder) classicAttributes() map[string]string {
	out := map[string]string{}
	for key, value := range b.set.lbAttributes {
		out[classicName(key)] = value
	}
	b.needs(out, lb.ClassicAccessLogs, "access-log-enabled", map[string]string{
		lb.ClassicAccessLogBucket: "access-log-s3-bucket-name", lb.ClassicAccessLogPrefix: "access-log-s3-bucket-prefix", lb.ClassicAccessLogInterval: "access-log-emit-interval",
	})
	b.needs(out, lb.ClassicDraining, "connection-draining-enabled", map[string]string{lb.ClassicDrainingTimeout: "connection-draining-timeout"})
	b.needsBucket(out, lb.ClassicAccessLogs, lb.ClassicAccessLogBucket)
	return out
}

// needs drops attributes that have no effect while another is off.
func (b *builder) needs(attrs map[string]string, enabled, annotation string, dependent map[string]string) {
	if attrs[enabled] == "true" {
		return
	}
	for attribute, suffix := range dependent {
		if value, given := attrs[attribute]; given {
			b.warn(prefixAWS+suffix, value, "has no effect without "+prefixAWS+annotation, "set that to true")
			delete(attrs, attribute)
		}
	}
}

// classicName is what Classic Load Balancers call an attribute.
func classicName(attribute string) string {
	switch attribute {
	case lb.AttrCrossZone:
		return lb.ClassicCrossZone
	case lb.AttrAccessLogsEnabled:
		return lb.ClassicAccessLogs
	case lb.AttrAccessLogsBucket:
		return lb.ClassicAccessLogBucket
	case lb.AttrAccessLogsPrefix:
		return lb.ClassicAccessLogPrefix
	}
	return attribute
}

// classicHealth is the one health check of all ports: of the first port, and
// under policy Local of the nodes that have a pod.
func (b *builder) classicHealth(ports []port) lb.HealthCheck {
	hc := lb.HealthCheck{Protocol: lb.TCP}
	if len(ports) > 0 {
		hc.Port = strconv.Itoa(int(ports[0].service.NodePort))
		if ports[0].protocol == lb.TLS && b.set.tls.backend == "ssl" {
			hc.Protocol = lb.SSL
		}
	}
	if local := b.svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal; local && b.svc.Spec.HealthCheckNodePort > 0 {
		hc = lb.HealthCheck{Protocol: lb.HTTP, Port: strconv.Itoa(int(b.svc.Spec.HealthCheckNodePort)), Path: "/healthz"}
	}
	h := b.set.health
	if h.protocol != "" && h.protocol != hc.Protocol {
		hc.Protocol, hc.Path = h.protocol, ""
	}
	if h.port != "" && h.port != lb.TrafficPort {
		hc.Port = b.healthPort(h.port)
	}
	b.classicPath(&hc)
	b.classicTiming(&hc)
	return hc
}

func (b *builder) classicPath(hc *lb.HealthCheck) {
	path := b.set.health.path
	switch {
	case !hc.Protocol.Web() && path != "":
		b.warn(prefixAWS+"healthcheck-path", path, "has no effect on health checks by "+string(hc.Protocol), "set "+prefixAWS+"healthcheck-protocol to http")
	case hc.Protocol.Web():
		hc.Path = orDefault(path, orDefault(hc.Path, "/"))
	}
}

// classicTiming fills intervals and thresholds; AWS wants a timeout of 2 to 60
// seconds that is below the interval.
func (b *builder) classicTiming(hc *lb.HealthCheck) {
	h, d := b.set.health, b.in.Defaults
	hc.Interval = orDefault(h.interval, d.HealthInterval)
	hc.HealthyThreshold = orDefault(h.healthy, d.HealthyThreshold)
	hc.UnhealthyThreshold = orDefault(h.unhealthy, d.UnhealthyThreshold)
	longest := min(hc.Interval-time.Second, time.Minute)
	hc.Timeout = orDefault(h.timeout, min(5*time.Second, longest))
	if hc.Timeout > longest {
		b.fail(prefixAWS+"healthcheck-timeout", strconv.Itoa(int(h.timeout/time.Second)), fmt.Sprintf("must be at most %d with an interval of %d", longest/time.Second, hc.Interval/time.Second), "")
	}
}
