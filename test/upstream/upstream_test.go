//go:build e2e

// Package upstream_test runs Kubernetes' own LoadBalancer specs in a lab, and
// writes down what became of each: docs/reference/e2e.md.
//
// The specs are those of the Kubernetes release that kube/go.mod names,
// unmodified. They name no class; a policy of the lab's API server stamps it.
package upstream_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/config"
	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/lab/labtest"
)

var (
	runner = flag.String("runner", "", "the specs' program, as kube/e2e/build.sh prints it (required)")
	only   = flag.String("spec", "", "regular expression of the specs to run; empty: all, and the page is written anew")
	atOnce = flag.Int("at-once", 4, "specs that run at the same time")
	logs   = flag.String("logs", "", "directory that the specs' logs are kept in; empty: those of failures are shown, none is kept")
)

//go:embed dualstack.yaml
var dualStack string

// exceptions are the specs that do not pass, with why. They need a load balancer
// whose status has an address.
var exceptions = []struct{ spec, state, why string }{
	{"Local [Feature:LoadBalancer] [Slow] should work for type=LoadBalancer", "skipped", "skips itself where the status has a hostname: an address there would lead kube-proxy past the load balancer"},
	{"should work from pods", "skipped", "skips itself where the status has a hostname: an address there would lead kube-proxy past the load balancer"},
	{"should be able to preserve UDP traffic when server pod cycles for a LoadBalancer service on different nodes", "failed", "takes the name in the status for an IP address, and dials none"},
	{"should be able to preserve UDP traffic when server pod cycles for a LoadBalancer service on the same nodes", "failed", "takes the name in the status for an IP address, and dials none"},
}

// expected is what a spec should end in, and why when it is not "passed".
func expected(spec string) (state, why string) {
	for _, e := range exceptions {
		if strings.HasSuffix(spec, e.spec) || strings.HasSuffix(spec, e.spec+" [Slow]") {
			return e.state, e.why
		}
	}
	return "passed", ""
}

// report is the part of Ginkgo's JSON report that is read.
type report struct{ SpecReports []specReport }

type specReport struct {
	ContainerHierarchyTexts []string
	LeafNodeText            string
	LeafNodeType            string
	State                   string
	RunTime                 time.Duration
	Failure                 struct{ Message string }
}

func (s specReport) text() string {
	return strings.Join(append(slices.Clone(s.ContainerHierarchyTexts), s.LeafNodeText), " ")
}

func TestUpstreamSpecs(t *testing.T) {
	if *runner == "" {
		t.Fatal("-runner is missing; run 'make e2e-upstream', which builds it")
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	specs := slices.DeleteFunc(list(t), func(s string) bool { return !wanted.MatchString(s) })
	l := labtest.Up(t, "e2e", func(o *lab.Options) {
		// Session affinity, which specs ask for, holds within a zone: each has its own address.
		o.Zones = o.Zones[:1]
	})
	admit(t, l)
	results := runAll(t, l, specs)
	for _, r := range results {
		state, why := expected(r.text())
		if r.State != state {
			t.Errorf("%s: %s, want %s (%s)\n%s", r.text(), r.State, state, why, r.Failure.Message)
		}
	}
	if *only == "" && !t.Failed() {
		write(t, results)
	}
}

// list are the texts of all specs.
func list(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.CommandContext(t.Context(), *runner, "-ginkgo.dry-run", "-ginkgo.json-report="+path, "-kubeconfig="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("list the specs: %v\n%s", err, out)
	}
	found, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, s := range found {
		texts = append(texts, s.text())
	}
	slices.Sort(texts)
	return texts
}

// read are the specs of a report that were chosen.
func read(path string) (out []specReport, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []report
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, r := range all {
		for _, s := range r.SpecReports {
			chosen := s.State != "skipped" || s.Failure.Message != "" // others are skipped without a word
			if s.LeafNodeType == "It" && chosen {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// admit has the API server stamp the class, as on any cluster that wants so.
func admit(t *testing.T, l *labtest.Lab) {
	t.Helper()
	l.Apply(t, strings.Replace(config.ClassPolicy, "default: fairlead.io/classic", "default: fairlead.io/nlb", 1))
	l.Apply(t, dualStack)
	labtest.Until(t, "policies in force", func() (string, bool) {
		seen := l.Run(t, "kubectl", "create", "service", "loadbalancer", "probe", "--tcp=80", "--dry-run=server", "-o", "jsonpath={.spec.loadBalancerClass} {.spec.ipFamilyPolicy}")
		return seen, seen == "fairlead.io/nlb PreferDualStack"
	})
}

// runAll runs each spec as a process of its own, some at the same time.
func runAll(t *testing.T, l *labtest.Lab, specs []string) []specReport {
	t.Helper()
	dir := *logs
	if dir == "" {
		dir = t.TempDir()
	}
	results := make([]specReport, len(specs))
	turn := make(chan struct{}, *atOnce)
	var running sync.WaitGroup
	for i, spec := range specs {
		running.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			results[i] = runOne(t, l, spec, filepath.Join(dir, fmt.Sprintf("%02d", i)))
		})
	}
	running.Wait()
	return results
}

// specTimeout is more than any of the specs may take by its own timeouts.
const specTimeout = 30 * time.Minute

func runOne(t *testing.T, l *labtest.Lab, spec, path string) specReport {
	ctx, cancel := context.WithTimeout(t.Context(), specTimeout)
	defer cancel()
	cmd := l.Command(ctx, "fairlead-lab", "exec", "client", "--", *runner,
		"-ginkgo.v", "-ginkgo.no-color", "-ginkgo.focus="+regexp.QuoteMeta(spec), "-ginkgo.json-report="+path+".json",
		"-provider=skeleton", "-kubeconfig="+filepath.Join(l.StateDir(), "kubeconfig", "internal.yaml"),
		"-kubectl-path="+filepath.Join(l.StateDir(), "bin", "kubectl"), "-dump-logs-on-failure=false")
	out, err := cmd.CombinedOutput()
	if err := os.WriteFile(path+".log", out, 0o644); err != nil {
		t.Error(err)
	}
	found, readErr := read(path + ".json")
	if readErr != nil || len(found) != 1 {
		lost := specReport{LeafNodeText: spec, State: "lost"}
		lost.Failure.Message = fmt.Sprintf("%d specs in the report (%v); the program ended with %v\n%s", len(found), readErr, err, ending(out))
		return lost
	}
	r := found[0]
	state, why := expected(spec)
	switch {
	case r.State != state:
		why = ", and was to be " + state + "; the end of its log:\n" + ending(out)
	case why != "":
		why = ", as expected: it " + why
	}
	t.Logf("%s in %v: %s%s", r.State, r.RunTime.Round(time.Second), spec, why)
	return r
}

// ending is the last part of a log.
func ending(log []byte) string {
	const most = 6000
	return string(log[max(0, len(log)-most):])
}
