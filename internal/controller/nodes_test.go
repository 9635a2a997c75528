package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// ungrouped is a Service whose load balancer has no security groups.
func ungrouped(name string) *corev1.Service {
	svc := annotated(post(name), "disable-nlb-sg", "true")
	svc.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"}
	return svc
}

// ungroupedForPods has pods for targets. They see the load balancer's addresses.
func ungroupedForPods(name string) *corev1.Service {
	svc := annotated(ungrouped(name), "nlb-target-type", "ip")
	svc.Spec.LoadBalancerSourceRanges = nil
	return svc
}

// nodesAdmit are the rules in the nodes' group, a node port as "node" and a health
// check port as "health".
func (w *world) nodesAdmit(services ...string) (out []string) {
	w.t.Helper()
	ports := map[int32]string{}
	for _, name := range services {
		svc := w.get(name)
		for _, p := range svc.Spec.Ports {
			ports[p.NodePort] = "node"
		}
		ports[svc.Spec.HealthCheckNodePort] = "health"
	}
	for _, r := range w.all().nodeRules {
		port := ports[r.FromPort]
		if port == "" {
			port = fmt.Sprint(r.FromPort)
		}
		out = append(out, fmt.Sprintf("%s %s from %s%s", r.Protocol, port, addressText(r.Source), map[bool]string{true: "a group"}[r.SourceGroup != ""]))
	}
	slices.Sort(out)
	return out
}

func TestALoadBalancerWithoutSecurityGroupsIsLetInByTheNodes(t *testing.T) {
	w := newWorld(t)
	w.create(ungrouped("nginx"))
	w.settle("nginx")
	if diff := cmp.Diff([]string{
		"DescribeSubnets", "DescribeSecurityGroups", "AuthorizeSecurityGroupIngress", "CreateLoadBalancer", "CreateTargetGroup", "RegisterTargets", "CreateListener",
	}, withoutPolls(awsCalls(w.aws.take()))); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	found, err := w.api.DescribeLoadBalancers(t.Context(), w.all().balancers)
	if err != nil || len(found) != 1 || len(found[0].SecurityGroups) != 0 || len(w.all().security) != 0 {
		t.Errorf("load balancers %+v, error %v, security groups %v", found, err, w.all().security)
	}
	step := func(what string, admitted, calls []string) {
		t.Helper()
		w.settle("nginx")
		if diff := cmp.Diff(admitted, w.nodesAdmit("nginx")); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", what, diff)
		}
		if diff := cmp.Diff(calls, writing(w.aws.take())); len(calls) > 0 && diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", what, diff)
		}
		w.checkConverged(what)
		w.aws.take()
	}
	health := []string{"tcp health from 198.18.16.0/20", "tcp health from 198.18.32.0/20"}
	node := []string{"tcp node from 198.18.16.0/20", "tcp node from 198.18.32.0/20"}
	step("made", slices.Concat(health, node, []string{"tcp node from 203.0.113.0/24"}), nil)
	w.update("nginx", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"192.0.2.0/24"} })
	step("another source", slices.Concat(health, []string{"tcp node from 192.0.2.0/24"}, node), []string{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"})
	w.update("nginx", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = nil })
	step("everyone", slices.Concat(health, []string{"tcp node from 0.0.0.0/0"}), []string{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"})
	w.now = w.now.Add(2 * resync)
	lost := w.all().nodeRules[0].Rule
	if err := w.api.RevokeIngress(t.Context(), "sg-00000000000000001", []lb.Rule{lost}); err != nil {
		t.Fatal(err)
	}
	step("a rule went", slices.Concat(health, []string{"tcp node from 0.0.0.0/0"}), []string{"AuthorizeSecurityGroupIngress"})
	w.update("nginx", func(s *corev1.Service) { annotated(s, "manage-backend-security-group-rules", "false") })
	step("the user's own rules", nil, []string{"RevokeSecurityGroupIngress"})
	w.update("nginx", func(s *corev1.Service) { delete(s.Annotations, prefix+"manage-backend-security-group-rules") })
	w.settle("nginx")
	w.restart()
	w.leavesNothing("nginx")
}

// Pods have the same port in both Services, and so the nodes the same rule.
func TestARuleStaysAsLongAsAnyServiceNeedsIt(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"first", "second"} {
		w.create(ungroupedForPods(name))
		if err := w.kube.Create(t.Context(), newSlice(name, "198.18.17.5")); err != nil {
			t.Fatal(err)
		}
	}
	w.settle("first", "second")
	want := []string{"tcp 80 from 198.18.16.0/20", "tcp 80 from 198.18.32.0/20"}
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff(want, w.nodesAdmit()); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", what, diff)
		}
	}
	check("two Services")
	w.restart()
	w.remove("first")
	w.settle("first")
	check("one is gone, new process")
	w.leavesNothing("second")
}

func TestTheChangeOfSecurityGroupsWaitsForConsent(t *testing.T) {
	with := func(s *corev1.Service) { delete(s.Annotations, prefix+"disable-nlb-sg") }
	without := func(s *corev1.Service) { annotated(s, "disable-nlb-sg", "true") }
	tests := map[string]struct {
		from   *corev1.Service
		change func(*corev1.Service)
		why    string
		groups int // security groups of ours in the end; the cluster's stays
	}{
		"to one without": {post("nginx"), without, "security groups cannot be taken away in place", 1},
		"to one with":    {ungrouped("nginx"), with, "can get none in place", 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(tt.from.DeepCopy())
			w.settle("nginx")
			host, before, rules := w.hostname(), w.all(), w.nodesAdmit("nginx")
			w.update("nginx", tt.change)
			w.settle("nginx")
			if after := w.all(); w.hostname() != host || len(after.security) != len(before.security) || !slices.Equal(w.nodesAdmit("nginx"), rules) {
				t.Fatalf("without consent: %s with %s, before: %s with %s", w.hostname(), after, host, before)
			}
			if c := w.condition("nginx", condReplacement); c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, tt.why) {
				t.Errorf("condition %+v", c)
			}
			w.aws.take()
			w.removeNode(2)
			w.settle("nginx")
			if calls := writing(w.aws.take()); !slices.Equal(calls, []string{"DeregisterTargets"}) {
				t.Errorf("a node leaves while consent is awaited: calls %v", calls)
			}
			w.replaces()
			if got := len(w.all().security); got != tt.groups {
				t.Errorf("%d security groups, want %d: %s", got, tt.groups, w.all())
			}
			w.checkConverged(name)
			w.leavesNothing("nginx")
		})
	}
}

// A rule that someone else made is never revoked, also when it is the same.
func TestRulesOfOthersOnTheNodesStay(t *testing.T) {
	w := newWorld(t)
	w.create(ungroupedForPods("nginx"))
	if err := w.kube.Create(t.Context(), newSlice("nginx", "198.18.17.5")); err != nil {
		t.Fatal(err)
	}
	theirs := []lb.Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, Source: prefixOf("198.18.16.0/20")}, {Protocol: "tcp", FromPort: 22, ToPort: 22, Source: prefixOf("203.0.113.0/24")}}
	w.authorizeAsSomeoneElse("sg-00000000000000001", theirs)
	w.settle("nginx")
	w.restart()
	w.remove("nginx")
	w.settle("nginx")
	groups, err := w.api.DescribeSecurityGroups(t.Context(), cloud.GroupFilter{TagKey: owner.TagKubernetesCluster + clusterName})
	if err != nil || len(groups) != 1 {
		t.Fatalf("%d groups, error %v", len(groups), err)
	}
	for _, r := range theirs {
		if !admits(groups[0], r) {
			t.Errorf("the rule %+v of someone else is gone", r)
		}
	}
	if len(groups[0].Ingress) != len(theirs) {
		t.Errorf("left: %+v", groups[0].Ingress)
	}
}

func TestARuleOfNoServiceIsAStray(t *testing.T) {
	w := newWorld(t)
	w.create(ungrouped("nginx"))
	w.settle("nginx")
	stray := lb.Rule{Protocol: "tcp", FromPort: 8080, ToPort: 8080, Source: prefixOf("203.0.113.0/24")}
	if err := w.api.AuthorizeIngress(t.Context(), "sg-00000000000000001", []lb.Rule{stray}); err != nil {
		t.Fatal(err)
	}
	w.sweep()
	want := map[string]string{"sg-00000000000000001: tcp 8080 from 203.0.113.0/24": ""}
	if diff := cmp.Diff(want, w.r.strays); diff != "" {
		t.Errorf("strays (-want +got):\n%s", diff)
	}
}
