package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

// derived are names that follow from the Service alone. Their hash holds its
// UID, so what bears one was made for it: whoever may edit the Service, and the
// record with it, cannot make somebody else's resource bear one.
type derived map[string]bool

// derived are the names of what the Service wants; none when the user chose the
// load balancer's name, or when it is not known what the Service wants. None
// either once a plan has begun: what its deletion took away already is to be
// left out, for AWS denies what the controller may only do with tags of its own.
func (r *Reconciler) derived(ctx context.Context, svc *corev1.Service, st *service) derived {
	if intent.WantedName(svc) != "" || st.lost || st.rec.Stack == "" {
		return nil
	}
	w, err := r.wish(ctx, svc, st)
	if err != nil {
		return nil // tags tell as well
	}
	d := derived{networkName(w.want): true}
	for _, g := range w.want.TargetGroups {
		d[g.Name] = true
	}
	return d
}

// prove says that a load balancer or target group on record is the Service's own.
func (d derived) prove(e recorded) bool {
	_, name := partsOf(e.ID)
	return name != "" && name == e.Name && d[name]
}
