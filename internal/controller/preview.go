package controller

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/internal/intent"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// Preview is what the controller would do for a Service.
type Preview struct {
	Service  string           `json:"service"` // namespace/name
	New      bool             `json:"new"`     // the Service does not exist: names in the plan have another hash once it does
	Claim    intent.Claim     `json:"-"`
	Problems []intent.Problem `json:"problems,omitempty"`
	Plan     plan.Plan        `json:"plan"`
}

// PlanFor says what the controller would do if this manifest of a Service were
// applied. It reads from the cluster and from AWS and changes nothing: the API
// server fills in defaults and node ports in a dry run.
func PlanFor(ctx context.Context, cfg Config, manifest []byte) (Preview, error) {
	r, err := reader(cfg)
	if err != nil {
		return Preview{}, err
	}
	svc, err := r.dryRun(ctx, manifest)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{Service: svc.Namespace + "/" + svc.Name, New: svc.ResourceVersion == "", Claim: intent.ClaimOf(svc, cfg.TakeUnclassed)}
	if out.Claim == intent.NotOurs {
		return out, nil
	}
	st := r.service(svc)
	w, err := r.wish(ctx, svc, st)
	if err != nil {
		return out, err
	}
	if out.Problems = w.problems; len(intent.Errors(w.problems)) > 0 {
		return out, nil
	}
	if w.want, err = r.resolve(ctx, st, w.want); err != nil {
		return out, err
	}
	have, err := r.have(ctx, svc, st, w)
	if err != nil {
		return out, err
	}
	out.Plan = w.plan(*have, plan.Policy{AllowReplacement: intent.AllowReplacement(svc)})
	return out, nil
}

// reader is a Reconciler that asks the API server itself and never runs.
func reader(cfg Config) (*Reconciler, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c, err := client.New(cfg.Kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	cfg.Resync = time.Hour
	return &Reconciler{
		client: c, api: cfg.API, shared: newShared(cfg.API, cfg.Cluster, holders(c)), log: slog.New(slog.DiscardHandler),
		metrics: newMetrics(nil), opts: cfg.Options, now: time.Now, services: map[types.NamespacedName]*service{},
	}, nil
}

// dryRun is the Service as it would be after an apply.
func (r *Reconciler) dryRun(ctx context.Context, manifest []byte) (*corev1.Service, error) {
	document, err := serviceIn(manifest)
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	svc := &corev1.Service{}
	if err := yaml.UnmarshalStrict(document, svc); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if svc.Namespace == "" {
		svc.Namespace = corev1.NamespaceDefault
	}
	body, err := yaml.YAMLToJSON(document)
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	err = r.client.Patch(ctx, svc, client.RawPatch(types.ApplyPatchType, body), client.DryRunAll, client.ForceOwnership, client.FieldOwner("fairlead-plan"))
	if err != nil {
		return nil, fmt.Errorf("apply the manifest in a dry run: %w", err)
	}
	return svc, nil
}

// serviceIn is the one Service among the documents of a manifest, which may hold
// the Deployment behind it as well.
func serviceIn(manifest []byte) ([]byte, error) {
	var services [][]byte
	var others []string
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var of metav1.TypeMeta
		if err := yaml.Unmarshal(document, &of); err != nil {
			return nil, err
		}
		switch {
		case of.Kind == "Service" && of.APIVersion == "v1":
			services = append(services, document)
		case of != metav1.TypeMeta{}:
			others = append(others, fmt.Sprintf("kind %q of apiVersion %q", of.Kind, of.APIVersion))
		}
	}
	switch {
	case len(services) == 1:
		return services[0], nil
	case len(services) > 1:
		return nil, fmt.Errorf("it holds %d Services, want one", len(services))
	case len(others) > 0:
		return nil, fmt.Errorf(`it holds %s, want a document of kind "Service" and apiVersion "v1"`, strings.Join(others, ", "))
	}
	return nil, errors.New(`it holds nothing, want a document of kind "Service" and apiVersion "v1"`)
}
