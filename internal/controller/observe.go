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

// errNameTaken says that a resource of the wanted name belongs to someone else.
type errNameTaken struct{ what, name, owner string }

func (e *errNameTaken) Error() string {
	return fmt.Sprintf("%s %s exists and belongs to %s; give the Service another name by service.beta.kubernetes.io/aws-load-balancer-name", e.what, e.name, e.owner)
}

// reads are what an observer asks of AWS.
type reads interface {
	DescribeLoadBalancers(ctx context.Context, names []string) ([]cloud.LoadBalancer, error)
	DescribeLoadBalancerAttributes(ctx context.Context, arn string) (map[string]string, error)
	DescribeCapacityReservation(ctx context.Context, arn string) (int32, error)
	DescribeListeners(ctx context.Context, balancerARN string) ([]cloud.Listener, error)
	DescribeListenerAttributes(ctx context.Context, arn string) (map[string]string, error)
	DescribeListenerCertificates(ctx context.Context, arn string) ([]string, error)
	DescribeTargetGroups(ctx context.Context, names []string) ([]cloud.TargetGroup, error)
	DescribeTargetGroupAttributes(ctx context.Context, arn string) (map[string]string, error)
	DescribeTargetHealth(ctx context.Context, groupARN string) ([]cloud.TargetHealth, error)
	DescribeTags(ctx context.Context, arns []string) (map[string]map[string]string, error)
	DescribeSecurityGroups(ctx context.Context, by cloud.GroupFilter) ([]cloud.SecurityGroup, error)
	DescribeClassicLoadBalancers(ctx context.Context, names []string) ([]cloud.ClassicLoadBalancer, error)
	DescribeClassicAttributes(ctx context.Context, name string) (map[string]string, error)
	DescribeClassicTags(ctx context.Context, names []string) (map[string]map[string]string, error)
}

// observer reads one Service's resources from AWS. It looks only for what the
// record and the wishes name: there are no lists of the account.
type observer struct {
	api    reads
	shared *shared
	owner  owner.Service
	rec    record
	want   lb.Stack
	tags   map[string]map[string]string // by ARN, of Classic Load Balancers by name
	groups map[string]string            // target group names by ARN
	// surveyed are all security groups of the cluster, when they were read anyway.
	surveyed []cloud.SecurityGroup
}

// observe reads everything. On the way it drops what is not the Service's own.
//
// Listeners are read before target groups: a group that a listener forwards to
// is found even when no record names it.
func (o *observer) observe(ctx context.Context) (plan.Observed, error) {
	var have plan.Observed
	balancers, err := o.api.DescribeLoadBalancers(ctx, o.names(o.rec.Balancers, networkName(o.want)))
	if err != nil {
		return have, err
	}
	var names []string
	for _, g := range o.want.TargetGroups {
		names = append(names, g.Name)
	}
	listeners := map[string][]cloud.Listener{}
	for _, b := range balancers {
		if listeners[b.ARN], err = o.api.DescribeListeners(ctx, b.ARN); err != nil {
			return have, err
		}
		names = append(names, forwardedTo(listeners[b.ARN])...)
	}
	groups, err := o.api.DescribeTargetGroups(ctx, o.names(o.rec.Groups, names...))
	if err != nil {
		return have, err
	}
	if err := o.readTags(ctx, balancers, groups, listeners); err != nil {
		return have, err
	}
	if have.Frontends, err = o.frontends(ctx); err != nil {
		return have, err
	}
	if have.NodeRules, err = o.nodeRules(ctx); err != nil {
		return have, err
	}
	for _, g := range groups {
		if err := o.group(ctx, g, &have); err != nil {
			return have, err
		}
	}
	for _, b := range balancers {
		if err := o.balancer(ctx, b, listeners[b.ARN], &have); err != nil {
			return have, err
		}
	}
	return have, o.classics(ctx, &have)
}

func forwardedTo(listeners []cloud.Listener) (names []string) {
	for _, l := range listeners {
		for _, f := range l.Forward {
			_, name := partsOf(f.GroupARN)
			names = append(names, name)
		}
	}
	return names
}

func (o *observer) names(entries []recorded, wanted ...string) []string {
	set := map[string]bool{}
	for _, e := range entries {
		set[e.Name] = true
	}
	for _, n := range wanted {
		if n != "" {
			set[n] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (o *observer) readTags(ctx context.Context, balancers []cloud.LoadBalancer, groups []cloud.TargetGroup, listeners map[string][]cloud.Listener) (err error) {
	var arns []string
	o.groups = map[string]string{}
	for _, b := range balancers {
		arns = append(arns, b.ARN)
		for _, l := range listeners[b.ARN] {
			arns = append(arns, l.ARN)
		}
	}
	for _, g := range groups {
		arns = append(arns, g.ARN)
		o.groups[g.ARN] = g.Name
	}
	o.tags, err = o.api.DescribeTags(ctx, arns)
	return err
}

// mine says whether a resource is the Service's. One that is not, under a name
// that the Service needs, is an error.
func (o *observer) mine(what, name, arn string, wanted bool) (bool, error) {
	tags := o.tags[arn]
	if o.owner.Owns(tags) {
		return true, nil
	}
	if !wanted {
		return false, nil
	}
	who := "someone else"
	if s := tags[owner.TagService]; s != "" {
		who = "Service " + s + " of cluster " + tags[owner.TagCluster]
	}
	return false, &errNameTaken{what, name, who}
}

func (o *observer) group(ctx context.Context, g cloud.TargetGroup, have *plan.Observed) error {
	mine, err := o.mine("target group", g.Name, g.ARN, o.want.Group(g.Name) != nil)
	if !mine {
		return err
	}
	out := plan.TargetGroup{TargetGroup: g.TargetGroup, ARN: g.ARN}
	out.Key = plan.KeyOf(o.tags[g.ARN][owner.TagResource])
	want, ok := o.counterpart(out.TargetGroup)
	out.Tags = o.relevant(o.tags[g.ARN], want.Tags)
	if ok {
		if len(want.Attributes)+len(o.rec.Keys) > 0 {
			attrs, err := o.api.DescribeTargetGroupAttributes(ctx, g.ARN)
			if err != nil {
				return err
			}
			out.Attributes = o.relevant(attrs, want.Attributes)
		}
		if out.Targets, err = registered(ctx, o.api, g.ARN); err != nil {
			return err
		}
		if out.Shared = want.Shared; out.Shared {
			out.Targets = o.rec.owned(g.Name, out.Targets, want.Targets)
		}
	}
	have.TargetGroups = append(have.TargetGroups, out)
	return nil
}

// counterpart is the wanted group that an existing one is, or may become: of
// its name, or of its port while a replacement waits for consent.
func (o *observer) counterpart(g lb.TargetGroup) (lb.TargetGroup, bool) {
	if w := o.want.Group(g.Name); w != nil {
		return *w, true
	}
	for _, w := range o.want.TargetGroups {
		if w.Key == g.Key {
			return w, true
		}
	}
	return lb.TargetGroup{}, false
}

// registered are the targets of a group that are not on their way out.
func registered(ctx context.Context, api reads, arn string) ([]lb.Target, error) {
	health, err := api.DescribeTargetHealth(ctx, arn)
	if err != nil {
		return nil, err
	}
	var out []lb.Target
	for _, h := range health {
		if h.State != lb.Draining && h.Reason != lb.NotRegistered {
			out = append(out, h.Target)
		}
	}
	return out, nil
}

func (o *observer) balancer(ctx context.Context, b cloud.LoadBalancer, listeners []cloud.Listener, have *plan.Observed) error {
	wanted := b.Name == networkName(o.want)
	mine, err := o.mine("load balancer", b.Name, b.ARN, wanted)
	if !mine {
		return err
	}
	out := plan.LoadBalancer{LoadBalancer: b.LoadBalancer, ARN: b.ARN, DNSName: b.DNSName}
	out.Tags, out.NoSecurityGroups = o.relevant(o.tags[b.ARN], o.want.LoadBalancer.Tags), len(b.SecurityGroups) == 0
	if out.SecurityGroups, err = o.references(ctx, b.SecurityGroups, have.Frontends); err != nil {
		return err
	}
	if len(o.want.LoadBalancer.Attributes)+len(o.rec.Keys) > 0 {
		attrs, err := o.api.DescribeLoadBalancerAttributes(ctx, b.ARN)
		if err != nil {
			return err
		}
		out.Attributes = o.relevant(attrs, o.want.LoadBalancer.Attributes)
	}
	if o.want.LoadBalancer.CapacityUnits > 0 || slices.Contains(o.rec.Keys, keyCapacity) {
		if out.CapacityUnits, err = o.api.DescribeCapacityReservation(ctx, b.ARN); err != nil {
			return err
		}
	}
	if out.Listeners, err = o.listeners(ctx, listeners); err != nil {
		return err
	}
	have.LoadBalancers = append(have.LoadBalancers, out)
	return nil
}

// references puts our names in place of the IDs of our groups.
func (o *observer) references(ctx context.Context, ids []string, frontends []plan.SecurityGroup) ([]string, error) {
	backend := ""
	if o.want.Backend {
		var err error
		if backend, err = o.shared.Peek(ctx); err != nil {
			return nil, err
		}
	}
	out := slices.Clone(ids)
	for i, id := range out {
		if id == backend {
			out[i] = plan.RefBackend
		}
		for _, g := range frontends {
			if id == g.ID {
				out[i] = plan.FrontendRef(o.owner.FrontendName(), g.Name)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

func (o *observer) listeners(ctx context.Context, found []cloud.Listener) ([]plan.Listener, error) {
	var out []plan.Listener
	for _, l := range found {
		var want lb.Listener
		if i := slices.IndexFunc(o.want.Listeners, func(w lb.Listener) bool { return w.Port == l.Port }); i >= 0 {
			want = o.want.Listeners[i]
		}
		listener := plan.Listener{ARN: l.ARN, Port: l.Port, Protocol: l.Protocol, Stickiness: l.Stickiness, Security: l.Security, Tags: o.relevant(o.tags[l.ARN], want.Tags)}
		if l.Protocol == lb.TLS {
			further, err := o.api.DescribeListenerCertificates(ctx, l.ARN)
			if err != nil {
				return nil, err
			}
			listener.Security.Certificates = append(listener.Security.Certificates, further...)
		}
		for _, f := range l.Forward {
			name, ok := o.groups[f.GroupARN]
			if ok = ok && o.owner.Owns(o.tags[f.GroupARN]); !ok {
				name = f.GroupARN
			}
			listener.Forward = append(listener.Forward, plan.Forward{TargetGroup: name, Weight: f.Weight, Foreign: !ok})
		}
		if len(want.Attributes)+len(o.rec.Keys) > 0 {
			attrs, err := o.api.DescribeListenerAttributes(ctx, l.ARN)
			if err != nil {
				return nil, err
			}
			listener.Attributes = o.relevant(attrs, want.Attributes)
		}
		out = append(out, listener)
	}
	return out, nil
}

// securityGroups are all of the cluster, when they were read anyway; else those
// that are asked for.
func (o *observer) securityGroups(ctx context.Context, by cloud.GroupFilter) ([]cloud.SecurityGroup, error) {
	if o.surveyed != nil {
		return o.surveyed, nil
	}
	return o.api.DescribeSecurityGroups(ctx, by)
}

// frontends reads the Service's own groups. Rules that are not ours count only
// when they are wanted anyway: they are never revoked.
func (o *observer) frontends(ctx context.Context) ([]plan.SecurityGroup, error) {
	names := plan.FrontendNames(o.owner.FrontendName())
	found, err := o.securityGroups(ctx, cloud.GroupFilter{Names: names})
	if err != nil {
		return nil, err
	}
	var want lb.SecurityGroup
	if o.want.Frontend != nil {
		want = *o.want.Frontend
	}
	var out []plan.SecurityGroup
	for _, g := range found {
		if !o.owner.Owns(g.Tags) || !slices.Contains(names, g.Name) {
			continue
		}
		have := plan.SecurityGroup{ID: g.ID}
		have.Name, have.Tags = g.Name, o.relevant(g.Tags, want.Tags)
		for _, r := range g.Ingress {
			if r.Description == o.shared.cluster.RuleDescription() || slices.Contains(want.Ingress, r.Rule) {
				have.Ingress = append(have.Ingress, r.Rule)
			} else {
				have.Foreign = append(have.Foreign, r.Rule)
			}
		}
		out = append(out, have)
	}
	slices.SortFunc(out, func(a, b plan.SecurityGroup) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// relevant are the entries that are wanted, that the user wanted before, or
// that are ours. What others added is not our concern.
func (o *observer) relevant(all, want map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		if _, wanted := want[k]; wanted || slices.Contains(o.rec.Keys, k) || strings.HasPrefix(k, owner.TagPrefix) {
			out[k] = v
		}
	}
	return out
}
