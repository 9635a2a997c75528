package controller

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// drift is what a comparison with AWS found for a Service that has not changed.
type drift struct {
	compared bool   // in this pass
	text     string // the plan that would repair it; empty when there is none
}

// compare looks at AWS and keeps what differs for the status. What the record
// tells stays what further plans start from: a change of the Service changes
// what it asks for and does not repair the rest on the way.
func (r *Reconciler) compare(ctx context.Context, svc *corev1.Service, st *service, want lb.Stack) error {
	want, err := r.resolve(ctx, st, want)
	if err != nil {
		return err
	}
	o := observer{api: r.api, shared: r.shared, owner: intent.OwnerOf(r.opts.Cluster, svc), rec: st.rec, want: want}
	have, err := o.observe(ctx)
	if err != nil {
		return err
	}
	st.resyncAt = r.now().Add(jitter(r.opts.Resync))
	st.drift = drift{compared: true}
	if p := plan.Diff(want, have, plan.Policy{}); !p.Empty() || len(p.Blocked) > 0 {
		st.drift.text = strings.TrimSpace(p.Text())
	}
	return nil
}

// drifted writes what the last comparison found. Between comparisons the
// condition stays as it is; where drift is not reported there is none.
func (r *Reconciler) drifted(st *service, status *draft) {
	found := st.drift
	st.drift = drift{}
	switch {
	case intent.DriftPolicyOf(status.of) != intent.ReportDrift, found.compared && found.text == "":
		meta.RemoveStatusCondition(&status.Conditions, condDrifted)
		delete(st.said, eventDrifted.reason)
	case found.compared:
		message := "AWS differs from what was made. To repair it:\n" + found.text
		status.set(condDrifted, metav1.ConditionTrue, "Reported", message)
		r.say(status.of, st, eventDrifted, message)
	}
}
