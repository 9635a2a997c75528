package intent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// maxListeners is a fixed quota of Network Load Balancers.
const maxListeners = 50

// port is one port of the load balancer: one of the Service's, or two when TCP
// and UDP share a number.
type port struct {
	number   uint16
	protocol lb.Protocol
	service  corev1.ServicePort // of two, the TCP one
	field    string
}

// key is what the target group is called after. A name lets a port change its
// number and keep its target group.
func (p port) key() string {
	if p.service.Name != "" {
		return p.service.Name
	}
	return strings.ToLower(string(p.service.Protocol)) + "-" + strconv.Itoa(int(p.number))
}

// ports are the Service's ports, those of one number joined.
func (b *builder) ports() []port {
	var out []port
	for i, sp := range b.svc.Spec.Ports {
		field := fmt.Sprintf("spec.ports[%d]", i)
		if sp.Protocol == "" {
			sp.Protocol = corev1.ProtocolTCP
		}
		if why := b.unsupported(sp.Protocol); why != "" {
			b.fail(field+".protocol", string(sp.Protocol), why, "")
			continue
		}
		p := port{number: uint16(sp.Port), protocol: lb.Protocol(sp.Protocol), service: sp, field: field}
		if j := slices.IndexFunc(out, func(o port) bool { return o.number == p.number }); j >= 0 {
			out[j] = b.join(out[j], p)
			continue
		}
		out = append(out, p)
	}
	if most := b.maxListeners(); len(out) > most {
		b.fail("spec.ports", "", fmt.Sprintf("%d ports; %s has at most %d listeners", len(out), kindName(b.in.Type), most), "split the Service")
	}
	slices.SortFunc(out, func(a, b port) int { return int(a.number) - int(b.number) })
	return out
}

func (b *builder) maxListeners() int {
	if b.classic() {
		return maxClassicListeners
	}
	return maxListeners
}

// unsupported says why a port cannot have a protocol, "" when it can.
func (b *builder) unsupported(p corev1.Protocol) string {
	switch {
	case p == corev1.ProtocolTCP, p == corev1.ProtocolUDP && !b.classic():
		return ""
	case b.classic():
		return "a Classic Load Balancer takes TCP alone"
	default:
		return "a Network Load Balancer takes TCP and UDP"
	}
}

// join makes a TCP_UDP port. Both protocols go to one target port, because a
// target group has one.
func (b *builder) join(p, q port) port {
	if !b.set.tcpUDP {
		b.fail(q.field, strconv.Itoa(int(q.number)), "TCP and UDP on one port need a TCP_UDP listener", "remove "+prefixAWS+"enable-tcp-udp-listener")
	}
	if q.service.Protocol == corev1.ProtocolTCP {
		p, q = q, p
	}
	if b.podTargets() && p.service.TargetPort != q.service.TargetPort {
		b.fail(q.field+".targetPort", q.service.TargetPort.String(), fmt.Sprintf("TCP on port %d has another target port, %s; a TCP_UDP listener has one", p.number, p.service.TargetPort.String()), "")
	}
	if !b.podTargets() && p.service.NodePort != q.service.NodePort {
		b.fail(q.field+".nodePort", strconv.Itoa(int(q.service.NodePort)), fmt.Sprintf("TCP on port %d has another node port, %d; a TCP_UDP listener has one", p.number, p.service.NodePort), fmt.Sprintf("set both to %d", p.service.NodePort))
	}
	p.protocol = lb.TCPUDP
	return p
}

// podTargets says that targets are pods and not nodes: the user says so, or
// the Service has no node ports.
func (b *builder) podTargets() bool {
	switch {
	case b.classic():
		return false
	case b.set.targetType != "":
		return b.set.targetType == lb.IPTarget
	case b.in.Defaults.TargetType == lb.IPTarget:
		return true
	}
	allocate := b.svc.Spec.AllocateLoadBalancerNodePorts
	return allocate != nil && !*allocate && b.lacksNodePort()
}

func (b *builder) lacksNodePort() bool {
	for _, p := range b.svc.Spec.Ports {
		if p.NodePort == 0 {
			return true
		}
	}
	return false
}

func (b *builder) listeners(ports []port, groups []lb.TargetGroup) []lb.Listener {
	var out []lb.Listener
	unused := map[string]bool{}
	for key := range b.set.listenerAttributes {
		unused[key] = true
	}
	for _, p := range ports {
		key := fmt.Sprintf("%s-%d", p.protocol, p.number)
		delete(unused, key)
		i := slices.IndexFunc(groups, func(g lb.TargetGroup) bool { return g.Key == p.key() })
		out = append(out, lb.Listener{
			Port: p.number, Protocol: p.protocol, TargetGroup: groups[i].Name,
			Security: b.security(p), Attributes: b.listenerAttributes(p, key), Tags: b.tags("listener/" + strings.ToLower(key)),
		})
	}
	for key := range unused {
		b.warn(prefixAWS+"listener-attributes."+key, "", "the Service has no such listener; it has no effect", didYouMean(key, listenerKeys(ports)))
	}
	return out
}

// listenerAttributes are those of a listener. TLS ones have none to set.
func (b *builder) listenerAttributes(p port, key string) map[string]string {
	attrs := b.set.listenerAttributes[key]
	if p.protocol == lb.TLS && len(attrs) > 0 {
		b.warn(prefixAWS+"listener-attributes."+key, "", "a TLS listener has no attributes; it has no effect", "")
		return nil
	}
	return attrs
}

func listenerKeys(ports []port) []string {
	var out []string
	for _, p := range ports {
		out = append(out, fmt.Sprintf("%s-%d", p.protocol, p.number))
	}
	return out
}
