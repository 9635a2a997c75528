// Package controller keeps the load balancers of Services as the Services want
// them: observe → intent → plan → apply → status, once per change.
//
// Invariants: a Service whose inputs have not changed costs no AWS call, also
// after a restart. Names are on record before what they name is created. Our
// finalizer goes when nothing of the Service is left in AWS, and not before.
// One worker at a time has a Service; what Services share has its own lock.
package controller

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// Options are what a Reconciler is told.
type Options struct {
	Cluster       string
	VPCID         string // of the load balancers; target groups that others made have to be in it
	TakeUnclassed bool
	Defaults      intent.Defaults
	Sweep         time.Duration // how often all Services are compared with AWS in batches; 0: never
	Resync        time.Duration // how often a Service is compared with AWS by itself, targets and attributes too
	RetryBase     time.Duration // first delay after an error; it doubles up to RetryMax
	RetryMax      time.Duration
}

// Reconciler reconciles Services.
type Reconciler struct {
	client  client.Client
	api     cloud.API
	shared  *shared
	events  events.EventRecorder
	log     *slog.Logger
	metrics *metrics
	opts    Options
	now     func() time.Time

	swept  atomic.Pointer[sweep] // the last one
	strays map[string]string     // that the last sweep told of: their Services by ARN or ID

	mu       sync.Mutex // guards services
	services map[types.NamespacedName]*service

	gates      gates
	references references
}

// service is what a Reconciler knows about a Service beyond what the API
// server tells. It is fresher than the cache: this process wrote it.
type service struct {
	uid      types.UID
	wanted   string // the load balancer name that the user asks for; guarded by the Reconciler's mu
	rec      record
	have     *plan.Observed // nil: not known
	believed bool           // have is the record's word alone
	lost     bool           // the finalizer says that there is a record, and there is none
	found    bool           // what a lost record told has been found by its tags
	removed  bool           // everything is gone, finalizers too
	blocked  []plan.Step
	drift    drift
	failures int
	told     string    // resource version of the status that tells of the last failure
	retryAt  time.Time // when the failure is tried again
	settling settling
	waiting  []*corev1.Pod     // pods that wait for the health of their targets
	said     map[string]string // events by reason, to send each once
	resyncAt time.Time
	sweptAt  time.Time // of the last sweep that was looked at
	worked   time.Time // when AWS was last written to for it
	since    time.Time // when the change that is under way was first seen
}

// Reconcile brings one Service's load balancer to what the Service wants.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	svc := &corev1.Service{}
	if err := r.client.Get(ctx, req.NamespacedName, svc); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if svc.DeletionTimestamp.IsZero() && intent.ClaimOf(svc, r.opts.TakeUnclassed) != intent.NotOurs {
		return r.ensure(ctx, svc, r.service(svc))
	}
	if !intent.HasFinalizer(svc) {
		r.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	return r.remove(ctx, svc, r.service(svc))
}

// service is the memory of a Service, a new one when the Service is new to this
// process or another one of the same name.
func (r *Reconciler) service(svc *corev1.Service) *service {
	st, met := r.meet(svc)
	if !met && intent.HasFinalizer(svc) {
		r.shared.Hold(svc.UID, true) // may wait for a call of another Service's, so mu is free
	}
	return st
}

// meet says whether the Service is known already.
func (r *Reconciler) meet(svc *corev1.Service) (st *service, met bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(svc)
	r.references.set(key, intent.Backends(svc))
	if st := r.services[key]; st != nil && st.uid == svc.UID {
		st.wanted = intent.WantedName(svc)
		return st, true
	}
	rec, ok := readRecord(svc)
	st = &service{
		uid: svc.UID, wanted: intent.WantedName(svc), rec: rec, lost: !ok && intent.HasFinalizer(svc), said: map[string]string{},
		resyncAt: r.now().Add(time.Duration(rand.Int64N(int64(r.opts.Resync) + 1))),
	}
	st.settling.resume(svc)
	r.services[key] = st
	return st, false
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.services, key)
	r.gates.forget(key)
	r.metrics.targets.report(key, nil)
	r.references.set(key, nil)
}

// owned are the Services that this process works for.
func (r *Reconciler) owned() []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make([]types.NamespacedName, 0, len(r.services))
	for k := range r.services {
		keys = append(keys, k)
	}
	return keys
}

func (r *Reconciler) ensure(ctx context.Context, svc *corev1.Service, st *service) (reconcile.Result, error) {
	st.removed = false
	if left := st.rest(svc, r.now()); left > 0 {
		return reconcile.Result{RequeueAfter: left}, nil
	}
	if r.now().After(st.resyncAt) && intent.DriftPolicyOf(svc) == intent.IgnoreDrift {
		st.resyncAt = r.now().Add(jitter(r.opts.Resync))
	}
	w, err := r.wish(ctx, svc, st)
	if err != nil {
		return r.failed(ctx, svc, st, err)
	}
	if len(intent.Errors(w.problems)) > 0 {
		return r.refuse(ctx, svc, st, w)
	}
	if intent.DryRun(svc) {
		return r.rehearse(ctx, svc, st, w)
	}
	if w.instead == nil && r.differs(ctx, svc, st, w.want) {
		st.resyncAt = r.now().Add(-time.Nanosecond)
		return reconcile.Result{RequeueAfter: time.Millisecond, Priority: new(handler.LowPriority)}, nil
	}
	waiting, err := r.converge(ctx, svc, st, w)
	if wrong, ok := errors.AsType[*errForeign](err); ok {
		w.problems = slices.Concat(wrong.problems, w.problems)
		result, err := r.refuse(ctx, svc, st, w)
		result.RequeueAfter = cmp.Or(result.RequeueAfter, policyOf(cloud.Invalid).after) // nothing tells of a group that is made
		return result, err
	}
	if err != nil {
		return r.failed(ctx, svc, st, err)
	}
	st.failures = 0
	return r.succeed(ctx, svc, st, outcome{want: w.want, problems: w.problems, waiting: waiting})
}

// converge makes what is wanted, and keeps the record on the way. It does
// nothing when the record tells of exactly what is wanted.
func (r *Reconciler) converge(ctx context.Context, svc *corev1.Service, st *service, w wish) (waiting bool, err error) {
	resync := r.now().After(st.resyncAt)
	if settled := !st.lost && w.instead == nil && st.rec.done(w.want, w.stack); settled && !resync {
		st.believe(w.want)
		return false, nil
	} else if settled && intent.DriftPolicyOf(svc) == intent.ReportDrift {
		return false, r.compare(ctx, svc, st, w.want)
	}
	if resync {
		st.have = nil
		st.rec.Stack = ""
		r.shared.Forget(sharedAge)
		if _, err := r.sharedBackend(ctx, w.want); err != nil {
			return false, err
		}
	}
	if st.since.IsZero() {
		st.since = r.now()
	}
	r.shared.Hold(svc.UID, false)
	if w.want, err = r.resolve(ctx, st, w.want); err != nil {
		return false, err
	}
	if unshared(st.have, w.want) {
		st.have = nil
	}
	have, err := r.have(ctx, svc, st, w)
	if err != nil {
		return false, err
	}
	share(have, w.want)
	p := w.plan(*have, plan.Policy{AllowReplacement: intent.AllowReplacement(svc)})
	st.blocked = p.Blocked
	if waiting, err = r.apply(ctx, svc, st, p); err != nil {
		return false, err
	}
	rec := st.rec.now(*st.have)
	rec.Subnets = w.pinned
	if !waiting && len(p.Blocked) == 0 {
		rec = rec.end(w, *st.have)
		r.metrics.converged.Observe(r.now().Sub(st.since).Seconds())
		st.since = time.Time{}
	}
	if resync {
		st.resyncAt = r.now().Add(jitter(r.opts.Resync))
	}
	return waiting, r.save(ctx, svc, st, rec)
}

// believe remembers what the record of a settled Service tells, targets
// included: the first change after a restart need not read it from AWS then.
func (st *service) believe(want lb.Stack) {
	if st.have != nil || unresolved(want) {
		return
	}
	if have, ok := st.rec.recall(want); ok {
		st.have, st.believed = &have, true
	}
}

// sharedBackend repairs the shared group and the nodes' rule when the Service
// uses them.
func (r *Reconciler) sharedBackend(ctx context.Context, want lb.Stack) (string, error) {
	if !want.Backend {
		return "", nil
	}
	return r.shared.Backend(ctx)
}

// have is what there is, with what a plan has to know of the network.
func (r *Reconciler) have(ctx context.Context, svc *corev1.Service, st *service, w wish) (*plan.Observed, error) {
	have, err := r.known(ctx, svc, st, w)
	if err != nil {
		return nil, err
	}
	return have, r.locate(ctx, w.want, have)
}

// known is what there is: as remembered, as the record has it, or as AWS says.
func (r *Reconciler) known(ctx context.Context, svc *corev1.Service, st *service, w wish) (*plan.Observed, error) {
	if known := st.have != nil; known && (!st.believed || st.rec.Stack == w.stack) {
		return st.have, nil // the record's word is good enough for targets only
	}
	if !st.lost && !intent.HasFinalizer(svc) && st.rec.empty() {
		st.have = &plan.Observed{}
		return st.have, nil
	}
	if st.rec.Stack == w.stack {
		have, err := r.recall(ctx, st, w.want)
		if err != nil || have != nil {
			st.have, st.believed = have, true
			return have, err
		}
	}
	o := observer{api: r.api, shared: r.shared, owner: intent.OwnerOf(r.opts.Cluster, svc), rec: st.rec, want: w.want}
	have, err := o.observe(ctx)
	if err != nil {
		return nil, err
	}
	st.have, st.lost, st.believed = &have, false, false
	return st.have, nil
}

// recall takes the record's word for all but the targets of groups that have
// no valid fingerprint; those it asks AWS about. It is nil when the record
// cannot be believed.
func (r *Reconciler) recall(ctx context.Context, st *service, want lb.Stack) (*plan.Observed, error) {
	have, ok := st.rec.recall(want)
	if !ok {
		return nil, nil
	}
	for i := range have.TargetGroups {
		g := &have.TargetGroups[i]
		if e := find(st.rec.Groups, g.Name); e.Targets == fingerprint(g.Targets) {
			continue
		}
		targets, err := registered(ctx, r.api, g.ARN)
		if cloud.Is(err, cloud.NotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if g.Targets = targets; g.Shared {
			g.Targets = st.rec.owned(g.Name, targets, wantedTargets(want, g.Name))
		}
	}
	for i := range have.Classic {
		if exists, err := r.recallInstances(ctx, st.rec, &have.Classic[i]); err != nil || !exists {
			return nil, err
		}
	}
	return &have, nil
}

// apply executes a plan between two records.
func (r *Reconciler) apply(ctx context.Context, svc *corev1.Service, st *service, p plan.Plan) (waiting bool, err error) {
	if p.Empty() {
		return false, nil
	}
	if p.Creates() {
		r.say(svc, st, eventEnsuring, "Ensuring load balancer")
	}
	if err := r.save(ctx, svc, st, st.rec.begin(p).claim(p, *st.have)); err != nil {
		return false, err
	}
	st.worked = r.now()
	have := *st.have
	e := executor{
		api: r.api, shared: r.shared, have: &have, uid: svc.UID, first: intent.OwnerOf(r.opts.Cluster, svc).FrontendName(),
		done: func(s plan.Step) {
			r.metrics.steps.WithLabelValues(string(s.Action)).Inc()
			r.log.Info("step done", "service", client.ObjectKeyFromObject(svc), "step", s.String())
		},
		publish: func(ctx context.Context, dns string) error { return r.publish(ctx, svc, dns) },
	}
	waiting, err = e.run(ctx, p.Steps)
	st.have, st.worked = &have, r.now()
	st.settling.changed(p, r.now())
	if err == nil {
		return waiting, nil
	}
	if !keepsState(cloud.ClassOf(err)) || sharesTargets(have) {
		st.have = nil
	}
	// Best effort: the record already holds all names.
	if saveErr := r.save(ctx, svc, st, st.rec.now(have)); saveErr != nil {
		r.log.Warn("record not written", "service", client.ObjectKeyFromObject(svc), "error", saveErr)
	}
	return false, err
}

func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }
