package elbv2

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// security is the TLS part of a listener request.
type security struct {
	certificates []types.Certificate
	policy       *string
	alpn         []string
	mutual       *types.MutualAuthenticationAttributes
}

// defaultSSLPolicy is what the API gives a TLS listener that names none.
const defaultSSLPolicy = "ELBSecurityPolicy-2016-08"

var alpnPolicies = []string{"HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None"}

// setSecurity applies the TLS part of a request; what it does not name stays.
func (s *Service) setSecurity(l *state.Listener, in security) error {
	if err := checkListenerProtocol(l.Protocol); err != nil {
		return err
	}
	if in.mutual != nil && aws.ToString(in.mutual.Mode) != off {
		return unfit("Mutual authentication is not supported on load balancers with type 'network'")
	}
	if l.Protocol != lb.TLS {
		return refuseSecurity(l.Protocol, in)
	}
	if len(in.certificates) > 1 {
		return invalid("You must specify exactly one certificate for a listener with the protocol 'TLS'; add further ones with AddListenerCertificates")
	}
	if len(in.certificates) == 1 {
		arn, err := certificateARN(in.certificates[0])
		if err != nil {
			return err
		}
		l.Certificates = append([]string{arn}, l.Certificates[min(1, len(l.Certificates)):]...)
	}
	if len(l.Certificates) == 0 {
		return invalid("A certificate must be specified for a listener with the protocol 'TLS'")
	}
	return setPolicies(l, in)
}

// refuseSecurity: only TLS listeners have certificates and policies.
func refuseSecurity(p lb.Protocol, in security) error {
	switch {
	case len(in.certificates) > 0:
		return invalid("Certificates cannot be specified for a listener with the protocol '%s'", p)
	case aws.ToString(in.policy) != "":
		return invalid("An SSL policy cannot be specified for a listener with the protocol '%s'", p)
	case len(in.alpn) > 0 && !slices.Equal(in.alpn, []string{"None"}):
		return invalid("An ALPN policy cannot be specified for a listener with the protocol '%s'", p)
	}
	return nil
}

func setPolicies(l *state.Listener, in security) error {
	if l.SSLPolicy == "" {
		l.SSLPolicy = defaultSSLPolicy
	}
	if name := aws.ToString(in.policy); name != "" {
		if !knownSSLPolicy(name) {
			return wire.Errorf("SSLPolicyNotFound", "SSL policy '%s' not found", name)
		}
		l.SSLPolicy = name
	}
	if l.ALPNPolicy == "" {
		l.ALPNPolicy = "None"
	}
	switch {
	case len(in.alpn) > 1:
		return invalid("Only one ALPN policy can be specified, not %d", len(in.alpn))
	case len(in.alpn) == 1 && !slices.Contains(alpnPolicies, in.alpn[0]):
		return wire.Errorf("ALPNPolicyNotFound", "ALPN policy '%s' is not supported", in.alpn[0])
	case len(in.alpn) == 1:
		l.ALPNPolicy = in.alpn[0]
	}
	return nil
}

func certificateARN(c types.Certificate) (string, error) {
	arn := aws.ToString(c.CertificateArn)
	switch {
	case !balancing.IsCertificateARN(arn):
		return "", wire.Errorf("CertificateNotFound", "Certificate ARN '%s' is not valid", arn)
	case c.IsDefault != nil:
		return "", invalid("'isDefault' cannot be specified for a certificate in a request")
	}
	return arn, nil
}

// checkCertificates wants every certificate of a listener to exist.
func (s *Service) checkCertificates(r store.Reader, l state.Listener) error {
	for _, arn := range l.Certificates {
		if s.Certificate != nil && !s.Certificate(r, arn) {
			return wire.Errorf("CertificateNotFound", "Certificate '%s' not found", arn)
		}
	}
	return nil
}

func (s *Service) addListenerCertificates(ctx context.Context, in *elb.AddListenerCertificatesInput) (*elb.AddListenerCertificatesOutput, error) {
	added := []types.Certificate{}
	_, err := s.editListener(ctx, balancing.Action{Name: "AddListenerCertificates"}, in.ListenerArn, func(tx *store.Tx, l *state.Listener) error {
		if l.Protocol != lb.TLS {
			return refuseSecurity(l.Protocol, security{certificates: in.Certificates})
		}
		certificates := slices.Clone(l.Certificates)
		for _, c := range in.Certificates {
			arn, err := certificateARN(c)
			if err != nil {
				return err
			}
			if !slices.Contains(certificates[1:], arn) {
				certificates = append(certificates, arn)
			}
			added = append(added, types.Certificate{CertificateArn: &arn, IsDefault: aws.Bool(false)})
		}
		l.Certificates = certificates
		if err := s.checkCertificates(tx, *l); err != nil {
			return err
		}
		return s.checkCertificateQuota(tx, *l)
	})
	if err != nil {
		return nil, err
	}
	return &elb.AddListenerCertificatesOutput{Certificates: added}, nil
}

// checkCertificateQuota counts the certificates of all listeners but the default ones.
func (s *Service) checkCertificateQuota(r store.Reader, changed state.Listener) error {
	count := len(changed.Certificates) - 1
	for l := range state.ListenersByLoadBalancer.All(r, changed.LoadBalancerARN) {
		if l.ARN != changed.ARN && l.Protocol == lb.TLS {
			count += len(l.Certificates) - 1
		}
	}
	if count > s.Quotas.CertificatesPerBalancer {
		return balancing.TooMany("TooManyCertificates", "certificates for a load balancer", s.Quotas.CertificatesPerBalancer)
	}
	return nil
}

func (s *Service) removeListenerCertificates(ctx context.Context, in *elb.RemoveListenerCertificatesInput) (*elb.RemoveListenerCertificatesOutput, error) {
	_, err := s.editListener(ctx, balancing.Action{Name: "RemoveListenerCertificates"}, in.ListenerArn, func(_ *store.Tx, l *state.Listener) error {
		if len(l.Certificates) == 0 {
			return nil
		}
		first, rest := l.Certificates[0], slices.Clone(l.Certificates[1:])
		for _, c := range in.Certificates {
			arn := aws.ToString(c.CertificateArn)
			if arn == first && !slices.Contains(rest, arn) {
				return wire.Errorf("OperationNotPermitted", "The default certificate '%s' of a listener cannot be removed", arn)
			}
			rest = slices.DeleteFunc(rest, func(have string) bool { return have == arn })
		}
		l.Certificates = append([]string{first}, rest...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elb.RemoveListenerCertificatesOutput{}, nil
}

func (s *Service) describeListenerCertificates(ctx context.Context, in *elb.DescribeListenerCertificatesInput) (*elb.DescribeListenerCertificatesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeListenerCertificates"); err != nil {
		return nil, err
	}
	c, err := balancing.NewCursor(in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	l, err := listener(s.DB.Current(), in.ListenerArn)
	if err != nil {
		return nil, err
	}
	var all []types.Certificate
	for i, arn := range l.Certificates {
		all = append(all, types.Certificate{CertificateArn: &arn, IsDefault: aws.Bool(i == 0)})
	}
	key := func(c types.Certificate) string { // the default one may be in the list again
		if *c.IsDefault {
			return "0" + *c.CertificateArn
		}
		return "1" + *c.CertificateArn
	}
	slices.SortFunc(all, func(a, b types.Certificate) int { return strings.Compare(key(a), key(b)) })
	certificates, next := balancing.Page(c, slices.Values(all), key)
	return &elb.DescribeListenerCertificatesOutput{Certificates: certificates, NextMarker: next}, nil
}
