package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// sweep is what AWS tells about all Services at one time, read in batches of
// twenty. Targets and attributes are not in it: AWS tells those of one resource
// at a time, and each Service reads its own at its resync.
type sweep struct {
	begun     time.Time
	balancers map[string]cloud.LoadBalancer // by name
	groups    map[string]cloud.TargetGroup  // by name
	listeners map[string][]cloud.Listener   // by the load balancer's ARN
	classics  map[string]cloud.ClassicLoadBalancer
	security  map[string]cloud.SecurityGroup
	tags      map[string]map[string]string // by ARN, of Classic Load Balancers by name
}

// sweepAll reads a sweep. Names come from the records of Services, listeners and
// tags from the tagging API, which may be behind: a Service that looks different
// is looked at once more, by itself.
func (r *Reconciler) sweepAll(ctx context.Context) (*sweep, error) {
	s := &sweep{
		begun: r.now(), balancers: map[string]cloud.LoadBalancer{}, groups: map[string]cloud.TargetGroup{},
		listeners: map[string][]cloud.Listener{}, security: map[string]cloud.SecurityGroup{},
		classics: map[string]cloud.ClassicLoadBalancer{},
	}
	names, err := r.recorded(ctx)
	if err != nil || len(names.uids) == 0 {
		return s, err
	}
	if s.tags, err = r.api.FindByTags(ctx, map[string]string{owner.TagCluster: r.opts.Cluster}); err != nil {
		return nil, err
	}
	security, err := r.shared.Check(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range security {
		s.security[g.Name] = g
	}
	if err := r.findStrays(ctx, s.tags, security, names); err != nil {
		return nil, err
	}
	return s, errors.Join(s.describe(ctx, r.api, names), s.describeClassics(ctx, r.api, names.classics))
}

// onRecord is what all Services' records tell of.
type onRecord struct {
	balancers, groups, classics []string
	rules                       map[lb.Rule]bool   // in the nodes' groups
	uids                        map[types.UID]bool // of Services that have something in AWS
}

// recorded is what is on record.
func (r *Reconciler) recorded(ctx context.Context) (names onRecord, err error) {
	all, err := held(ctx, r.client)
	if err != nil {
		return names, err
	}
	names.uids, names.rules = map[types.UID]bool{}, map[lb.Rule]bool{}
	for i := range all {
		svc := &all[i]
		rec, _ := readRecord(svc)
		for _, rule := range rec.NodeRules {
			names.rules[rule] = true
		}
		if names.uids[svc.UID] = true; !svc.DeletionTimestamp.IsZero() {
			continue // what is on its way out would be missing, and a missing name takes calls to find
		}
		names.balancers = append(names.balancers, namesOf(rec.Balancers)...)
		names.groups = append(names.groups, namesOf(rec.Groups)...)
		names.classics = append(names.classics, namesOf(rec.Classic)...)
	}
	return names, nil
}

func namesOf(entries []recorded) (names []string) {
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

func (s *sweep) describe(ctx context.Context, api cloud.API, names onRecord) error {
	found, err := api.DescribeLoadBalancers(ctx, names.balancers)
	if err != nil {
		return err
	}
	for _, b := range found {
		s.balancers[b.Name] = b
	}
	targets, err := api.DescribeTargetGroups(ctx, names.groups)
	if err != nil {
		return err
	}
	for _, g := range targets {
		s.groups[g.Name] = g
	}
	var arns []string
	for _, arn := range slices.Sorted(maps.Keys(s.tags)) {
		if balancerOf(arn) != "" {
			arns = append(arns, arn)
		}
	}
	listeners, err := api.DescribeListenersByARN(ctx, arns)
	for _, l := range listeners {
		b := balancerOf(l.ARN)
		s.listeners[b] = append(s.listeners[b], l)
	}
	return err
}

func (s *sweep) describeClassics(ctx context.Context, api cloud.API, names []string) error {
	if len(names) == 0 {
		return nil
	}
	found, err := api.DescribeClassicLoadBalancers(ctx, names)
	if err != nil {
		return err
	}
	there := make([]string, len(found))
	for i, b := range found {
		s.classics[b.Name], there[i] = b, b.Name
	}
	_, err = cloud.Existing(ctx, there, func(ctx context.Context, batch []string) ([]string, error) {
		tags, err := api.DescribeClassicTags(ctx, batch)
		maps.Copy(s.tags, tags)
		return nil, err
	})
	return err
}

// balancerOf is the ARN of a listener's load balancer, which is part of the
// listener's own; "" when the ARN is no listener's.
func balancerOf(arn string) string {
	head, tail, ok := strings.Cut(arn, ":listener/")
	i := strings.LastIndex(tail, "/")
	if !ok || i < 0 {
		return ""
	}
	return head + ":loadbalancer/" + tail[:i]
}

// differs says whether the last sweep shows something else than the Service was
// given. It calls nothing. Each sweep is looked at once, and not by a Service
// that was worked on meanwhile.
func (r *Reconciler) differs(ctx context.Context, svc *corev1.Service, st *service, want lb.Stack) bool {
	s := r.swept.Load()
	if s == nil || !s.begun.After(st.sweptAt) {
		return false
	}
	st.sweptAt = s.begun
	if st.have == nil || st.worked.After(s.begun) || intent.DriftPolicyOf(svc) == intent.IgnoreDrift {
		return false
	}
	want = resolvedFrom(*st.have, want)
	api := &sweptAPI{sweep: s, have: st.have}
	o := observer{api: api, shared: r.shared, owner: intent.OwnerOf(r.opts.Cluster, svc), rec: st.rec, want: want}
	have, err := o.observe(ctx)
	if err != nil {
		return true
	}
	p := plan.Diff(want, have, plan.Policy{})
	if !p.Empty() || len(p.Blocked) > 0 {
		return true
	}
	st.believed = false // the record was right, and AWS says so
	return false
}

// sweptAPI answers from a sweep, and where a sweep does not tell, what the
// Service was given.
type sweptAPI struct {
	*sweep
	have *plan.Observed
}

func (a *sweptAPI) DescribeLoadBalancers(_ context.Context, names []string) ([]cloud.LoadBalancer, error) {
	return present(a.balancers, names), nil
}

func (a *sweptAPI) DescribeTargetGroups(_ context.Context, names []string) ([]cloud.TargetGroup, error) {
	return present(a.groups, names), nil
}

func present[V any](all map[string]V, names []string) (out []V) {
	for _, name := range names {
		if v, ok := all[name]; ok {
			out = append(out, v)
		}
	}
	return out
}

func (a *sweptAPI) DescribeClassicLoadBalancers(_ context.Context, names []string) ([]cloud.ClassicLoadBalancer, error) {
	return present(a.classics, names), nil
}

func (a *sweptAPI) DescribeClassicAttributes(_ context.Context, name string) (map[string]string, error) {
	for _, b := range a.have.Classic {
		if b.Name == name {
			return b.Attributes, nil
		}
	}
	return nil, nil
}

func (a *sweptAPI) DescribeClassicTags(ctx context.Context, names []string) (map[string]map[string]string, error) {
	return a.DescribeTags(ctx, names)
}

func (a *sweptAPI) DescribeSecurityGroups(_ context.Context, by cloud.GroupFilter) ([]cloud.SecurityGroup, error) {
	if by.TagKey != "" {
		return slices.Collect(maps.Values(a.security)), nil // the sweep has the groups with the cluster's tag
	}
	return present(a.security, by.Names), nil
}

func (a *sweptAPI) DescribeListeners(_ context.Context, balancer string) ([]cloud.Listener, error) {
	return a.listeners[balancer], nil
}

func (a *sweptAPI) DescribeTags(_ context.Context, arns []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, arn := range arns {
		out[arn] = a.tags[arn]
	}
	return out, nil
}

func (a *sweptAPI) DescribeTargetHealth(_ context.Context, arn string) (out []cloud.TargetHealth, err error) {
	for _, g := range a.have.TargetGroups {
		if g.ARN != arn {
			continue
		}
		for _, t := range g.Targets {
			out = append(out, cloud.TargetHealth{Target: t})
		}
	}
	return out, nil
}

func (a *sweptAPI) DescribeTargetGroupAttributes(_ context.Context, arn string) (map[string]string, error) {
	for _, g := range a.have.TargetGroups {
		if g.ARN == arn {
			return g.Attributes, nil
		}
	}
	return nil, nil
}

func (a *sweptAPI) balancer(arn string) plan.LoadBalancer {
	for _, b := range a.have.LoadBalancers {
		if b.ARN == arn {
			return b
		}
	}
	return plan.LoadBalancer{}
}

// listener is by port: what the record tells of listeners has no ARNs.
func (a *sweptAPI) listener(arn string) plan.Listener {
	b := a.balancer(balancerOf(arn))
	for _, l := range a.listeners[b.ARN] {
		if have := b.Listener(l.Port); l.ARN == arn && have != nil {
			return *have
		}
	}
	return plan.Listener{}
}

func (a *sweptAPI) DescribeLoadBalancerAttributes(_ context.Context, arn string) (map[string]string, error) {
	return a.balancer(arn).Attributes, nil
}

func (a *sweptAPI) DescribeCapacityReservation(_ context.Context, arn string) (int32, error) {
	return a.balancer(arn).CapacityUnits, nil
}

func (a *sweptAPI) DescribeListenerAttributes(_ context.Context, arn string) (map[string]string, error) {
	return a.listener(arn).Attributes, nil
}

func (a *sweptAPI) DescribeListenerCertificates(_ context.Context, arn string) ([]string, error) {
	certificates := a.listener(arn).Security.Certificates
	return certificates[min(1, len(certificates)):], nil
}

// sweeping is a sweep now and then, for as long as the process leads.
type sweeping struct {
	r    *Reconciler
	wake func(ctx context.Context, key types.NamespacedName)
}

// NeedLeaderElection says that only the leader sweeps.
func (sweeping) NeedLeaderElection() bool { return true }

// Start sweeps until the context ends.
func (s sweeping) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(jitter(s.r.opts.Sweep)):
		}
		if err := s.once(ctx); err != nil && ctx.Err() == nil {
			s.r.metrics.errors.WithLabelValues(string(cloud.ClassOf(err))).Inc()
			s.r.log.Warn("sweep given up until the next", "error", fmt.Errorf("compare all Services with AWS: %w", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(lookTime, s.r.opts.Sweep/2)):
			s.r.swept.Store(nil)
		}
	}
}

// lookTime is how long Services may take to look at a sweep before it is let
// go of: it is as large as all they have in AWS.
const lookTime = 5 * time.Minute

// once sweeps and has all Services look at what was found.
func (s sweeping) once(ctx context.Context) error {
	found, err := s.r.sweepAll(ctx)
	if err != nil {
		return err
	}
	s.r.swept.Store(found)
	for _, key := range s.r.owned() {
		s.wake(ctx, key)
	}
	return nil
}
