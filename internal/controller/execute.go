package controller

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// executor does the steps of a plan and keeps account of what there is.
type executor struct {
	api    cloud.API
	shared *shared
	have   *plan.Observed
	first  string // name of the Service's first security group
	uid    types.UID
	// publish writes a load balancer's DNS name into the Service's status.
	publish func(ctx context.Context, dns string) error
	done    func(plan.Step)
}

// run does the steps in order. It stops at the first error, and without one
// where a replacement is not healthy yet: then waiting is true.
func (e *executor) run(ctx context.Context, steps []plan.Step) (waiting bool, err error) {
	for _, s := range steps {
		if s.Action == plan.AwaitHealthy {
			ready, err := e.ready(ctx, s)
			if err != nil || !ready {
				return err == nil, err
			}
			continue
		}
		result, err := e.do(ctx, s)
		if err != nil {
			return false, err
		}
		e.have.Apply(s, result)
		e.done(s)
	}
	return false, nil
}

// ready says whether a replacement may take over: one of the new targets is
// healthy, or none of the old ones is and there is nothing to lose.
func (e *executor) ready(ctx context.Context, s plan.Step) (bool, error) {
	health, _, err := e.health(ctx, s.Resource.Name)
	if err != nil {
		return false, err
	}
	joining := s.After.Targets
	if len(joining) == 0 {
		joining = targetsOf(health) // a group that others fill
	}
	if anyHealthy(health, joining) {
		return true, nil
	}
	old := s.Before.Targets
	if s.Before.Text != "" {
		var exists bool
		if health, exists, err = e.health(ctx, s.Before.Text); err != nil || !exists {
			return err == nil, err
		}
		old = targetsOf(health)
	}
	return !anyHealthy(health, old), nil
}

func targetsOf(health []cloud.TargetHealth) []lb.Target {
	out := make([]lb.Target, len(health))
	for i, h := range health {
		out[i] = h.Target
	}
	return out
}

func anyHealthy(health []cloud.TargetHealth, of []lb.Target) bool {
	wanted := make(map[lb.Target]bool, len(of))
	for _, t := range of {
		wanted[t] = true
	}
	for _, h := range health {
		if h.State == lb.Healthy && wanted[h.Target] {
			return true
		}
	}
	return false
}

func (e *executor) do(ctx context.Context, s plan.Step) (plan.Result, error) {
	switch s.Resource.Kind {
	case plan.KindLoadBalancer:
		return e.doBalancer(ctx, s)
	case plan.KindClassic:
		return e.doClassic(ctx, s)
	case plan.KindTargetGroup:
		return e.doGroup(ctx, s)
	case plan.KindListener:
		return e.doListener(ctx, s)
	case plan.KindSecurityGroup:
		return e.doSecurityGroup(ctx, s)
	}
	return plan.Result{}, fmt.Errorf("step %s: no such kind of resource", s)
}

func (e *executor) doBalancer(ctx context.Context, s plan.Step) (plan.Result, error) {
	if s.Action == plan.CreateLoadBalancer {
		return e.createBalancer(ctx, *s.After.LoadBalancer)
	}
	b := e.have.Balancer(s.Resource.Name)
	if b == nil {
		return plan.Result{}, fmt.Errorf("step %s: no such load balancer", s)
	}
	switch s.Action {
	case plan.DeleteLoadBalancer:
		return plan.Result{}, e.api.DeleteLoadBalancer(ctx, b.ARN)
	case plan.ModifyLoadBalancerAttributes:
		return plan.Result{}, e.api.ModifyLoadBalancerAttributes(ctx, b.ARN, s.After.Map)
	case plan.SetSubnets:
		return plan.Result{}, e.api.SetSubnets(ctx, b.ARN, lb.LoadBalancer{
			Subnets: s.After.List, SubnetMappings: s.After.Mappings, IPAddressType: s.After.IPAddressType, IPv6SourceNAT: s.After.IPv6SourceNAT,
		})
	case plan.ModifyCapacityReservation:
		return plan.Result{}, e.api.ModifyCapacityReservation(ctx, b.ARN, s.After.CapacityUnits)
	case plan.SetSecurityGroups:
		ids, err := e.groupIDs(ctx, s.After.List)
		if err != nil {
			return plan.Result{}, err
		}
		return plan.Result{}, e.api.SetSecurityGroups(ctx, b.ARN, ids, s.After.PrivateLinkUnfiltered)
	case plan.SetIPAddressType:
		return plan.Result{}, e.api.SetIPAddressType(ctx, b.ARN, lb.IPAddressType(s.After.Text))
	case plan.PublishHostname:
		return plan.Result{}, e.publish(ctx, b.DNSName)
	}
	return plan.Result{}, e.retag(ctx, s, b.ARN)
}

func (e *executor) createBalancer(ctx context.Context, want lb.LoadBalancer) (plan.Result, error) {
	ids, err := e.groupIDs(ctx, want.SecurityGroups)
	if err != nil {
		return plan.Result{}, err
	}
	want.SecurityGroups = ids
	b, err := e.api.CreateLoadBalancer(ctx, want)
	return plan.Result{ARN: b.ARN, DNSName: b.DNSName}, err
}

// groupIDs puts IDs in place of our names for our groups.
func (e *executor) groupIDs(ctx context.Context, refs []string) ([]string, error) {
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref
		suffix, ours := strings.CutPrefix(ref, plan.RefFrontend)
		switch {
		case ours:
			g := e.have.Frontend(e.first + suffix)
			if g == nil {
				return nil, fmt.Errorf("attach security group %s: it does not exist", e.first+suffix)
			}
			ids[i] = g.ID
		case ref == plan.RefBackend:
			id, err := e.shared.Backend(ctx)
			if err != nil {
				return nil, err
			}
			ids[i] = id
		}
	}
	return ids, nil
}

// group is the ARN of a target group. One that is not the Service's own goes by
// its ARN already.
func (e *executor) group(name string) string {
	if g := e.have.Group(name); g != nil {
		return g.ARN
	}
	if groupName(name) != name {
		return name
	}
	return ""
}

func (e *executor) doGroup(ctx context.Context, s plan.Step) (plan.Result, error) {
	if s.Action == plan.CreateTargetGroup {
		g, err := e.api.CreateTargetGroup(ctx, *s.After.TargetGroup)
		return plan.Result{ARN: g.ARN}, err
	}
	arn := e.group(s.Resource.Name)
	switch s.Action {
	case plan.DeleteTargetGroup:
		return plan.Result{}, e.api.DeleteTargetGroup(ctx, arn)
	case plan.ModifyTargetGroup:
		return plan.Result{}, e.api.ModifyTargetGroup(ctx, arn, *s.After.HealthCheck)
	case plan.ModifyTargetGroupAttributes:
		return plan.Result{}, e.api.ModifyTargetGroupAttributes(ctx, arn, s.After.Map)
	case plan.RegisterTargets:
		targets, err := e.zoned(ctx, s.After.Targets)
		if err != nil {
			return plan.Result{}, err
		}
		return plan.Result{}, e.api.RegisterTargets(ctx, arn, targets)
	case plan.DeregisterTargets:
		targets, err := e.zoned(ctx, s.Before.Targets)
		if err != nil {
			return plan.Result{}, err
		}
		return plan.Result{}, e.api.DeregisterTargets(ctx, arn, targets)
	}
	return plan.Result{}, e.retag(ctx, s, arn)
}

func (e *executor) zoned(ctx context.Context, targets []lb.Target) ([]cloud.Target, error) {
	out := make([]cloud.Target, len(targets))
	for i, t := range targets {
		zone, err := e.shared.zone(ctx, t.ID)
		if err != nil {
			return nil, err
		}
		out[i] = cloud.Target{Target: t, Zone: zone}
	}
	return out, nil
}

func (e *executor) doListener(ctx context.Context, s plan.Step) (plan.Result, error) {
	b := e.have.Balancer(s.Resource.Name)
	if b == nil {
		return plan.Result{}, fmt.Errorf("step %s: no such load balancer", s)
	}
	if s.Action == plan.CreateListener {
		arn, err := e.api.CreateListener(ctx, b.ARN, e.listener("", *s.After.Listener), s.After.Listener.Tags)
		return plan.Result{ARN: arn}, err
	}
	l := b.Listener(s.Resource.Port)
	if l == nil {
		return plan.Result{}, fmt.Errorf("step %s: no such listener", s)
	}
	switch s.Action {
	case plan.DeleteListener:
		return plan.Result{}, e.api.DeleteListener(ctx, l.ARN)
	case plan.ModifyListener:
		return plan.Result{}, e.api.ModifyListener(ctx, e.listener(l.ARN, *s.After.Listener))
	case plan.AddListenerCertificates:
		return plan.Result{}, e.api.AddListenerCertificates(ctx, l.ARN, s.After.List)
	case plan.RemoveListenerCertificates:
		return plan.Result{}, e.api.RemoveListenerCertificates(ctx, l.ARN, s.Before.List)
	case plan.ModifyListenerAttributes:
		return plan.Result{}, e.api.ModifyListenerAttributes(ctx, l.ARN, s.After.Map)
	}
	return plan.Result{}, e.retag(ctx, s, l.ARN)
}

func (e *executor) listener(arn string, l plan.Listener) cloud.Listener {
	out := cloud.Listener{ARN: arn, Port: l.Port, Protocol: l.Protocol, Stickiness: l.Stickiness, Security: l.Security}
	for _, f := range l.Forward {
		out.Forward = append(out.Forward, cloud.Forward{GroupARN: e.group(f.TargetGroup), Weight: f.Weight})
	}
	return out
}

func (e *executor) retag(ctx context.Context, s plan.Step, arn string) error {
	switch s.Action {
	case plan.AddTags:
		return e.api.AddTags(ctx, arn, s.After.Map)
	case plan.RemoveTags:
		return e.api.RemoveTags(ctx, arn, s.Before.List)
	}
	return fmt.Errorf("step %s: no such action", s)
}

func (e *executor) doNodes(ctx context.Context, s plan.Step) error {
	switch s.Action {
	case plan.AuthorizeIngress:
		return e.shared.AdmitClients(ctx, e.uid, s.After.Rules)
	case plan.RevokeIngress:
		return e.shared.ShutOutClients(ctx, e.uid, s.Before.Rules)
	}
	return fmt.Errorf("step %s: no such action", s)
}

func (e *executor) doSecurityGroup(ctx context.Context, s plan.Step) (plan.Result, error) {
	if s.Action == plan.CreateSecurityGroup {
		id, err := e.api.CreateSecurityGroup(ctx, *s.After.SecurityGroup)
		return plan.Result{ID: id}, err
	}
	if s.Resource.Name == plan.RefNodes {
		return plan.Result{}, e.doNodes(ctx, s)
	}
	g := e.have.Frontend(s.Resource.Name)
	if g == nil {
		return plan.Result{}, fmt.Errorf("step %s: no such security group", s)
	}
	id := g.ID
	switch s.Action {
	case plan.AuthorizeIngress:
		return plan.Result{}, e.api.AuthorizeIngress(ctx, id, s.After.Rules)
	case plan.RevokeIngress:
		return plan.Result{}, e.api.RevokeIngress(ctx, id, s.Before.Rules)
	case plan.DeleteSecurityGroup:
		return plan.Result{}, e.api.DeleteSecurityGroup(ctx, id)
	case plan.CreateTags:
		return plan.Result{}, e.api.CreateTags(ctx, id, s.After.Map)
	case plan.DeleteTags:
		return plan.Result{}, e.api.DeleteTags(ctx, id, s.Before.List)
	}
	return plan.Result{}, fmt.Errorf("step %s: no such action", s)
}
