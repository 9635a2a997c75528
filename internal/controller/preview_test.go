package controller

import (
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/intent"
)

const manifest = `apiVersion: v1
kind: Service
metadata:
  name: nginx
  namespace: default
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-type: nlb
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: nginx}
  ports:
  - {name: http, port: 80, protocol: TCP}
`

func (w *world) preview(text string) Preview {
	w.t.Helper()
	p, err := PlanFor(w.t.Context(), Config{Options: w.r.opts, Kube: cluster.Config, API: w.r.api}, []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestAPreviewIsWhatTheControllerThenDoes(t *testing.T) {
	w := newWorld(t)
	p := w.preview(manifest)
	if len(p.Plan.Steps) != 6 || len(p.Problems) != 0 {
		t.Errorf("a new Service: %s, problems %v", p.Plan.Text(), p.Problems)
	}
	w.create(post("nginx"))
	w.settle("nginx")
	if p := w.preview(manifest); !p.Plan.Empty() || p.New {
		t.Errorf("an unchanged Service: new %t, plan %s", p.New, p.Plan.Text())
	}
	changed := strings.Replace(manifest, "type: nlb", "type: nlb\n    "+prefix+"scheme: internal\n    "+prefix+"healthcheck-interval: \"5\"", 1)
	p = w.preview(changed)
	if len(p.Plan.Steps) != 1 || len(p.Plan.Blocked) != 1 {
		t.Errorf("a changed Service: %s", p.Plan.Text())
	}
	w.aws.take()
	p = w.preview(strings.Replace(manifest, "type: nlb", "type: nbl", 1))
	if len(intent.Errors(p.Problems)) != 1 {
		t.Errorf("a misspelt type: problems %v", p.Problems)
	}
	for _, c := range w.aws.take() {
		if !strings.HasPrefix(c, "Describe") {
			t.Errorf("a preview writes: %s", c)
		}
	}
}

func TestAPreviewIsOfTheOneServiceInAManifest(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: nginx}\n"
	tests := map[string]struct{ manifest, problem string }{
		"a Service":                   {manifest, ""},
		"with a Deployment before it": {deployment + "---\n" + manifest, ""},
		"with an empty document":      {"# nginx\n---\n" + manifest + "---\n", ""},
		"as JSON":                     {`{"apiVersion": "v1", "kind": "Service"}`, ""},
		"two Services":                {manifest + "---\n" + manifest, "it holds 2 Services, want one"},
		"no Service":                  {deployment, `it holds kind "Deployment" of apiVersion "apps/v1", want a document of kind "Service" and apiVersion "v1"`},
		"a Service without a version": {"kind: Service\n", `it holds kind "Service" of apiVersion "", want a document of kind "Service" and apiVersion "v1"`},
		"nothing":                     {"", `it holds nothing, want a document of kind "Service" and apiVersion "v1"`},
		"what is not YAML":            {"kind: [", "error converting YAML to JSON: yaml: line 1: did not find expected node content"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			document, err := serviceIn([]byte(tt.manifest))
			switch {
			case tt.problem == "" && (err != nil || !strings.Contains(string(document), "Service")):
				t.Errorf("%q, %v", document, err)
			case tt.problem != "" && (err == nil || err.Error() != tt.problem):
				t.Errorf("error %v, want %s", err, tt.problem)
			}
		})
	}
}
