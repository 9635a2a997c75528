package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbv2types "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

const action80 = "service.beta.kubernetes.io/actions.TCP-80"

// foreignGroup is the name of a target group that is nobody's here.
const foreignGroup = "foreign"

// makeForeign makes a target group as someone else would; its ARN.
func (w *world) makeForeign(change func(*elbv2sdk.CreateTargetGroupInput)) string {
	w.t.Helper()
	in := &elbv2sdk.CreateTargetGroupInput{Name: aws.String(foreignGroup), Protocol: elbv2types.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: aws.String("vpc-1"), TargetType: elbv2types.TargetTypeEnumIp}
	if change != nil {
		change(in)
	}
	out, err := w.elb.CreateTargetGroup(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	arn := out.TargetGroups[0].TargetGroupArn
	target := elbv2types.TargetDescription{Id: aws.String("198.18.16.99"), Port: aws.Int32(80)}
	if _, err := w.elb.RegisterTargets(w.t.Context(), &elbv2sdk.RegisterTargetsInput{TargetGroupArn: arn, Targets: []elbv2types.TargetDescription{target}}); err != nil {
		w.t.Fatal(err)
	}
	return *arn
}

// canary is another Service of the namespace.
func canary() *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "canary"}}
	svc.Spec.Type, svc.Spec.Selector = corev1.ServiceTypeNodePort, map[string]string{"app": "canary"}
	svc.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 8080}}
	return svc
}

// weighted is an action with these weights: the Service's own, the canary's and
// that of a group of others, which is left out when none is named.
func weighted(own, other int, foreign string) string {
	groups := fmt.Sprintf(`{"serviceName":"canary","servicePort":8080,"weight":%d}`, other)
	if foreign != "" {
		groups += fmt.Sprintf(`,{"targetGroupARN":%q,"weight":5}`, foreign)
	}
	return fmt.Sprintf(`{"type":"forward","forwardConfig":{"baseServiceWeight":%d,"targetGroups":[%s],"targetGroupStickinessConfig":{"enabled":true}}}`, own, groups)
}

func (w *world) setAction(value string) {
	w.t.Helper()
	w.update("nginx", func(s *corev1.Service) { s.Annotations[action80] = value })
	w.settle("nginx")
}

// shares are the weights of the only load balancer's listeners, by what the
// groups are called.
func (w *world) shares() map[string]int {
	w.t.Helper()
	found, err := w.elb.DescribeLoadBalancers(w.t.Context(), &elbv2sdk.DescribeLoadBalancersInput{})
	if err != nil || len(found.LoadBalancers) != 1 {
		w.t.Fatalf("%d load balancers, error %v", len(found.LoadBalancers), err)
	}
	listeners, err := w.api.DescribeListeners(w.t.Context(), *found.LoadBalancers[0].LoadBalancerArn)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]int{}
	for _, l := range listeners {
		for _, f := range l.Forward {
			name := groupName(f.GroupARN)
			for _, short := range []string{"canary", "http"} {
				if strings.Contains(name, short) {
					name = short
				}
			}
			out[name] = f.Weight
		}
		if l.Stickiness {
			out["sticky"] = 1
		}
	}
	return out
}

func TestConnectionsAreSharedByWeights(t *testing.T) {
	w := newWorld(t)
	foreign := w.makeForeign(nil)
	w.create(canary())
	w.create(post("nginx"))
	w.settle("nginx")
	step := func(what string, shares map[string]int, calls []string) {
		t.Helper()
		if diff := cmp.Diff(shares, w.shares()); diff != "" {
			t.Errorf("%s: shares (-want +got):\n%s", what, diff)
		}
		if diff := cmp.Diff(calls, withoutPolls(awsCalls(w.aws.take()))); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", what, diff)
		}
		w.settle("nginx")
		if calls := withoutPolls(awsCalls(w.aws.take())); len(calls) > 0 {
			t.Errorf("%s, and nothing changed: calls %v", what, calls)
		}
		w.checkConverged(what)
		w.aws.take()
	}
	w.aws.take()
	w.setAction(weighted(90, 10, ""))
	step("a canary", map[string]int{"http": 90, "canary": 10, "sticky": 1}, []string{"CreateTargetGroup", "RegisterTargets", "ModifyListener", "ModifyListener"})
	w.setAction(weighted(50, 50, ""))
	step("other weights", map[string]int{"http": 50, "canary": 50, "sticky": 1}, []string{"ModifyListener"})
	w.setAction(weighted(0, 100, foreign))
	step("a group of others", map[string]int{"http": 0, "canary": 100, "foreign": 5, "sticky": 1}, []string{"DescribeTargetGroups", "ModifyListener", "ModifyListener"})
	w.removeNode(2)
	w.settle("nginx")
	step("a node leaves", map[string]int{"http": 0, "canary": 100, "foreign": 5, "sticky": 1}, []string{"DescribeTargetGroups", "DeregisterTargets", "DeregisterTargets"})
	w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, action80) })
	w.settle("nginx")
	step("no action", map[string]int{"http": 1}, []string{"ModifyListener", "DeleteTargetGroup"})
	w.setAction(strings.Replace(weighted(1, 1, foreign), foreign, foreignGroup, 1))
	w.update("nginx", func(s *corev1.Service) {
		s.Annotations[action80] = strings.Replace(s.Annotations[action80], "targetGroupARN", "targetGroupName", 1)
	})
	w.settle("nginx")
	if diff := cmp.Diff(map[string]int{"http": 1, "canary": 1, "foreign": 5, "sticky": 1}, w.shares()); diff != "" {
		t.Errorf("a group of others by its name: shares (-want +got):\n%s", diff)
	}
	w.leavesNothing("nginx")
	targets, err := registered(t.Context(), w.api, foreign)
	if want := []lb.Target{{ID: "198.18.16.99", Port: 80}}; err != nil || !slices.Equal(targets, want) {
		t.Errorf("the group of others has targets %v, error %v, want %v", targets, err, want)
	}
}

// A canary that is not healthy gets nothing.
func TestAGroupThatJoinsWaitsUntilItIsHealthy(t *testing.T) {
	w := newWorld(t)
	w.create(canary())
	w.create(post("nginx"))
	w.settle("nginx")
	w.update("nginx", func(s *corev1.Service) { s.Annotations[action80] = weighted(90, 10, "") })
	for range 3 {
		w.once(t.Context(), "nginx")
	}
	if diff := cmp.Diff(map[string]int{"http": 1, "canary": 0}, w.shares()); diff != "" {
		t.Errorf("before the canary is healthy: shares (-want +got):\n%s", diff)
	}
	if c := w.condition("nginx", condProgrammed); c.Reason != "AwaitingTargets" {
		t.Errorf("condition %+v", c)
	}
	w.settle("nginx")
	if diff := cmp.Diff(map[string]int{"http": 90, "canary": 10, "sticky": 1}, w.shares()); diff != "" {
		t.Errorf("when the canary is healthy: shares (-want +got):\n%s", diff)
	}
}

func TestTargetGroupsThatCannotBeUsedAreToldOfAtOnce(t *testing.T) {
	w := newWorld(t)
	w.r.opts.VPCID = "vpc-1"
	other := post("other")
	w.create(other)
	w.create(canary())
	w.create(post("nginx"))
	w.settle("other", "nginx")
	used := w.groups()[0].ARN
	udp := w.makeForeign(func(in *elbv2sdk.CreateTargetGroupInput) {
		in.Name, in.Protocol = aws.String("udp"), elbv2types.ProtocolEnumUdp
	})
	absent := "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/absent/0123456789abcdef"
	if strings.Contains(used, "nginx") {
		used = w.groups()[1].ARN
	}
	w.update("nginx", func(s *corev1.Service) {
		s.Annotations[action80] = fmt.Sprintf(`{"type":"forward","forwardConfig":{"baseServiceWeight":1,"targetGroups":[{"targetGroupARN":%q,"weight":1},{"targetGroupARN":%q,"weight":1},{"targetGroupARN":%q,"weight":1}]}}`, used, udp, absent)
	})
	w.settle("nginx")
	c := w.condition("nginx", condAccepted)
	for _, part := range []string{
		"3 problems", action80 + ": \"" + absent + "\": there is no such target group", "the target group is used by arn:", "the target group's protocol is UDP",
	} {
		if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, part) {
			t.Errorf("condition %s %q has no %q", c.Status, c.Message, part)
		}
	}
	if !w.notes.has("InvalidLoadBalancer") {
		t.Errorf("events %v", w.notes.list())
	}
	w.aws.take()
	w.removeNode(2)
	w.settle("nginx")
	if calls := writing(w.aws.take()); !slices.Equal(calls, []string{"DeregisterTargets"}) {
		t.Errorf("a node leaves while the Service is wrong: calls %v", calls)
	}
	w.r.opts.VPCID = "vpc-2"
	w.setAction(weighted(1, 1, w.makeForeign(nil)))
	if c := w.condition("nginx", condAccepted); !strings.Contains(c.Message, "the target group is in VPC vpc-1, the load balancer in vpc-2") {
		t.Errorf("condition %+v", c)
	}
	w.setAction(weighted(1, 1, ""))
	if c := w.condition("nginx", condAccepted); c.Status != metav1.ConditionTrue {
		t.Errorf("condition %+v", c)
	}
}

// A Service that is gone has no targets: its pods' addresses may be someone
// else's by now.
func TestAServiceThatIsGoneHasNoTargets(t *testing.T) {
	w := newWorld(t)
	base := postForPods("nginx")
	base.Annotations[action80] = weighted(1, 1, "")
	w.create(canary())
	w.create(base)
	slice := newSlice("canary", "198.18.17.7")
	if err := w.kube.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	w.settle("nginx")
	targets := func() (out []lb.Target) {
		t.Helper()
		for _, g := range w.groups() {
			found, err := registered(t.Context(), w.api, g.ARN)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, found...)
		}
		return out
	}
	if diff := cmp.Diff([]lb.Target{{ID: "198.18.17.7", Port: 80}}, targets()); diff != "" {
		t.Fatalf("targets (-want +got):\n%s", diff)
	}
	if err := w.kube.Delete(t.Context(), w.get("canary")); err != nil {
		t.Fatal(err)
	}
	w.settle("nginx")
	if c := w.condition("nginx", condAccepted); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "no such Service") || len(targets()) != 0 {
		t.Errorf("condition %+v, targets %v", c, targets())
	}
	w.create(canary())
	w.settle("nginx")
	if c := w.condition("nginx", condAccepted); c.Status != metav1.ConditionTrue || len(targets()) != 1 {
		t.Errorf("when it is back: condition %+v, targets %v", c, targets())
	}
}

func TestAGateWaitsForTheServiceThatSharesItsConnections(t *testing.T) {
	w := newWorld(t)
	base := postForPods("nginx")
	base.Annotations[action80] = weighted(1, 1, "")
	behind := canary()
	behind.Spec.Selector = map[string]string{"app": "nginx"}
	base.Spec.Selector = map[string]string{"app": "stable"}
	w.create(behind)
	w.create(base)
	w.settle("nginx")
	w.addEndpoint("canary", w.addGatedPod("web", "198.18.17.5"))
	w.settleFor("nginx", 1)
	w.wantGate("web", corev1.ConditionFalse, string(lb.RegistrationInProgress))
	w.settle("nginx")
	w.wantGate("web", corev1.ConditionTrue, reasonGateHealthy)
}

// TestRunFollowsOtherServices: what changes behind another Service reaches the
// load balancer, though the Service itself has not changed.
func TestRunFollowsOtherServices(t *testing.T) {
	w := newWorld(t)
	base := postForPods("nginx")
	base.Annotations[action80] = weighted(1, 1, "")
	w.create(base)
	_, ended := w.start()
	watch, err := w.kube.Watch(t.Context(), &corev1.ServiceList{}, client.InNamespace("default"))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	until := func(what string, ok func() bool) {
		t.Helper()
		timeout := time.After(3 * time.Minute)
		for !ok() {
			select {
			case <-watch.ResultChan():
			case err := <-ended:
				t.Fatalf("the controller ended: %v", err)
			case <-timeout:
				t.Fatalf("%s: not within three minutes", what)
			}
		}
	}
	hasTarget := func(port uint16) func() bool {
		want := fingerprint([]lb.Target{{ID: "198.18.17.7", Port: port}})
		return func() bool {
			rec, _ := readRecord(w.get("nginx"))
			return slices.ContainsFunc(rec.Groups, func(e recorded) bool { return e.Targets == want })
		}
	}
	until("a condition", func() bool {
		return slices.ContainsFunc(w.get("nginx").Status.Conditions, func(c metav1.Condition) bool { return c.Type == condAccepted && c.Status == metav1.ConditionFalse })
	})
	w.create(canary())
	until("a load balancer, when the other Service is there", func() bool { return len(w.get("nginx").Status.LoadBalancer.Ingress) == 1 })
	slice := newSlice("canary", "198.18.17.7")
	if err := w.kube.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	until("a target, when the other Service has a pod", hasTarget(80))
	slice.Ports[0].Port = aws.Int32(81)
	if err := w.kube.Update(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	until("another target port", hasTarget(81))
	w.remove("nginx")
	until("no Service", func() bool { return w.gone("nginx") })
}
