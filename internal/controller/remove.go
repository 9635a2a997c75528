package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// cleanupFinalizer is the one that clients and tests know from the upstream
// service controller. It proves nothing about whose a Service is.
const cleanupFinalizer = "service.kubernetes.io/load-balancer-cleanup"

// remove takes away all that the Service has in AWS, then the finalizers.
func (r *Reconciler) remove(ctx context.Context, svc *corev1.Service, st *service) (reconcile.Result, error) {
	if st.removed {
		return reconcile.Result{}, nil // the cache is behind
	}
	r.say(svc, st, eventDeleting, "Deleting load balancer")
	if err := r.dismantle(ctx, svc, st); err != nil {
		return r.failed(ctx, svc, st, err)
	}
	if err := r.clearStatus(ctx, svc); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if err := r.unmark(ctx, svc); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	r.say(svc, st, eventDeleted, "Deleted load balancer")
	st.rec, st.have, st.removed, st.lost, st.failures = record{Version: recordVersion}, nil, true, false, 0
	st.said = map[string]string{}
	return reconcile.Result{}, nil
}

func (r *Reconciler) dismantle(ctx context.Context, svc *corev1.Service, st *service) error {
	if st.have == nil || st.believed {
		if err := r.recover(ctx, svc, st); err != nil {
			return err
		}
		groups, err := r.shared.Survey(ctx, svc.UID)
		if err != nil {
			return err
		}
		o := observer{api: r.api, shared: r.shared, owner: intent.OwnerOf(r.opts.Cluster, svc), rec: st.rec, surveyed: groups}
		have, err := o.remains(ctx, r.derived(ctx, svc, st))
		if err != nil {
			return err
		}
		st.have, st.believed = &have, false
	}
	p := plan.Diff(lb.Stack{}, *st.have, plan.Policy{AllowReplacement: true})
	if _, err := r.apply(ctx, svc, st, p); err != nil {
		if cloud.Is(err, cloud.Denied) {
			st.have = nil // what is gone has no tags, and may be denied for that: look
		}
		return err
	}
	return r.shared.Release(ctx, svc.UID)
}

// remains is what is there to be deleted. It needs no more of a resource than
// its ID and the certainty that it is the Service's own: its name is proof of
// that, or its tags are.
func (o *observer) remains(ctx context.Context, own derived) (plan.Observed, error) {
	var have plan.Observed
	rec := o.rec
	if !rec.complete() {
		return o.observe(ctx)
	}
	var arns []string
	for _, e := range slices.Concat(rec.Balancers, rec.Groups) {
		if !own.prove(e) {
			arns = append(arns, e.ID)
		}
	}
	tags, err := o.describeTags(ctx, arns)
	if err != nil {
		return have, err
	}
	for _, e := range rec.Balancers {
		if own.prove(e) || o.owner.Owns(tags[e.ID]) {
			b := plan.LoadBalancer{ARN: e.ID}
			b.Name, b.NoSecurityGroups = e.Name, e.Bare
			have.LoadBalancers = append(have.LoadBalancers, b)
		}
	}
	for _, e := range rec.Groups {
		if own.prove(e) || o.owner.Owns(tags[e.ID]) {
			g := plan.TargetGroup{ARN: e.ID}
			g.Name = e.Name
			have.TargetGroups = append(have.TargetGroups, g)
		}
	}
	have.NodeRules = rec.NodeRules
	if have.Classic, err = o.classicRemains(ctx); err != nil {
		return have, err
	}
	have.Frontends, err = o.frontends(ctx)
	return have, err
}

// describeTags leaves out what is gone.
func (o *observer) describeTags(ctx context.Context, arns []string) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	_, err := cloud.Existing(ctx, arns, func(ctx context.Context, batch []string) ([]string, error) {
		tags, err := o.api.DescribeTags(ctx, batch)
		maps.Copy(all, tags)
		return nil, err
	})
	return all, err
}

// recoverTries is how many passes in a row insist on all that can be found out
// about a lost record. Where an API cannot be reached at all, as the tagging API
// from a network without an endpoint of it, the names that the Service has now
// have to do: a Service that can never be deleted is worse.
const recoverTries = 6

// recover rebuilds a record, if it is lost, from what the Service says now, and
// from tags.
func (r *Reconciler) recover(ctx context.Context, svc *corev1.Service, st *service) error {
	if !st.lost || st.found {
		return nil
	}
	own := intent.OwnerOf(r.opts.Cluster, svc)
	st.rec = record{Version: recordVersion, Frontends: []recorded{{Name: own.FrontendName()}}}
	if err := r.insist(svc, st, r.recoverNames(ctx, svc, st)); err != nil {
		return err
	}
	rules, err := r.recoverRules(ctx, svc)
	if err := r.insist(svc, st, err); err != nil {
		return err
	}
	st.rec.NodeRules = withRules(st.rec.NodeRules, rules)
	arns, err := r.api.FindByTags(ctx, map[string]string{owner.TagCluster: own.Cluster, owner.TagUID: own.UID})
	if err != nil {
		return r.insist(svc, st, err)
	}
	st.found = true
	for _, arn := range slices.Sorted(maps.Keys(arns)) {
		st.rec.name(arn)
	}
	return nil
}

// insist is the error for which recovery is tried again. Of one that will not
// pass it says that recovery goes on without, and is nil.
func (r *Reconciler) insist(svc *corev1.Service, st *service, err error) error {
	if err == nil {
		return nil
	}
	if class := classOf(err); st.failures < recoverTries && (class == cloud.Throttled || class == cloud.Transient) {
		return err
	}
	r.log.Warn("record lost, and not all that it told can be found out: going on without", "service", client.ObjectKeyFromObject(svc), "error", err)
	return nil
}

// recoverNames notes what the Service would be given now, under either type.
func (r *Reconciler) recoverNames(ctx context.Context, svc *corev1.Service, st *service) error {
	in, err := r.input(ctx, svc, st)
	if err != nil {
		return err
	}
	want, _ := intent.Desired(in)
	st.rec.NodeRules = want.NodeRules
	st.rec.Balancers = withName(st.rec.Balancers, want.LoadBalancer.Name)
	for _, g := range want.TargetGroups {
		st.rec.Groups = withName(st.rec.Groups, g.Name)
	}
	in.Type = lb.Classic
	want, _ = intent.Desired(in)
	st.rec.Classic = withName(st.rec.Classic, want.LoadBalancer.Name)
	return nil
}

// name notes what an ARN names.
func (rec *record) name(arn string) {
	kind, name := partsOf(arn)
	switch kind {
	case "loadbalancer":
		rec.Balancers = withName(rec.Balancers, name)
		find(rec.Balancers, name).ID = arn
	case "classic":
		rec.Classic = withName(rec.Classic, name)
		find(rec.Classic, name).ID = name
	case "targetgroup":
		rec.Groups = withName(rec.Groups, name)
	}
}

// partsOf are kind and name in the ARN of a load balancer, a Classic one or a
// target group.
func partsOf(arn string) (kind, name string) {
	resource := arn[strings.LastIndex(arn, ":")+1:]
	parts := strings.Split(resource, "/")
	switch {
	case len(parts) == 4 && parts[0] == "loadbalancer":
		return parts[0], parts[2]
	case len(parts) == 2 && parts[0] == "loadbalancer":
		return "classic", parts[1]
	case len(parts) == 3 && parts[0] == "targetgroup":
		return parts[0], parts[1]
	}
	return "", ""
}

// save writes the record, and the finalizers with the first one.
func (r *Reconciler) save(ctx context.Context, svc *corev1.Service, st *service, rec record) error {
	text := rec.text()
	marked := intent.HasFinalizer(svc)
	if marked && st.rec.text() == text && svc.Annotations[intent.KeyRecord] == text {
		st.rec = rec
		return nil
	}
	meta := map[string]any{"annotations": map[string]any{intent.KeyRecord: text}}
	if !marked {
		meta["resourceVersion"] = svc.ResourceVersion // nobody's finalizer may get lost
		meta["finalizers"] = marks(svc.Finalizers)
	}
	if err := r.patch(ctx, svc, meta); err != nil {
		return fmt.Errorf("write the record of Service %s/%s: %w", svc.Namespace, svc.Name, err)
	}
	st.rec = rec
	return nil
}

func marks(finalizers []string) []string {
	out := slices.Clone(finalizers)
	for _, f := range []string{intent.Finalizer, cleanupFinalizer} {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// unmark takes the finalizers and the record away.
func (r *Reconciler) unmark(ctx context.Context, svc *corev1.Service) error {
	finalizers := slices.DeleteFunc(slices.Clone(svc.Finalizers), func(f string) bool { return f == intent.Finalizer || f == cleanupFinalizer })
	return r.patch(ctx, svc, map[string]any{
		"resourceVersion": svc.ResourceVersion,
		"finalizers":      finalizers,
		"annotations":     map[string]any{intent.KeyRecord: nil},
	})
}

// patch merges metadata into the Service and leaves in svc what the API server
// answered.
func (r *Reconciler) patch(ctx context.Context, svc *corev1.Service, meta map[string]any) error {
	body, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return err
	}
	return r.client.Patch(ctx, svc, client.RawPatch(types.MergePatchType, body))
}
