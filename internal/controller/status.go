package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// Types of the conditions that the controller keeps on Services.
const (
	condAccepted    = "Accepted"            // the Service is one that can be served as it is written
	condProgrammed  = "Programmed"          // AWS has what the Service wants
	condHealthy     = "TargetsHealthy"      // targets answer their health checks
	condReplacement = "ReplacementRequired" // a change waits for the user's consent
	condDryRun      = "DryRun"              // the plan is in the message, and not carried out
	condDrifted     = "Drifted"             // AWS differs from what was made, and is left so
)

// notice is the kind of a Kubernetes event.
type notice struct{ reason, kind, action string }

// Events; the reasons are those that users know from the service controller.
var (
	eventEnsuring = notice{"EnsuringLoadBalancer", corev1.EventTypeNormal, "Ensure"}
	eventEnsured  = notice{"EnsuredLoadBalancer", corev1.EventTypeNormal, "Ensure"}
	eventFailed   = notice{"SyncLoadBalancerFailed", corev1.EventTypeWarning, "Ensure"}
	eventDeleting = notice{"DeletingLoadBalancer", corev1.EventTypeNormal, "Delete"}
	eventDeleted  = notice{"DeletedLoadBalancer", corev1.EventTypeNormal, "Delete"}
	eventInvalid  = notice{"InvalidLoadBalancer", corev1.EventTypeWarning, "Validate"}
	eventWarnings = notice{"LoadBalancerWarnings", corev1.EventTypeWarning, "Validate"}
	eventDryRun   = notice{"DryRun", corev1.EventTypeNormal, "Plan"}
	eventDrifted  = notice{"LoadBalancerDrifted", corev1.EventTypeWarning, "Compare"}
	eventConsent  = notice{"ReplacementRequired", corev1.EventTypeWarning, "Ensure"}
)

// Limits of the API server: an event's note, in bytes, and a condition's message.
const (
	maxNote    = 1 << 10
	maxMessage = 32 << 10
)

// clip shortens a text to a number of bytes, between two characters.
func clip(text string, limit int) string {
	const more = "…"
	if len(text) <= limit {
		return text
	}
	end := limit - len(more)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// say sends an event unless it was the last one of its reason.
func (r *Reconciler) say(svc *corev1.Service, st *service, e notice, note string) {
	note = clip(note, maxNote)
	if st.said[e.reason] == note {
		return
	}
	st.said[e.reason] = note
	r.events.Eventf(svc, nil, e.kind, e.reason, e.action, "%s", note)
}

// outcome is a pass that went well.
type outcome struct {
	want     lb.Stack
	problems []intent.Problem
	waiting  bool // a replacement is not healthy yet
}

func (r *Reconciler) succeed(ctx context.Context, svc *corev1.Service, st *service, o outcome) (reconcile.Result, error) {
	status := draftOf(svc)
	r.accept(st, status, o.problems)
	status.programmed(o.waiting)
	r.consent(st, status)
	r.acts(st, status)
	r.drifted(st, status)
	if dns := r.hostname(svc, st); dns != "" {
		status.LoadBalancer = ingress(svc, dns)
	}
	poll, err := r.settle(ctx, st, status, o.want)
	if cloud.Is(err, cloud.Throttled) {
		poll, err = lastPoll, nil // a look can wait; what is known of the targets stays
	}
	if err != nil {
		return r.failed(ctx, svc, st, err)
	}
	if err := r.writeStatus(ctx, status); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !o.waiting {
		delete(st.said, eventFailed.reason)
		if st.said[eventEnsuring.reason] != "" {
			r.say(svc, st, eventEnsured, "Ensured load balancer "+o.want.LoadBalancer.Name)
		}
	}
	return r.later(st, poll, o.waiting), nil
}

// later is when the Service is looked at next. What serves nothing but the
// status, or a comparison with AWS, comes after whatever is new.
func (r *Reconciler) later(st *service, poll time.Duration, replacing bool) reconcile.Result {
	after, priority := st.resyncAt.Sub(r.now()), new(handler.LowPriority)
	if poll > 0 && poll < after {
		after = poll
	}
	if replacing && awaitInterval < after {
		after = awaitInterval
	}
	if replacing || len(st.waiting) > 0 {
		priority = new(0)
	}
	return reconcile.Result{RequeueAfter: max(after, time.Millisecond), Priority: priority}
}

// awaitInterval is how often a replacement's health is looked at. AWS has no
// watch for it.
const awaitInterval = 2 * time.Second

func (r *Reconciler) accept(st *service, status *draft, problems []intent.Problem) {
	message := "The Service can be served as it is written."
	if len(problems) > 0 {
		message = listed(problems)
		r.say(status.of, st, eventWarnings, message)
	} else {
		delete(st.said, eventWarnings.reason)
	}
	delete(st.said, eventInvalid.reason)
	status.set(condAccepted, metav1.ConditionTrue, "Accepted", message)
}

func (status *draft) programmed(waiting bool) {
	if waiting {
		status.set(condProgrammed, metav1.ConditionFalse, "AwaitingTargets", "The old targets serve until the new ones are healthy.")
		return
	}
	status.set(condProgrammed, metav1.ConditionTrue, "Programmed", "The load balancer is as the Service wants it.")
}

func (r *Reconciler) consent(st *service, status *draft) {
	if len(st.blocked) == 0 {
		meta.RemoveStatusCondition(&status.Conditions, condReplacement)
		delete(st.said, eventConsent.reason)
		return
	}
	var lines []string
	for _, s := range st.blocked {
		lines = append(lines, fmt.Sprintf("%s; it disrupts: %s", s.Why, s.Disruption))
	}
	message := strings.Join(lines, ". ") + `. Set the annotation fairlead.io/allow-replacement to "true" to agree.`
	status.set(condReplacement, metav1.ConditionTrue, "ConsentNeeded", message)
	r.say(status.of, st, eventConsent, message)
}

// hostname is the DNS name to publish: the one that is published already as
// long as its load balancer exists.
func (r *Reconciler) hostname(svc *corev1.Service, st *service) string {
	balancers := slices.Concat(st.rec.Balancers, st.rec.Classic)
	for i, b := range balancers {
		published := slices.ContainsFunc(svc.Status.LoadBalancer.Ingress, func(in corev1.LoadBalancerIngress) bool { return in.Hostname == strings.ToLower(b.DNS) })
		if published || i == len(balancers)-1 {
			return b.DNS
		}
	}
	return ""
}

// ingress has a hostname and no address: with an address kube-proxy would
// short-circuit traffic from inside the cluster past the load balancer.
func ingress(svc *corev1.Service, dns string) corev1.LoadBalancerStatus {
	in := corev1.LoadBalancerIngress{Hostname: strings.ToLower(dns)}
	for _, p := range svc.Spec.Ports {
		in.Ports = append(in.Ports, corev1.PortStatus{Port: p.Port, Protocol: p.Protocol})
	}
	return corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{in}}
}

// publish writes a new load balancer's name at once.
func (r *Reconciler) publish(ctx context.Context, svc *corev1.Service, dns string) error {
	status := draftOf(svc)
	status.LoadBalancer = ingress(svc, dns)
	return r.writeStatus(ctx, status)
}

// refuse reports what is wrong with a Service. Its load balancer, when it has
// one, stays as it is, but for targets: nodes and pods come and go all the same.
func (r *Reconciler) refuse(ctx context.Context, svc *corev1.Service, st *service, w wish) (reconcile.Result, error) {
	status := draftOf(svc)
	message := listed(w.problems)
	status.set(condAccepted, metav1.ConditionFalse, "Invalid", message)
	status.set(condProgrammed, metav1.ConditionFalse, "Invalid", "Nothing is changed while the Service is invalid.")
	r.say(svc, st, eventInvalid, message)
	if err := r.writeStatus(ctx, status); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !intent.HasFinalizer(svc) || len(st.rec.Groups)+len(st.rec.Classic) == 0 || intent.DryRun(svc) {
		return reconcile.Result{}, nil
	}
	have, err := r.have(ctx, svc, st, w)
	if err != nil {
		return r.failed(ctx, svc, st, err)
	}
	p := plan.Diff(w.want, *have, plan.Policy{}).TargetsOnly()
	left := 0
	if _, err = r.apply(ctx, svc, st, p); err == nil && len(st.waiting) > 0 {
		_, left, err = r.look(ctx, svc, st, w.want)
	}
	switch {
	case err != nil:
		return r.failed(ctx, svc, st, err)
	case left > 0:
		return reconcile.Result{RequeueAfter: gatePoll}, nil
	}
	return reconcile.Result{}, nil
}

// failed turns an error into what the policy table says.
func (r *Reconciler) failed(ctx context.Context, svc *corev1.Service, st *service, err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: r.opts.RetryBase}, nil // the cache is behind; no news for anyone
	}
	if ctx.Err() != nil {
		return reconcile.Result{}, nil //nolint:nilerr // the process ends, and that is nobody's failure
	}
	class := classOf(err)
	p := policyOf(class)
	if !p.known {
		r.shared.Forget(0)
	}
	r.metrics.errors.WithLabelValues(string(class)).Inc()
	after := p.delay(st.failures, r.opts)
	st.failures++
	key := client.ObjectKeyFromObject(svc)
	r.log.Warn("service not reconciled", "service", key.String(), "class", class, "retryIn", after.Round(time.Millisecond).String(), "error", err)
	// What cures itself in a second or two is no news.
	if p.event || st.failures > 5 {
		r.say(svc, st, eventFailed, err.Error())
	}
	if svc.DeletionTimestamp.IsZero() {
		status := draftOf(svc)
		status.set(condProgrammed, metav1.ConditionFalse, p.condition, err.Error())
		before := svc.ResourceVersion
		if err := r.writeStatus(ctx, status); err != nil && client.IgnoreNotFound(err) != nil {
			r.log.Warn("status not written", "service", key.String(), "error", err)
		}
		if svc.ResourceVersion != before {
			st.told, st.retryAt = svc.ResourceVersion, r.now().Add(after)
		}
	}
	return reconcile.Result{RequeueAfter: after}, nil
}

// rest is how long a Service that failed has to wait yet when what woke it may be
// no more than the status that says so. One failure after the other would else
// be tried at once whenever their texts differ. Once only: anything else that
// happens is a reason to try.
func (st *service) rest(svc *corev1.Service, now time.Time) time.Duration {
	own := svc.ResourceVersion == st.told
	st.told = ""
	if !own {
		return 0
	}
	return st.retryAt.Sub(now)
}

// clearStatus takes from a Service that lives on what it no longer has.
func (r *Reconciler) clearStatus(ctx context.Context, svc *corev1.Service) error {
	if !svc.DeletionTimestamp.IsZero() {
		return nil
	}
	status := draftOf(svc)
	status.LoadBalancer = corev1.LoadBalancerStatus{}
	for _, c := range []string{condAccepted, condProgrammed, condHealthy, condReplacement, condDryRun, condDrifted} {
		meta.RemoveStatusCondition(&status.Conditions, c)
	}
	return r.writeStatus(ctx, status)
}

// draft is the status that a Service is to have.
type draft struct {
	corev1.ServiceStatus
	of *corev1.Service
}

func draftOf(svc *corev1.Service) *draft { return &draft{*svc.Status.DeepCopy(), svc} }

func (status *draft) set(kind string, value metav1.ConditionStatus, reason, message string) {
	message = clip(message, maxMessage)
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: status.of.Generation,
	})
}

// writeStatus patches what differs. Conditions are merged by type, so that
// those of others stay.
func (r *Reconciler) writeStatus(ctx context.Context, status *draft) error {
	svc := status.of
	if equality.Semantic.DeepEqual(status.ServiceStatus, svc.Status) {
		return nil
	}
	changed := svc.DeepCopy()
	changed.Status = status.ServiceStatus
	if err := r.client.Status().Patch(ctx, changed, client.StrategicMergeFrom(svc.DeepCopy())); err != nil {
		return fmt.Errorf("write the status of Service %s/%s: %w", svc.Namespace, svc.Name, err)
	}
	changed.DeepCopyInto(svc)
	return nil
}

func listed(problems []intent.Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = string(p.Severity) + ": " + p.String()
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%d problems: %s", len(lines), strings.Join(lines, "; "))
}

func sortedStrings(s []string) []string { slices.Sort(s); return s }
