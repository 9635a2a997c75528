package elb

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// secure reports whether a protocol is encrypted.
func secure(p lb.Protocol) bool { return p == lb.HTTPS || p == lb.SSL }

// web reports whether a protocol is HTTP, encrypted or not.
func web(p lb.Protocol) bool { return p == lb.HTTP || p == lb.HTTPS }

func protocolOf(text *string) lb.Protocol { return lb.Protocol(strings.ToUpper(aws.ToString(text))) }

func listenerConditions(listeners []types.Listener) balancing.Conditions {
	if len(listeners) == 0 {
		return nil
	}
	used := balancing.Convert(listeners, func(l types.Listener) string { return string(protocolOf(l.Protocol)) })
	return balancing.Conditions{balancing.KeyPrefix + "ListenerProtocol": balancing.Distinct(used)}
}

// newListener checks a listener by itself (Listener in the API reference).
func newListener(in types.Listener) (lb.ClassicListener, error) {
	l := lb.ClassicListener{Protocol: protocolOf(in.Protocol), InstanceProtocol: protocolOf(in.InstanceProtocol), CertificateARN: aws.ToString(in.SSLCertificateId)}
	if l.InstanceProtocol == "" {
		l.InstanceProtocol = lb.TCP
		if web(l.Protocol) {
			l.InstanceProtocol = lb.HTTP
		}
	}
	for _, p := range []lb.Protocol{l.Protocol, l.InstanceProtocol} {
		if !slices.Contains(protocols, p) {
			return l, wire.Errorf("UnsupportedProtocol", "The protocol '%s' is not supported; it must be one of HTTP, HTTPS, TCP, SSL", p)
		}
	}
	if err := balancing.CheckRange("listeners.loadBalancerPort", &in.LoadBalancerPort, 1, 65535); err != nil {
		return l, err
	}
	if err := balancing.CheckRange("listeners.instancePort", in.InstancePort, 1, 65535); err != nil {
		return l, err
	}
	l.Port, l.InstancePort = uint16(in.LoadBalancerPort), uint16(*in.InstancePort)
	switch {
	case web(l.Protocol) != web(l.InstanceProtocol):
		return l, conflict("The listener on port %d has the protocol %s and the instance protocol %s; both must be HTTP or HTTPS, or both TCP or SSL", l.Port, l.Protocol, l.InstanceProtocol)
	case secure(l.Protocol):
		return l, checkCertificate(l.CertificateARN)
	case l.CertificateARN != "":
		return l, invalid("An SSL certificate cannot be specified for the listener on port %d, whose protocol is %s", l.Port, l.Protocol)
	}
	return l, nil
}

func checkCertificate(arn string) error {
	switch {
	case arn == "":
		return invalid("SSL certificate id must be specified for HTTPS and SSL listeners")
	case !balancing.IsCertificateARN(arn):
		return certificateNotFound(arn)
	}
	return nil
}

// checkCertificates wants every certificate of a load balancer to exist.
func (s *Service) checkCertificates(r store.Reader, b state.ClassicLoadBalancer) error {
	for _, arn := range state.CertificatesOfClassic(b) {
		if s.Certificate != nil && !s.Certificate(r, arn) {
			return certificateNotFound(arn)
		}
	}
	return nil
}

func certificateNotFound(arn string) error {
	return wire.Errorf("CertificateNotFound", "Server Certificate not found for the key: %s", arn)
}

// sameListener compares listeners without their policies.
func sameListener(a, b lb.ClassicListener) bool {
	a.Policies, b.Policies = nil, nil
	return a.Port == b.Port && a.Protocol == b.Protocol && a.InstancePort == b.InstancePort &&
		a.InstanceProtocol == b.InstanceProtocol && a.CertificateARN == b.CertificateARN
}

// addListeners adds listeners to a load balancer. One that is there already is
// fine when it is the same.
func (s *Service) addListeners(b *state.ClassicLoadBalancer, list []types.Listener) error {
	listeners := slices.Clone(b.Listeners)
	for _, in := range list {
		l, err := newListener(in)
		if err != nil {
			return err
		}
		if i := listenerAt(listeners, int32(l.Port)); i >= 0 {
			if !sameListener(listeners[i], l) {
				return wire.Errorf("DuplicateListener", "A listener already exists for %s with LoadBalancerPort %d, but with a different InstancePort, Protocol, or SSLCertificateId", b.Name, l.Port)
			}
			continue
		}
		if err := checkInstancePort(listeners, l); err != nil {
			return err
		}
		if secure(l.Protocol) {
			l.Policies = []string{addDefaultPolicy(b)}
		}
		listeners = append(listeners, l)
	}
	if len(listeners) > s.Quotas.Listeners {
		return conflict("A load balancer cannot have more than %d listeners", s.Quotas.Listeners)
	}
	slices.SortFunc(listeners, func(a, b lb.ClassicListener) int { return int(a.Port) - int(b.Port) })
	b.Listeners = listeners
	return nil
}

// checkInstancePort wants the traffic to one port of the instances to be
// encrypted by all listeners or by none.
func checkInstancePort(listeners []lb.ClassicListener, l lb.ClassicListener) error {
	for _, other := range listeners {
		if other.InstancePort == l.InstancePort && secure(other.InstanceProtocol) != secure(l.InstanceProtocol) {
			return conflict("The listeners on ports %d and %d have the same instance port %d with the instance protocols %s and %s; both must be secure or neither",
				other.Port, l.Port, l.InstancePort, other.InstanceProtocol, l.InstanceProtocol)
		}
	}
	return nil
}

// listenerAt is the place of the listener on a port, -1 when there is none.
func listenerAt(listeners []lb.ClassicListener, port int32) int {
	return slices.IndexFunc(listeners, func(l lb.ClassicListener) bool { return int32(l.Port) == port })
}

func (s *Service) createListeners(ctx context.Context, in *elb.CreateLoadBalancerListenersInput) (*elb.CreateLoadBalancerListenersOutput, error) {
	_, err := s.edit(ctx, balancing.Action{Name: "CreateLoadBalancerListeners", Keys: listenerConditions(in.Listeners)}, in.LoadBalancerName, func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		if len(in.Listeners) == 0 {
			return invalid("At least one listener must be specified")
		}
		if err := s.addListeners(b, in.Listeners); err != nil {
			return err
		}
		return s.checkCertificates(tx, *b)
	})
	if err != nil {
		return nil, err
	}
	return &elb.CreateLoadBalancerListenersOutput{}, nil
}

// deleteListeners also drops the policies in force towards instance ports that
// no listener uses any more.
func (s *Service) deleteListeners(ctx context.Context, in *elb.DeleteLoadBalancerListenersInput) (*elb.DeleteLoadBalancerListenersOutput, error) {
	_, err := s.edit(ctx, balancing.Action{Name: "DeleteLoadBalancerListeners"}, in.LoadBalancerName, func(_ *store.Tx, b *state.ClassicLoadBalancer) error {
		b.Listeners = slices.DeleteFunc(slices.Clone(b.Listeners), func(l lb.ClassicListener) bool {
			return slices.Contains(in.LoadBalancerPorts, int32(l.Port))
		})
		b.Backends = slices.DeleteFunc(slices.Clone(b.Backends), func(backend lb.ClassicBackend) bool {
			return !usesInstancePort(b.Listeners, backend.InstancePort)
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elb.DeleteLoadBalancerListenersOutput{}, nil
}

func usesInstancePort(listeners []lb.ClassicListener, port uint16) bool {
	return slices.ContainsFunc(listeners, func(l lb.ClassicListener) bool { return l.InstancePort == port })
}

// editListener replaces the listener on a port by what change makes of it.
func editListener(b *state.ClassicLoadBalancer, port int32, change func(*lb.ClassicListener) error) error {
	i := listenerAt(b.Listeners, port)
	if i < 0 {
		return listenerNotFound(b.Name, port)
	}
	listeners := slices.Clone(b.Listeners)
	b.Listeners = listeners
	return change(&listeners[i])
}

func (s *Service) setCertificate(ctx context.Context, in *elb.SetLoadBalancerListenerSSLCertificateInput) (*elb.SetLoadBalancerListenerSSLCertificateOutput, error) {
	_, err := s.edit(ctx, balancing.Action{Name: "SetLoadBalancerListenerSSLCertificate"}, in.LoadBalancerName, func(tx *store.Tx, b *state.ClassicLoadBalancer) error {
		err := editListener(b, in.LoadBalancerPort, func(l *lb.ClassicListener) error {
			if !secure(l.Protocol) {
				return conflict("The listener on port %d has the protocol %s; only HTTPS and SSL listeners have a certificate", l.Port, l.Protocol)
			}
			l.CertificateARN = *in.SSLCertificateId
			return checkCertificate(l.CertificateARN)
		})
		if err != nil {
			return err
		}
		return s.checkCertificates(tx, *b)
	})
	if err != nil {
		return nil, err
	}
	return &elb.SetLoadBalancerListenerSSLCertificateOutput{}, nil
}

func describeListener(l lb.ClassicListener) types.ListenerDescription {
	out := types.ListenerDescription{
		Listener: &types.Listener{
			LoadBalancerPort: int32(l.Port), Protocol: (*string)(&l.Protocol),
			InstancePort: aws.Int32(int32(l.InstancePort)), InstanceProtocol: (*string)(&l.InstanceProtocol),
		},
		PolicyNames: append([]string{}, l.Policies...),
	}
	if l.CertificateARN != "" {
		out.Listener.SSLCertificateId = &l.CertificateARN
	}
	return out
}
