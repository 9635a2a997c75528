package controller

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// rehearse tells what would be done for a Service and does none of it: it reads
// from AWS, and writes to the Service's status only.
func (r *Reconciler) rehearse(ctx context.Context, svc *corev1.Service, st *service, w wish) (reconcile.Result, error) {
	if r.now().After(st.resyncAt) {
		st.have, st.rec.Stack = nil, ""
		st.resyncAt = r.now().Add(jitter(r.opts.Resync))
	}
	var err error
	if w.want, err = r.resolve(ctx, st, w.want); err != nil {
		return r.failed(ctx, svc, st, err)
	}
	have, err := r.have(ctx, svc, st, w)
	if err != nil {
		return r.failed(ctx, svc, st, err)
	}
	st.failures = 0
	p := w.plan(*have, plan.Policy{AllowReplacement: intent.AllowReplacement(svc)})
	text := strings.TrimSpace(p.Text())
	status := draftOf(svc)
	r.accept(st, status, w.problems)
	status.set(condDryRun, metav1.ConditionTrue, "Planned", text)
	if p.Empty() && len(p.Blocked) == 0 {
		status.programmed(false)
	} else {
		status.set(condProgrammed, metav1.ConditionFalse, "DryRun", "The plan is in the condition DryRun. Remove the annotation fairlead.io/dry-run to have it carried out.")
	}
	r.say(svc, st, eventDryRun, text)
	if err := r.writeStatus(ctx, status); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	return reconcile.Result{RequeueAfter: st.resyncAt.Sub(r.now())}, nil
}

// acts takes away what a dry run left.
func (r *Reconciler) acts(st *service, status *draft) {
	meta.RemoveStatusCondition(&status.Conditions, condDryRun)
	delete(st.said, eventDryRun.reason)
}
