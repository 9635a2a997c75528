package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// networkName and classicName are the wanted name where it is one of the kind:
// the two APIs have names of their own.
func networkName(want lb.Stack) string {
	if want.Classic != nil {
		return ""
	}
	return want.LoadBalancer.Name
}

func classicName(want lb.Stack) string {
	if want.Classic == nil {
		return ""
	}
	return want.LoadBalancer.Name
}

// classics reads the Service's Classic Load Balancers; the frontend group has
// been read.
func (o *observer) classics(ctx context.Context, have *plan.Observed) error {
	wanted := classicName(o.want)
	found, err := o.api.DescribeClassicLoadBalancers(ctx, o.names(o.rec.Classic, wanted))
	if err != nil || len(found) == 0 {
		return err
	}
	names := make([]string, len(found))
	for i, b := range found {
		names[i] = b.Name
	}
	tags, err := o.api.DescribeClassicTags(ctx, names)
	if err != nil {
		return err
	}
	maps.Copy(o.tags, tags)
	for _, b := range found {
		mine, err := o.mine("load balancer", b.Name, b.Name, b.Name == wanted)
		if err != nil {
			return err
		}
		if !mine {
			continue
		}
		if err := o.classic(ctx, b, have); err != nil {
			return err
		}
	}
	return nil
}

func (o *observer) classic(ctx context.Context, b cloud.ClassicLoadBalancer, have *plan.Observed) error {
	out := plan.ClassicLoadBalancer{LoadBalancer: b.LoadBalancer, ClassicParts: b.ClassicParts, DNSName: b.DNSName}
	out.Tags = o.relevant(o.tags[b.Name], o.want.LoadBalancer.Tags)
	out.Backends = ownBackends(b.Backends)
	var err error
	if out.SecurityGroups, err = o.references(ctx, b.SecurityGroups, have.Frontends); err != nil {
		return err
	}
	if len(o.want.LoadBalancer.Attributes)+len(o.rec.Keys) > 0 {
		attrs, err := o.api.DescribeClassicAttributes(ctx, b.Name)
		if err != nil {
			return err
		}
		out.Attributes = o.relevant(attrs, o.want.LoadBalancer.Attributes)
	}
	have.Classic = append(have.Classic, out)
	return nil
}

// ownBackends leaves out policies towards instances that others made.
func ownBackends(all []lb.ClassicBackend) (own []lb.ClassicBackend) {
	for _, b := range all {
		b.Policies = slices.DeleteFunc(slices.Clone(b.Policies), func(p string) bool { return !strings.HasPrefix(p, owner.PolicyPrefix) })
		if len(b.Policies) > 0 {
			own = append(own, b)
		}
	}
	return own
}

// recallInstances asks AWS which instances there are when the record does not
// tell. It is false when the load balancer is gone.
func (r *Reconciler) recallInstances(ctx context.Context, rec record, b *plan.ClassicLoadBalancer) (bool, error) {
	if find(rec.Classic, b.Name).Targets == fingerprint(b.Instances) {
		return true, nil
	}
	found, err := r.api.DescribeClassicLoadBalancers(ctx, []string{b.Name})
	if err != nil || len(found) == 0 {
		return false, err
	}
	b.Instances = found[0].Instances
	return true, nil
}

// locate adds the zones of subnets when a Classic Load Balancer leaves all that
// it is in: which of them may be exchanged first depends on them.
func (r *Reconciler) locate(ctx context.Context, want lb.Stack, have *plan.Observed) error {
	b := have.ClassicBalancer(classicName(want))
	if b == nil || slices.ContainsFunc(b.Subnets, func(id string) bool { return slices.Contains(want.LoadBalancer.Subnets, id) }) {
		return nil
	}
	subnets, err := r.shared.Subnets(ctx)
	if err != nil {
		return err
	}
	have.Zones = map[string]string{}
	for _, s := range subnets {
		have.Zones[s.ID] = s.Zone
	}
	return nil
}

// classicRemains are the Classic Load Balancers on record that are the Service's.
func (o *observer) classicRemains(ctx context.Context) ([]plan.ClassicLoadBalancer, error) {
	tags := map[string]map[string]string{}
	var names []string
	for _, e := range o.rec.Classic {
		names = append(names, e.Name)
	}
	_, err := cloud.Existing(ctx, names, func(ctx context.Context, batch []string) ([]string, error) {
		found, err := o.api.DescribeClassicTags(ctx, batch)
		maps.Copy(tags, found)
		return nil, err
	})
	var out []plan.ClassicLoadBalancer
	for _, name := range names {
		if o.owner.Owns(tags[name]) {
			out = append(out, plan.ClassicLoadBalancer{LoadBalancer: lb.LoadBalancer{Name: name}})
		}
	}
	return out, err
}

func (e *executor) doClassic(ctx context.Context, s plan.Step) (plan.Result, error) {
	name := s.Resource.Name
	switch s.Action {
	case plan.CreateLoadBalancer:
		want := *s.After.LoadBalancer
		var err error
		if want.SecurityGroups, err = e.groupIDs(ctx, want.SecurityGroups); err != nil {
			return plan.Result{}, err
		}
		dns, err := e.api.CreateClassicLoadBalancer(ctx, want, s.After.ClassicListeners)
		return plan.Result{DNSName: dns}, err
	case plan.PublishHostname:
		b := e.have.ClassicBalancer(name)
		if b == nil {
			return plan.Result{}, fmt.Errorf("step %s: no such load balancer", s)
		}
		return plan.Result{}, e.publish(ctx, b.DNSName)
	case plan.ApplySecurityGroups:
		ids, err := e.groupIDs(ctx, s.After.List)
		if err != nil {
			return plan.Result{}, err
		}
		return plan.Result{}, e.api.ApplySecurityGroups(ctx, name, ids)
	}
	return plan.Result{}, e.changeClassic(ctx, s)
}

// changeClassic does the steps that need no more than the step says.
func (e *executor) changeClassic(ctx context.Context, s plan.Step) error {
	name, port := s.Resource.Name, s.Resource.Port
	switch s.Action {
	case plan.DeleteLoadBalancer:
		return e.api.DeleteClassicLoadBalancer(ctx, name)
	case plan.ModifyLoadBalancerAttributes:
		return e.api.ModifyClassicAttributes(ctx, name, s.After.Map)
	case plan.AttachSubnets:
		return e.api.AttachSubnets(ctx, name, s.After.List)
	case plan.DetachSubnets:
		return e.api.DetachSubnets(ctx, name, s.Before.List)
	case plan.ConfigureHealthCheck:
		return e.api.ConfigureHealthCheck(ctx, name, *s.After.HealthCheck)
	case plan.CreateListeners:
		return e.api.CreateListeners(ctx, name, s.After.ClassicListeners)
	case plan.DeleteListeners:
		return e.api.DeleteListeners(ctx, name, portsOf(s.Before.ClassicListeners))
	case plan.SetCertificate:
		return e.api.SetListenerCertificate(ctx, name, port, s.After.Text)
	case plan.CreatePolicy:
		return e.api.CreatePolicy(ctx, name, *s.After.Policy)
	case plan.DeletePolicy:
		return e.api.DeletePolicy(ctx, name, s.Before.Policy.Name)
	case plan.SetListenerPolicies:
		return e.api.SetListenerPolicies(ctx, name, port, s.After.List)
	case plan.SetBackendPolicies:
		return e.api.SetBackendPolicies(ctx, name, port, s.After.List)
	case plan.RegisterInstances:
		return e.api.RegisterInstances(ctx, name, instancesOf(s.After.Targets))
	case plan.DeregisterInstances:
		return e.api.DeregisterInstances(ctx, name, instancesOf(s.Before.Targets))
	case plan.AddTags:
		return e.api.AddClassicTags(ctx, name, s.After.Map)
	case plan.RemoveTags:
		return e.api.RemoveClassicTags(ctx, name, s.Before.List)
	}
	return fmt.Errorf("step %s: no such action", s)
}

// health is that of a target group's targets or of a Classic Load Balancer's
// instances, by name; false when there is neither.
func (e *executor) health(ctx context.Context, name string) ([]cloud.TargetHealth, bool, error) {
	if arn := e.group(name); arn != "" {
		health, err := e.api.DescribeTargetHealth(ctx, arn)
		return health, true, err
	}
	if e.have.ClassicBalancer(name) != nil {
		health, err := e.api.DescribeInstanceHealth(ctx, name)
		return health, true, err
	}
	return nil, false, nil
}

func portsOf(listeners []lb.ClassicListener) []uint16 {
	out := make([]uint16, len(listeners))
	for i, l := range listeners {
		out[i] = l.Port
	}
	return out
}

func instancesOf(targets []lb.Target) []string {
	out := make([]string, len(targets))
	for i, t := range targets {
		out[i] = t.ID
	}
	return out
}
