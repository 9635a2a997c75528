package elbv2

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/fairlead-lb/fairlead/internal/engine/attributes"
	"github.com/fairlead-lb/fairlead/internal/engine/balancing"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

func (s *Service) createListener(ctx context.Context, in *elb.CreateListenerInput) (*elb.CreateListenerOutput, error) {
	keys := balancing.Conditions{}
	if in.Protocol != "" {
		keys[balancing.KeyPrefix+"ListenerProtocol"] = []string{string(in.Protocol)}
	}
	if in.SslPolicy != nil {
		keys[balancing.KeyPrefix+"SecurityPolicy"] = []string{*in.SslPolicy}
	}
	if err := s.AllowCreate(ctx, balancing.Creation{
		Action: balancing.Action{Name: "CreateListener", Keys: keys},
		On:     *in.LoadBalancerArn, Made: listenerARN(*in.LoadBalancerArn, anyID), Tags: plainTags(in.Tags),
	}); err != nil {
		return nil, err
	}
	tags, err := s.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	wanted, err := s.wantedListener(in)
	if err != nil {
		return nil, err
	}
	made, err := state.Update(s.DB, func(tx *store.Tx) (state.Listener, error) { return s.putNewListener(tx, wanted, tags) })
	if err != nil {
		return nil, err
	}
	wire.NoteResource(ctx, made.ARN)
	return &elb.CreateListenerOutput{Listeners: []types.Listener{describeListener(made)}}, nil
}

// wantedListener checks a request by itself.
func (s *Service) wantedListener(in *elb.CreateListenerInput) (state.Listener, error) {
	l := state.Listener{LoadBalancerARN: *in.LoadBalancerArn, Protocol: lb.Protocol(in.Protocol)}
	if err := checkARN(balancerNoun, l.LoadBalancerARN); err != nil {
		return l, err
	}
	switch {
	case in.Port == nil:
		return l, invalid("A listener port must be specified")
	case in.Protocol == "":
		return l, invalid("A listener protocol must be specified")
	}
	if err := balancing.CheckRange("port", in.Port, 1, 65535); err != nil {
		return l, err
	}
	l.Port = uint16(*in.Port)
	if err := s.setForward(&l, in.DefaultActions); err != nil {
		return l, err
	}
	return l, s.setSecurity(&l, security{in.Certificates, in.SslPolicy, in.AlpnPolicy, in.MutualAuthentication})
}

// checkListenerProtocol wants a protocol that a network load balancer listens for.
func checkListenerProtocol(p lb.Protocol) error {
	switch p {
	case lb.TCP, lb.TLS, lb.UDP, lb.TCPUDP:
		return nil
	case "QUIC", "TCP_QUIC":
		return wire.Errorf("UnsupportedProtocol", "Listeners with the protocol '%s' are not offered by this endpoint; the protocol must be one of 'UDP, TCP, TLS, TCP_UDP'", p)
	default:
		return invalid("Listener protocol '%s' must be one of 'UDP, TCP, TLS, TCP_UDP'", p)
	}
}

// putNewListener creates the listener, or returns the one on the same port when
// its settings are the same.
func (s *Service) putNewListener(tx *store.Tx, l state.Listener, tags map[string]string) (state.Listener, error) {
	b, ok := state.LoadBalancers.Get(tx, l.LoadBalancerARN)
	if !ok {
		return l, notFound(balancerNoun, l.LoadBalancerARN)
	}
	count := 0
	for other := range state.ListenersByLoadBalancer.All(tx, b.ARN) {
		count++
		if other.Port != l.Port {
			continue
		}
		if !sameListener(other, l) {
			return l, duplicateListener(b.ARN)
		}
		return other, nil
	}
	if count >= s.Quotas.ListenersPerLoadBalancer {
		return l, balancing.TooMany("TooManyListeners", "listeners for a load balancer", s.Quotas.ListenersPerLoadBalancer)
	}
	if err := s.checkListener(tx, b, l); err != nil {
		return l, err
	}
	l.ARN = listenerARN(b.ARN, newID())
	l.RuleARN = ruleARN(l.ARN, newID())
	state.Listeners.Put(tx, l)
	state.PutTags(tx, l.ARN, tags)
	return l, nil
}

func duplicateListener(balancerARN string) error {
	return wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", balancerARN)
}

func sameListener(a, b state.Listener) bool {
	return a.Protocol == b.Protocol && slices.Equal(a.Forward, b.Forward) && a.Stickiness == b.Stickiness && slices.Equal(a.Certificates[:min(1, len(a.Certificates))], b.Certificates) &&
		a.SSLPolicy == b.SSLPolicy && a.ALPNPolicy == b.ALPNPolicy
}

// checkListener checks a listener against its load balancer and its groups.
func (s *Service) checkListener(r store.Reader, b state.LoadBalancer, l state.Listener) error {
	if (l.Protocol == lb.UDP || l.Protocol == lb.TCPUDP) && b.IPAddressType == lb.DualStack && b.SourceNATPrefixes != on {
		return unfit("Listeners with the protocol '%s' on a dualstack load balancer require IPv6 source NAT prefixes to be 'on'", l.Protocol)
	}
	var first state.TargetGroup
	for i, f := range l.Forward {
		g, ok := state.TargetGroups.Get(r, f.TargetGroupARN)
		if !ok {
			return notFound(groupNoun, f.TargetGroupARN)
		}
		if i == 0 {
			first = g
		} else if g.Protocol != first.Protocol || g.IPAddressType != first.IPAddressType {
			return unfit("All target groups of a forward action must have the same protocol and IP address type")
		}
		if err := checkForward(r, b, l, g); err != nil {
			return err
		}
	}
	if err := s.checkCertificates(r, l); err != nil {
		return err
	}
	return s.checkTargetQuota(r, b, l)
}

// serves lists the target group protocols that each listener protocol forwards
// to (NLB user guide, listeners).
var serves = map[lb.Protocol][]lb.Protocol{
	lb.TCP: {lb.TCP, lb.TCPUDP}, lb.TLS: {lb.TCP, lb.TLS}, lb.UDP: {lb.UDP, lb.TCPUDP}, lb.TCPUDP: {lb.TCPUDP},
}

func checkForward(r store.Reader, b state.LoadBalancer, l state.Listener, g state.TargetGroup) error {
	switch {
	case l.Stickiness && l.Protocol == lb.TLS:
		return wire.Errorf("InvalidConfigurationRequest", "You cannot enable target group stickiness on a listener with the TLS protocol")
	case !slices.Contains(serves[l.Protocol], g.Protocol):
		return wire.Errorf("IncompatibleProtocols", "Listener protocol '%s' is not supported with a target group with the protocol '%s'", l.Protocol, g.Protocol)
	case g.VPCID != b.VPCID:
		return unfit("The target group '%s' is not in the load balancer's VPC '%s'", g.ARN, b.VPCID)
	case g.IPAddressType == lb.IPv6 && b.IPAddressType != lb.DualStack:
		return unfit("The target group '%s' has the IP address type 'ipv6', which requires a load balancer with the IP address type 'dualstack'", g.ARN)
	}
	for _, other := range state.LoadBalancersOfGroup(r, g.ARN) {
		if other != b.ARN {
			return wire.Errorf("TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: %s", g.ARN)
		}
	}
	return nil
}

func (s *Service) describeListeners(ctx context.Context, in *elb.DescribeListenersInput) (*elb.DescribeListenersOutput, error) {
	if err := s.AllowAll(ctx, "DescribeListeners"); err != nil {
		return nil, err
	}
	c, err := balancing.NewCursor(in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	r := s.DB.Current()
	switch {
	case len(in.ListenerArns) > 0 && in.LoadBalancerArn != nil:
		return nil, invalid("Listener ARNs and a load balancer ARN cannot be specified at the same time")
	case len(in.ListenerArns) > 0:
		found, err := listenersByARN(r, in.ListenerArns)
		return &elb.DescribeListenersOutput{Listeners: balancing.Convert(found, describeListener)}, err
	case in.LoadBalancerArn == nil:
		return nil, invalid("You must specify either listener ARNs or a load balancer ARN")
	}
	b, err := balancer(r, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	found, next := balancing.Page(c, state.ListenersByLoadBalancer.All(r, b.ARN), func(l state.Listener) string { return l.ARN })
	return &elb.DescribeListenersOutput{Listeners: balancing.Convert(found, describeListener), NextMarker: next}, nil
}

func listenersByARN(r store.Reader, arns []string) ([]state.Listener, error) {
	for _, arn := range arns {
		if err := checkARN(listenerNoun, arn); err != nil {
			return nil, err
		}
	}
	return lookUp(arns, func(arn string) (state.Listener, bool) { return state.Listeners.Get(r, arn) },
		func(...string) error { return wire.Errorf("ListenerNotFound", "One or more listeners not found") })
}

// listener finds the listener of a call that names one.
func listener(r store.Reader, arn *string) (state.Listener, error) {
	if err := checkARN(listenerNoun, *arn); err != nil {
		return state.Listener{}, err
	}
	l, ok := state.Listeners.Get(r, *arn)
	if !ok {
		return l, notFound(listenerNoun, *arn)
	}
	return l, nil
}

// describeListener is a listener as clients see it. A listener without TLS has
// no SslPolicy: cloud-provider-aws would write it again and again.
func describeListener(l state.Listener) types.Listener {
	out := types.Listener{
		ListenerArn: &l.ARN, LoadBalancerArn: &l.LoadBalancerARN, Port: aws.Int32(int32(l.Port)),
		Protocol: types.ProtocolEnum(l.Protocol), DefaultActions: describeForward(l),
	}
	if l.Protocol == lb.TLS {
		out.SslPolicy = &l.SSLPolicy
		out.Certificates = []types.Certificate{{CertificateArn: &l.Certificates[0]}}
		out.AlpnPolicy = []string{l.ALPNPolicy}
	}
	return out
}

func (s *Service) modifyListener(ctx context.Context, in *elb.ModifyListenerInput) (*elb.ModifyListenerOutput, error) {
	keys := balancing.Conditions{}
	if in.Protocol != "" {
		keys[balancing.KeyPrefix+"ListenerProtocol"] = []string{string(in.Protocol)}
	}
	if in.SslPolicy != nil {
		keys[balancing.KeyPrefix+"SecurityPolicy"] = []string{*in.SslPolicy}
	}
	l, err := s.editListener(ctx, balancing.Action{Name: "ModifyListener", Keys: keys}, in.ListenerArn, func(tx *store.Tx, l *state.Listener) error {
		if err := s.changeListener(l, in); err != nil {
			return err
		}
		for other := range state.ListenersByLoadBalancer.All(tx, l.LoadBalancerARN) {
			if other.Port == l.Port && other.ARN != l.ARN {
				return duplicateListener(l.LoadBalancerARN)
			}
		}
		b, _ := state.LoadBalancers.Get(tx, l.LoadBalancerARN)
		return s.checkListener(tx, b, *l)
	})
	if err != nil {
		return nil, err
	}
	return &elb.ModifyListenerOutput{Listeners: []types.Listener{describeListener(l)}}, nil
}

// changeListener applies what a request names and leaves the rest.
func (s *Service) changeListener(l *state.Listener, in *elb.ModifyListenerInput) error {
	if err := balancing.CheckRange("port", in.Port, 1, 65535); err != nil {
		return err
	}
	if in.Port != nil {
		l.Port = uint16(*in.Port)
	}
	before := l.Protocol
	if in.Protocol != "" {
		l.Protocol = lb.Protocol(in.Protocol)
	}
	if in.DefaultActions != nil {
		if err := s.setForward(l, in.DefaultActions); err != nil {
			return err
		}
	}
	wanted := security{in.Certificates, in.SslPolicy, in.AlpnPolicy, in.MutualAuthentication}
	if before == lb.TLS && l.Protocol != lb.TLS {
		l.Certificates, l.SSLPolicy, l.ALPNPolicy = nil, "", ""
	}
	if before != l.Protocol {
		l.Attributes = nil
	}
	return s.setSecurity(l, wanted)
}

// editListener authorises action on a listener and replaces its record by what
// edit makes of it.
func (s *Service) editListener(ctx context.Context, action balancing.Action, arn *string, edit func(*store.Tx, *state.Listener) error) (state.Listener, error) {
	if err := s.AllowOn(ctx, action.Name, *arn, action.Keys); err != nil {
		return state.Listener{}, err
	}
	return state.Edit(s.DB, state.Listeners, func(tx *store.Tx) (state.Listener, error) { return listener(tx, arn) }, edit)
}

func (s *Service) deleteListener(ctx context.Context, in *elb.DeleteListenerInput) (*elb.DeleteListenerOutput, error) {
	if err := s.AllowOn(ctx, "DeleteListener", *in.ListenerArn); err != nil {
		return nil, err
	}
	return &elb.DeleteListenerOutput{}, s.DB.Update(func(tx *store.Tx) error {
		l, err := listener(tx, in.ListenerArn)
		if err != nil {
			return err
		}
		removeListener(tx, l)
		return nil
	})
}

func removeListener(tx *store.Tx, l state.Listener) {
	state.Listeners.Delete(tx, l.ARN)
	state.PutTags(tx, l.ARN, nil)
	state.PutTags(tx, l.RuleARN, nil)
}

func (s *Service) describeListenerAttributes(ctx context.Context, in *elb.DescribeListenerAttributesInput) (*elb.DescribeListenerAttributesOutput, error) {
	if err := s.AllowAll(ctx, "DescribeListenerAttributes"); err != nil {
		return nil, err
	}
	l, err := listener(s.DB.Current(), in.ListenerArn)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeListenerAttributesOutput{Attributes: listenerAttributes(l)}, nil
}

func (s *Service) modifyListenerAttributes(ctx context.Context, in *elb.ModifyListenerAttributesInput) (*elb.ModifyListenerAttributesOutput, error) {
	l, err := s.editListener(ctx, balancing.Action{Name: "ModifyListenerAttributes"}, in.ListenerArn, func(_ *store.Tx, l *state.Listener) error {
		changes, err := attributeChanges(in.Attributes, func(a types.ListenerAttribute) (*string, *string) { return a.Key, a.Value })
		if err != nil {
			return err
		}
		l.Attributes, err = attributes.MergeListener(*l, changes)
		return attributeError(err)
	})
	if err != nil {
		return nil, err
	}
	return &elb.ModifyListenerAttributesOutput{Attributes: listenerAttributes(l)}, nil
}

func listenerAttributes(l state.Listener) []types.ListenerAttribute {
	return attributeList(attributes.OfListener(l), func(k, v *string) types.ListenerAttribute {
		return types.ListenerAttribute{Key: k, Value: v}
	})
}
