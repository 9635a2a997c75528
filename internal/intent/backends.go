package intent

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Backend is another Service of the namespace that shares connections of the
// load balancer, with what it depends on.
type Backend struct {
	Service *corev1.Service
	Slices  []*discoveryv1.EndpointSlice
}

// Backends are the names of the other Services that a Service's actions name,
// whether they exist or not.
func Backends(svc *corev1.Service) []string {
	names := map[string]bool{}
	for key, value := range svc.Annotations {
		if !strings.HasPrefix(key, keyActions+".") {
			continue
		}
		s := newSettings(Defaults{})
		readAction(parser{key: key, value: value, problems: new([]Problem)}, &s)
		for _, a := range s.actions {
			for _, t := range a.ForwardConfig.TargetGroups {
				names[t.ServiceName] = true
			}
		}
	}
	delete(names, "") // groups that others made
	return slices.Sorted(maps.Keys(names))
}

// backends is how many target groups the actions add at most.
func (b *builder) backends() (n int) {
	for _, a := range b.set.actions {
		n += len(a.ForwardConfig.TargetGroups)
	}
	return n
}

// act has listeners share their connections as the actions say.
func (b *builder) act(stack *lb.Stack, ports []port) {
	unused := slices.Collect(maps.Keys(b.set.actions))
	for i := range stack.Listeners {
		l, p := &stack.Listeners[i], ports[i]
		suffix := fmt.Sprintf("%s-%d", l.Protocol, l.Port)
		a, asked := b.set.actions[suffix]
		if !asked {
			continue
		}
		unused = slices.DeleteFunc(unused, func(s string) bool { return s == suffix })
		b.share(stack, l, p, a)
	}
	for _, suffix := range unused {
		b.warn(keyActions+"."+suffix, "", "the Service has no such listener; it has no effect", didYouMean(suffix, listenerKeys(ports)))
	}
	slices.SortFunc(stack.TargetGroups, func(a, b lb.TargetGroup) int { return strings.Compare(a.Name, b.Name) })
}

// share has one listener share its connections.
func (b *builder) share(stack *lb.Stack, l *lb.Listener, p port, a action) {
	key := ActionsKey(l.Protocol, l.Port)
	if len(a.ForwardConfig.TargetGroups) == 0 {
		return // the Service's own gets all
	}
	if l.Stickiness = a.ForwardConfig.TargetGroupStickinessConfig.Enabled; l.Stickiness && l.Protocol == lb.TLS {
		b.fail(key+" forwardConfig.targetGroupStickinessConfig.enabled", "true", "a TLS listener cannot keep clients to a target group", "remove it")
	}
	l.Forward = []lb.Forward{{TargetGroup: l.TargetGroup, Weight: deref(a.ForwardConfig.BaseServiceWeight, 0)}}
	for i, t := range a.ForwardConfig.TargetGroups {
		if t.names() != 1 {
			continue
		}
		field := fmt.Sprintf("%s forwardConfig.targetGroups[%d]", key, i)
		f := lb.Forward{TargetGroup: orDefault(t.TargetGroupARN, t.TargetGroupName), Weight: deref(t.Weight, 0), Foreign: true}
		if t.ServiceName != "" {
			g := b.backendGroup(field, p, t)
			f.TargetGroup, f.Foreign = g.Name, false
			if stack.Group(g.Name) == nil {
				stack.TargetGroups = append(stack.TargetGroups, g)
			}
		}
		if slices.ContainsFunc(l.Forward, func(o lb.Forward) bool { return o.TargetGroup == f.TargetGroup }) {
			b.fail(field, t.text(), "is named twice; a target group has one weight", "")
		}
		l.Forward = append(l.Forward, f)
	}
}

// backendGroup is the target group of another Service's port, as a listener of
// p needs it. All groups of a listener have one protocol and address family;
// settings are those of this Service, and those by port go by the other one's.
//
// A Service that does not exist has no targets: its pods' addresses may be
// someone else's by now.
func (b *builder) backendGroup(field string, p port, t forwardTarget) lb.TargetGroup {
	protocol := b.groupProtocol(p)
	if p.protocol == lb.TLS && t.Decrypt != nil && *t.Decrypt != (protocol == lb.TCP) {
		b.fail(field+".decrypt", strconv.FormatBool(*t.Decrypt), "all target groups of a listener have one protocol, and the Service's own has "+string(protocol), "leave decrypt out, or change "+keyBackend)
	}
	sub := b.behind(t.ServiceName)
	found := b.in.Backends[t.ServiceName].Service != nil
	q := port{number: uint16(t.ServicePort.IntValue()), protocol: protocol}
	switch {
	case t.ServiceName == b.svc.Name && matches(p.service, t.ServicePort):
		b.fail(field, t.text(), "is the Service itself", "its weight is baseServiceWeight")
	case !found:
		b.fail(field+".serviceName", t.ServiceName, "there is no such Service in namespace "+b.svc.Namespace, "")
	default:
		var why string
		if q.service, q.field, why = sub.portFor(protocol, t.ServicePort); why != "" {
			b.fail(field+".servicePort", t.ServicePort.String(), why, sub.portHint())
			found = false
		}
		q.number = uint16(q.service.Port)
	}
	sub.only = &q.service
	g := sub.targetGroup(groupWish{key: t.text(), port: q, protocol: protocol, source: sub.targetSource(), family: b.family()})
	if !found {
		g.Targets = nil
	}
	b.adopt(sub)
	b.numbers = append(b.numbers, strconv.Itoa(int(q.number)))
	return g
}

// behind builds for another Service with the settings of this one.
func (b *builder) behind(name string) *builder {
	sub, backend := *b, b.in.Backends[name]
	svc := corev1.Service{}
	if backend.Service != nil {
		svc = *backend.Service
	}
	svc.Spec.IPFamilies = b.svc.Spec.IPFamilies
	sub.svc, sub.in.Slices, sub.problems = &svc, backend.Slices, nil
	if sub.set.targetType = lb.InstanceTarget; b.podTargets() {
		sub.set.targetType = lb.IPTarget
	}
	return &sub
}

// adopt takes over what is wrong with another Service. What concerns all of the
// Service's annotations was said already.
func (b *builder) adopt(sub *builder) {
	for _, p := range sub.problems {
		if strings.HasPrefix(p.Field, "spec.") {
			p.Field = "services/" + sub.svc.Name + " " + p.Field
		}
		b.problems = append(b.problems, p)
	}
}

func matches(sp corev1.ServicePort, want intstr.IntOrString) bool {
	return want.Type == intstr.Int && int(sp.Port) == want.IntValue() || want.Type == intstr.String && (sp.Name == want.StrVal || strconv.Itoa(int(sp.Port)) == want.StrVal)
}

// portFor is the port that a reference means, of the protocol that the target
// group has; why says why there is none.
func (b *builder) portFor(protocol lb.Protocol, want intstr.IntOrString) (found corev1.ServicePort, field, why string) {
	need := map[corev1.Protocol]bool{corev1.ProtocolTCP: protocol != lb.UDP, corev1.ProtocolUDP: protocol == lb.UDP || protocol == lb.TCPUDP}
	named := false
	var ports []corev1.ServicePort
	for i, sp := range b.svc.Spec.Ports {
		if !matches(sp, want) {
			continue
		}
		named = true
		if p := orDefault(sp.Protocol, corev1.ProtocolTCP); need[p] {
			delete(need, p)
			ports, field = append(ports, sp), fmt.Sprintf("spec.ports[%d]", i)
		}
	}
	switch {
	case !named:
		return found, field, "the Service " + b.svc.Name + " has no such port"
	case need[corev1.ProtocolTCP] || need[corev1.ProtocolUDP]:
		return found, field, "the port of Service " + b.svc.Name + " cannot take " + string(protocol)
	case len(ports) == 2 && (ports[0].NodePort != ports[1].NodePort || ports[0].TargetPort != ports[1].TargetPort):
		return found, field, "TCP and UDP of the port have different node or target ports; a target group has one"
	}
	return ports[0], field, ""
}

func (b *builder) portHint() string {
	var ports []string
	for _, sp := range b.svc.Spec.Ports {
		ports = append(ports, strings.TrimPrefix(sp.Name+" ", " ")+fmt.Sprintf("(%s %d)", orDefault(sp.Protocol, corev1.ProtocolTCP), sp.Port))
	}
	if len(ports) == 0 {
		return ""
	}
	return "its ports are " + strings.Join(ports, ", ")
}

// ActionsKey is the annotation about a listener's target groups.
func ActionsKey(p lb.Protocol, port uint16) string {
	return fmt.Sprintf("%s.%s-%d", keyActions, p, port)
}
