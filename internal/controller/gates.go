package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// Reasons of the pod condition beside those that AWS gives for a target.
const (
	reasonGateHealthy    = "Healthy"
	reasonGateNoTarget   = "NotATarget"
	reasonGateNotLooked  = "NotRegisteredYet"
	reasonGateNotInGroup = "Target.NotRegistered"
)

// finding is what one Service's target groups say about a pod that waits for
// them.
type finding struct {
	healthy bool
	reason  string // of a pod condition
	message string
}

// gates are the findings of Services about the pods that wait, from each
// Service's last look. A Service without an entry has not looked yet.
type gates struct {
	mu       sync.Mutex
	findings map[types.NamespacedName]map[types.UID]finding
}

func (g *gates) report(service types.NamespacedName, found map[types.UID]finding) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.findings == nil {
		g.findings = map[types.NamespacedName]map[types.UID]finding{}
	}
	g.findings[service] = found
}

func (g *gates) forget(service types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.findings, service)
}

func (g *gates) finding(service types.NamespacedName, pod types.UID) (finding, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, ok := g.findings[service][pod]
	return f, ok
}

// gatedPods are the pods behind a Service that have our gate and are fit, and
// which of them wait. A waiting pod counts from its entry in an endpoint slice
// on: before, it cannot be a target.
func (r *Reconciler) gatedPods(ctx context.Context, svc *corev1.Service, endpoints []*discoveryv1.EndpointSlice) (fit map[types.UID]bool, waiting []*corev1.Pod, err error) {
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, client.InNamespace(svc.Namespace), client.MatchingLabels{intent.GateLabel: intent.GateLabelValue}); err != nil {
		return nil, nil, err
	}
	listed := map[types.UID]bool{}
	for _, s := range endpoints {
		for _, e := range s.Endpoints {
			if e.TargetRef != nil {
				listed[e.TargetRef.UID] = true
			}
		}
	}
	fit = map[types.UID]bool{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if !listed[p.UID] || !intent.Fit(p) {
			continue
		}
		fit[p.UID] = true
		if intent.Waits(p) {
			waiting = append(waiting, p)
		}
	}
	return fit, waiting, nil
}

// judge says what target groups that were just described say about a pod. Of
// groups that do not want the pod, such as those of a port that it lacks, none
// counts.
func judge(pod *corev1.Pod, want []lb.TargetGroup, seen map[string][]cloud.TargetHealth) finding {
	var ok, bad []string
	worst := finding{healthy: true, reason: reasonGateHealthy}
	for _, g := range want {
		i := slices.IndexFunc(g.Targets, func(t lb.Target) bool { return hasAddress(pod, t.ID) })
		if i < 0 {
			continue
		}
		h := healthOf(seen[g.Name], g.Targets[i].ID)
		if h.State == lb.Healthy {
			ok = append(ok, g.Name)
			continue
		}
		if worst.healthy {
			worst = finding{reason: string(h.Reason)}
		}
		bad = append(bad, strings.TrimSpace(fmt.Sprintf("%s in target group %s: %s", h.State, g.Name, cmp.Or(h.Description, string(h.Reason)))))
	}
	switch {
	case !worst.healthy:
		worst.message = strings.Join(bad, "; ")
	case len(ok) == 0:
		worst.message = "no target group is for the pod"
	default:
		worst.message = "healthy in target group " + strings.Join(ok, ", ")
	}
	return worst
}

func hasAddress(pod *corev1.Pod, address string) bool {
	return slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == address })
}

// healthOf is the health of a pod's target. A pod is in a group once.
func healthOf(all []cloud.TargetHealth, id string) lb.TargetHealth {
	i := slices.IndexFunc(all, func(t cloud.TargetHealth) bool { return t.ID == id && t.State != lb.Draining })
	if i < 0 {
		return lb.TargetHealth{State: lb.Unused, Reason: reasonGateNotInGroup, Description: "the target is not registered yet"}
	}
	return all[i].TargetHealth
}

// gateCondition is what the gate of a waiting pod has to say, by the findings
// of all Services that send to it.
func gateCondition(pod *corev1.Pod, services []types.NamespacedName, find func(types.NamespacedName, types.UID) (finding, bool)) corev1.PodCondition {
	c := corev1.PodCondition{Type: intent.ReadinessGate, Status: corev1.ConditionTrue, Reason: reasonGateHealthy}
	if len(services) == 0 {
		c.Reason, c.Message = reasonGateNoTarget, "no load balancer of Fairlead sends to the pod"
		return c
	}
	var messages []string
	for _, s := range services {
		f, ok := find(s, pod.UID)
		if !ok {
			f = finding{reason: reasonGateNotLooked, message: "the pod is not among its targets yet"}
		}
		if !f.healthy && c.Status == corev1.ConditionTrue {
			c.Status, c.Reason = corev1.ConditionFalse, f.reason
		}
		messages = append(messages, fmt.Sprintf("Service %s: %s", s.Name, f.message))
	}
	c.Message = strings.Join(messages, "; ")
	return c
}

// look reads the health of all that a Service sends to: for its status, and for
// the pods that wait for it, whose gates it opens. It says how many pods go on
// waiting.
func (r *Reconciler) look(ctx context.Context, svc *corev1.Service, st *service, want lb.Stack) (health, int, error) {
	seen := health{counts: map[lb.HealthState]int{}}
	targets := map[string][]cloud.TargetHealth{}
	for _, g := range want.TargetGroups {
		e := st.group(g)
		if e == nil || e.ID == "" {
			continue
		}
		all, err := r.api.DescribeTargetHealth(ctx, e.ID)
		if err != nil {
			return seen, 0, err
		}
		targets[g.Name] = all
		seen.add(g.Key, ours(g, all))
	}
	if name := classicName(want); name != "" && find(st.rec.Classic, name) != nil {
		instances, err := r.api.DescribeInstanceHealth(ctx, name)
		if err != nil {
			return seen, 0, err
		}
		seen.add("instances", instances)
	}
	r.metrics.targets.report(client.ObjectKeyFromObject(svc), seen.counts)
	found, left := map[types.UID]finding{}, 0
	for _, p := range st.waiting {
		f := judge(p, want.TargetGroups, targets)
		if found[p.UID] = f; !f.healthy {
			left++
		}
	}
	r.gates.report(client.ObjectKeyFromObject(svc), found)
	for _, p := range st.waiting {
		if err := r.openGate(ctx, p); err != nil {
			return seen, 0, err
		}
	}
	return seen, left, nil
}

// group is the target group on record that serves for a wanted one: the same,
// or the one of the same port as long as its replacement waits for consent.
func (st *service) group(want lb.TargetGroup) *recorded {
	if e := find(st.rec.Groups, want.Name); e != nil || st.have == nil {
		return e
	}
	for _, g := range st.have.TargetGroups {
		if g.Key == want.Key {
			return find(st.rec.Groups, g.Name)
		}
	}
	return nil
}

// openGate writes what the gate of a pod has to say. A pod that changed
// meanwhile is left alone: its change leads back here.
func (r *Reconciler) openGate(ctx context.Context, pod *corev1.Pod) error {
	services, err := r.gating(ctx, pod)
	if err != nil {
		return err
	}
	want := gateCondition(pod, services, r.gates.finding)
	changed := pod.DeepCopy()
	if !setPodCondition(&changed.Status, want, r.now()) {
		return nil
	}
	patch := client.StrategicMergeFrom(pod, client.MergeFromWithOptimisticLock{})
	err = client.IgnoreNotFound(r.client.Status().Patch(ctx, changed, patch))
	if apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the readiness gate of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// gating are the Services whose load balancers the pod waits for: ours, with
// pods for targets, that send to it. One that never had a load balancer because
// it is wrong keeps no pod waiting.
func (r *Reconciler) gating(ctx context.Context, pod *corev1.Pod) ([]types.NamespacedName, error) {
	var services corev1.ServiceList
	if err := r.client.List(ctx, &services, client.InNamespace(pod.Namespace)); err != nil {
		return nil, err
	}
	names := map[types.NamespacedName]bool{}
	for i := range services.Items {
		if s := &services.Items[i]; sends(s, pod, services.Items) && r.sendsToPods(s) {
			names[client.ObjectKeyFromObject(s)] = true
		}
	}
	return slices.SortedFunc(maps.Keys(names), func(a, b types.NamespacedName) int { return strings.Compare(a.Name, b.Name) }), nil
}

func selects(svc *corev1.Service, pod *corev1.Pod) bool {
	return len(svc.Spec.Selector) > 0 && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(pod.Labels))
}

func (r *Reconciler) sendsToPods(svc *corev1.Service) bool {
	if !svc.DeletionTimestamp.IsZero() || intent.ClaimOf(svc, r.opts.TakeUnclassed) != intent.NLB || !intent.PodTargets(svc, r.opts.Defaults) {
		return false
	}
	if rec, ok := readRecord(svc); ok && len(rec.Groups) > 0 {
		return true
	}
	return !intent.DryRun(svc) && !refused(svc)
}

func refused(svc *corev1.Service) bool {
	return slices.ContainsFunc(svc.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == condAccepted && c.Status == metav1.ConditionFalse && c.ObservedGeneration == svc.Generation
	})
}

// setPodCondition says whether there was anything to change.
func setPodCondition(status *corev1.PodStatus, c corev1.PodCondition, now time.Time) bool {
	c.LastTransitionTime = metav1.NewTime(now)
	i := slices.IndexFunc(status.Conditions, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	if i < 0 {
		status.Conditions = append(status.Conditions, c)
		return true
	}
	have := status.Conditions[i]
	if have.Status == c.Status && have.Reason == c.Reason && have.Message == c.Message {
		return false
	}
	if have.Status == c.Status {
		c.LastTransitionTime = have.LastTransitionTime
	}
	status.Conditions[i] = c
	return true
}
