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
)

// from are n source ranges, the first of them with this number.
func from(first, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("203.0.%d.%d/32", (first+i)/250, (first+i)%250))
	}
	return out
}

// frontends are the Service's groups by name, with the sources of their TCP
// rules; all must be on the load balancer.
func (w *world) frontends() map[string][]string {
	w.t.Helper()
	found, err := w.api.DescribeLoadBalancers(w.t.Context(), w.all().balancers)
	if err != nil || len(found) != 1 {
		w.t.Fatalf("%d load balancers, error %v", len(found), err)
	}
	out := map[string][]string{}
	for _, g := range w.all().security {
		if strings.HasPrefix(g.Name, "fl-backend") {
			continue
		}
		if !slices.Contains(found[0].SecurityGroups, g.ID) {
			w.t.Errorf("security group %s is not on the load balancer", g.Name)
		}
		out[g.Name] = nil
		for _, r := range g.Ingress {
			if r.Protocol == "tcp" {
				out[g.Name] = append(out[g.Name], r.Source.String())
			}
		}
	}
	return out
}

// admitted are all sources that may connect.
func (w *world) admitted() (out []string) {
	for _, sources := range w.frontends() {
		out = append(out, sources...)
	}
	slices.Sort(out)
	return out
}

func TestRulesThatAGroupHasNoRoomForGoToAnother(t *testing.T) {
	w := newWorld(t)
	svc := annotated(post("nginx"), "enable-icmp-for-path-mtu-discovery", "off")
	svc.Spec.LoadBalancerSourceRanges = from(0, 10)
	w.create(svc)
	w.settle("nginx")
	steps := []struct {
		name    string
		sources []string
		groups  int
		calls   []string
	}{
		{"as many as one group holds", from(0, 60), 1, []string{"AuthorizeSecurityGroupIngress"}},
		{"one more", from(0, 61), 2, []string{"CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "SetSecurityGroups"}},
		{"all others: the old ones serve until the new ones do", from(100, 60), 3, []string{
			"AuthorizeSecurityGroupIngress", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "SetSecurityGroups", "RevokeSecurityGroupIngress", "RevokeSecurityGroupIngress",
		}},
		{"a few of them", from(100, 5), 2, []string{"SetSecurityGroups", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"}},
		{"as many as four groups hold", from(100, 240), 4, nil},
		{"all others once more, though there is no room beside", from(400, 240), 4, nil},
		{"one", from(0, 1), 1, nil},
	}
	for _, s := range steps {
		w.aws.take()
		w.update("nginx", func(svc *corev1.Service) { svc.Spec.LoadBalancerSourceRanges = s.sources })
		w.settle("nginx")
		calls := writing(w.aws.take())
		slices.Sort(s.sources)
		if diff := cmp.Diff(s.sources, w.admitted()); diff != "" {
			t.Errorf("%s: sources (-want +got):\n%s", s.name, diff)
		}
		if s.calls != nil {
			if diff := cmp.Diff(s.calls, calls); diff != "" {
				t.Errorf("%s: calls (-want +got):\n%s", s.name, diff)
			}
			if got := len(w.frontends()); got != s.groups {
				t.Errorf("%s: %d groups, want %d", s.name, got, s.groups)
			}
		}
		w.checkConverged(s.name)
	}
	w.update("nginx", func(svc *corev1.Service) { svc.Spec.LoadBalancerSourceRanges = from(0, 241) })
	w.settle("nginx")
	if c := w.condition("nginx", condAccepted); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "241 rules") || len(w.admitted()) != 1 {
		t.Errorf("condition Accepted is %+v, admitted %v", c, w.admitted())
	}
	w.leavesNothing("nginx")
}

func TestRulesOfOthersAreNeverRevoked(t *testing.T) {
	w := newWorld(t)
	svc := annotated(post("nginx"), "enable-icmp-for-path-mtu-discovery", "off")
	svc.Spec.LoadBalancerSourceRanges = from(0, 50)
	w.create(svc)
	w.settle("nginx")
	found, err := w.api.DescribeSecurityGroups(t.Context(), cloud.GroupFilter{TagKey: "fairlead.io/service"})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d groups, error %v", len(found), err)
	}
	var others []lb.Rule
	for _, source := range from(1000, 9) {
		others = append(others, lb.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, Source: prefixOf(source)})
	}
	w.authorizeAsSomeoneElse(found[0].ID, others)
	w.restart()
	w.update("nginx", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = from(40, 20) })
	w.settle("nginx")
	want := slices.Concat(from(40, 20), from(1000, 9))
	slices.Sort(want)
	if diff := cmp.Diff(want, w.admitted()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if got := len(w.frontends()); got != 2 {
		t.Errorf("%d groups; rules of others leave room for one rule, and ten more came at once", got)
	}
}
