package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbv2types "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// sharing is a Service in whose target groups others register targets too.
func sharing(name string) *corev1.Service {
	return annotated(post(name), "multi-cluster-target-group", "true")
}

// acting is a Service with an action for its port.
func acting(svc *corev1.Service, action string) *corev1.Service {
	svc.Annotations[action80] = action
	return svc
}

// stranger is a target that another cluster registers: an instance that is no
// node here.
const stranger = "i-00000000000000003"

func (w *world) addStranger() {
	w.t.Helper()
	target := elbv2types.TargetDescription{Id: aws.String(stranger), Port: aws.Int32(31000)}
	_, err := w.elb.RegisterTargets(w.t.Context(), &elbv2sdk.RegisterTargetsInput{TargetGroupArn: &w.groups()[0].ARN, Targets: []elbv2types.TargetDescription{target}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// instances are the instances that are registered in the only target group.
func (w *world) instances() (out []string) {
	w.t.Helper()
	targets, err := registered(w.t.Context(), w.api, w.groups()[0].ARN)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, t := range targets {
		out = append(out, strings.TrimLeft(t.ID, "i-0")+map[bool]string{true: "!"}[t.Port == 31000])
	}
	slices.Sort(out)
	return out
}

func wantsStranger(w *world) {
	if !slices.Contains(w.instances(), "3!") {
		w.t.Errorf("targets %v: that of another cluster is gone; events %v", w.instances(), w.notes.list())
	}
}

func TestTargetsOfOthersAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.create(sharing("nginx"))
	w.settle("nginx")
	w.addStranger()
	step := func(what string, instances, calls []string) {
		t.Helper()
		w.settle("nginx")
		if diff := cmp.Diff(instances, w.instances()); diff != "" {
			t.Errorf("%s: targets (-want +got):\n%s", what, diff)
		}
		if diff := cmp.Diff(calls, writing(w.aws.take()), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", what, diff)
		}
		w.checkConverged(what)
		w.aws.take()
	}
	w.aws.take()
	step("nothing changed", []string{"1", "2", "3!"}, nil)
	w.removeNode(2)
	step("a node leaves", []string{"1", "3!"}, []string{"DeregisterTargets"})
	w.restart()
	w.addNode(2)
	step("it is back, new process", []string{"1", "2", "3!"}, []string{"RegisterTargets"})
	w.removeNode(1)
	w.restart()
	w.now = w.now.Add(2 * resync)
	step("a node leaves before all is compared with AWS", []string{"2", "3!"}, []string{"DeregisterTargets"})
	w.removeNode(2)
	step("no nodes", []string{"3!"}, []string{"DeregisterTargets"})
	w.addNode(1)
	step("a node", []string{"1", "3!"}, []string{"RegisterTargets"})
	w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, prefix+"multi-cluster-target-group") })
	step("no longer shared", []string{"1"}, []string{"DeregisterTargets"})
	w.update("nginx", func(s *corev1.Service) { annotated(s, "multi-cluster-target-group", "true") })
	step("shared again", []string{"1"}, nil)
	w.addStranger()
	w.removeNode(1)
	step("what was registered before is the Service's own", []string{"3!"}, []string{"DeregisterTargets"})
	w.leavesNothing("nginx")
}

// What counts for the status of the Service are its own targets.
func TestTheHealthOfTargetsOfOthersIsNotTheServices(t *testing.T) {
	w := newWorld(t)
	w.create(sharing("nginx"))
	w.settle("nginx")
	w.addStranger()
	w.addNode(3)
	w.settle("nginx")
	if c := w.condition("nginx", condHealthy); !strings.Contains(c.Message, "http: 3 of 3 healthy") {
		t.Errorf("condition %+v", c)
	}
}

// The record of a Service fits into its annotations, however many targets it has.
func TestMarksOfTargetsAreShortAndTellTargetsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) lb.Target {
			return lb.Target{ID: fmt.Sprintf("i-%017x", rapid.IntRange(0, 2000).Draw(t, "id")), Port: rapid.Uint16().Draw(t, "port")}
		}), 0, 40, rapid.ID).Draw(t, "targets")
		n := rapid.IntRange(0, len(some)).Draw(t, "own")
		rec := record{Groups: []recorded{{Name: "g", Own: ownMarks(some[:n]...)}}}
		if got := rec.owned("g", some, nil); !slices.Equal(got, some[:n]) || len(rec.Groups[0].Own) != ownWidth*n {
			t.Fatalf("of %v the first %d are its own, got %v; %d characters", some, n, got, len(rec.Groups[0].Own))
		}
	})
	most := make([]lb.Target, 3000)
	for i := range most {
		most[i] = lb.Target{ID: fmt.Sprintf("2001:db8::%x", i), Port: 80}
	}
	const limit = 256 << 10 // of all annotations together
	if n := 2 * len(ownMarks(most...)); n > limit/4 {
		t.Errorf("the marks of twice as many targets as a load balancer may have take %d bytes, want %d at most", n, limit/4)
	}
}
