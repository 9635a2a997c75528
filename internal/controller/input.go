package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// input gathers all that the Service's wishes depend on. Subnets are read only
// when the choice on record does not answer the Service's question.
func (r *Reconciler) input(ctx context.Context, svc *corev1.Service, st *service) (intent.Input, error) {
	in := intent.Input{Cluster: r.opts.Cluster, Service: svc, Pinned: st.rec.Subnets, Defaults: r.opts.Defaults}
	var nodes corev1.NodeList
	if err := r.client.List(ctx, &nodes); err != nil {
		return in, err
	}
	for i := range nodes.Items {
		in.Nodes = append(in.Nodes, &nodes.Items[i])
	}
	var err error
	if in.Slices, err = r.endpoints(ctx, client.ObjectKeyFromObject(svc)); err != nil {
		return in, err
	}
	if in.Backends, err = r.backends(ctx, svc); err != nil {
		return in, err
	}
	if st.waiting = nil; intent.ClaimOf(svc, r.opts.TakeUnclassed) != intent.Classic && intent.PodTargets(svc, r.opts.Defaults) {
		all := slices.Clone(in.Slices)
		for _, b := range in.Backends {
			all = append(all, b.Slices...)
		}
		if in.Fit, st.waiting, err = r.gatedPods(ctx, svc, all); err != nil {
			return in, err
		}
	}
	if in.NameTakenBy, err = r.nameTakenBy(ctx, svc, st); err != nil {
		return in, err
	}
	if r.now().After(st.resyncAt) && intent.DriftPolicyOf(svc) == intent.RepairDrift {
		in.Pinned = intent.Pinned{}
	}
	if intent.NeedsSubnets(in) {
		in.Subnets, err = r.shared.Subnets(ctx)
	}
	return in, err
}

// nameTakenBy is another Service of ours that has the name that this one asks
// for, or asked for it before.
func (r *Reconciler) nameTakenBy(ctx context.Context, svc *corev1.Service, st *service) (string, error) {
	name := intent.WantedName(svc)
	if name == "" || st.rec.balancer(name) {
		return "", nil
	}
	rivals, err := r.rivals(ctx, svc)
	if err != nil {
		return "", err
	}
	for _, other := range rivals {
		rec, _ := readRecord(&other)
		if rec.balancer(name) || older(&other, svc) {
			return other.Namespace + "/" + other.Name, nil
		}
	}
	return "", nil
}

// rivals are the other Services that ask for the same name and are ours, or
// were and still have something in AWS.
func (r *Reconciler) rivals(ctx context.Context, svc *corev1.Service) ([]corev1.Service, error) {
	name := intent.WantedName(svc)
	var all corev1.ServiceList
	if err := r.client.List(ctx, &all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all.Items, func(s corev1.Service) bool {
		ours := intent.ClaimOf(&s, r.opts.TakeUnclassed) != intent.NotOurs || intent.HasFinalizer(&s)
		return s.UID == svc.UID || intent.WantedName(&s) != name || !ours
	}), nil
}

func older(a, b *corev1.Service) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.UID < b.UID
}

// errGroupName says that a Name tag does not lead to one security group.
type errGroupName struct {
	name  string
	found int
}

func (e *errGroupName) Error() string {
	return fmt.Sprintf("%d security groups in the VPC have the name %s; use the ID of one in service.beta.kubernetes.io/aws-load-balancer-security-groups", e.found, e.name)
}

// resolveGroups puts IDs in place of the names of security groups.
func (r *Reconciler) resolveGroups(ctx context.Context, want lb.Stack) (lb.Stack, error) {
	ids := slices.Clone(want.LoadBalancer.SecurityGroups)
	for i, name := range ids {
		if strings.HasPrefix(name, "sg-") {
			continue
		}
		found, err := r.api.DescribeSecurityGroups(ctx, cloud.GroupFilter{NameTag: name})
		if err != nil {
			return want, err
		}
		if len(found) != 1 {
			return want, &errGroupName{name, len(found)}
		}
		ids[i] = found[0].ID
	}
	want.LoadBalancer.SecurityGroups = ids
	return want, nil
}

// held are the Services that have our finalizer: they may have something in AWS.
func held(ctx context.Context, c client.Reader) ([]corev1.Service, error) {
	var all corev1.ServiceList
	if err := c.List(ctx, &all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all.Items, func(s corev1.Service) bool { return !intent.HasFinalizer(&s) }), nil
}

// holders are the Services that have our finalizer, with the rules in the nodes'
// groups that are on record.
func holders(c client.Reader) func(context.Context) (map[types.UID][]lb.Rule, error) {
	return func(ctx context.Context) (map[types.UID][]lb.Rule, error) {
		all, err := held(ctx, c)
		if err != nil {
			return nil, err
		}
		uids := map[types.UID][]lb.Rule{}
		for i := range all {
			rec, _ := readRecord(&all[i])
			uids[all[i].UID] = rec.NodeRules
		}
		return uids, nil
	}
}
