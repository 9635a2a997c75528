package plan_test

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// checkWanted looks at the model without Diff's help.
func checkWanted(t *rapid.T, m *model, want lb.Stack) {
	if want.Empty() {
		if !m.observe().Empty() {
			t.Fatalf("nothing is wanted, and this is left: %+v", m.observe())
		}
		return
	}
	if want.Classic != nil {
		checkClassic(t, m, want)
		return
	}
	b := m.balancers[want.LoadBalancer.Name]
	if len(m.classics) != 0 || len(m.balancers) != 1 || b == nil || b.Scheme != want.LoadBalancer.Scheme || len(m.groups) != len(want.TargetGroups) || len(b.listeners) != len(want.Listeners) {
		t.Fatalf("wanted %+v, there is %+v", want, m.observe())
	}
	if b.CapacityUnits != want.LoadBalancer.CapacityUnits || want.LoadBalancer.IPv6SourceNAT == lb.On && b.IPv6SourceNAT != lb.On {
		t.Fatalf("wanted %+v, there is %+v", want.LoadBalancer, b.LoadBalancer)
	}
	checkRules(t, m, want)
	if got := m.observe().NodeRules; !sameRules(got, want.NodeRules) {
		t.Fatalf("the nodes let in %v, want %v", got, want.NodeRules)
	}
	for _, w := range want.LoadBalancer.SubnetMappings {
		if got := b.Mapping(w.SubnetID); got.AllocationID != w.AllocationID || w.IPv6Address.IsValid() && got.IPv6Address != w.IPv6Address {
			t.Fatalf("subnet %s has %+v, want %+v", w.SubnetID, got, w)
		}
	}
	if b.PrivateLinkUnfiltered != want.LoadBalancer.PrivateLinkUnfiltered {
		t.Fatalf("PrivateLink unfiltered: %t, want %t", b.PrivateLinkUnfiltered, want.LoadBalancer.PrivateLinkUnfiltered)
	}
	for _, l := range want.Listeners {
		want := l.Forward
		if len(want) == 0 {
			want = []lb.Forward{{TargetGroup: l.TargetGroup, Weight: 1}}
		}
		if got := b.listeners[l.Port]; !slices.Equal(got.Forward, want) || got.Stickiness != l.Stickiness || got.Protocol != l.Protocol {
			t.Fatalf("listener %d forwards to %+v, want %+v", l.Port, got, want)
		}
		checkSecurity(t, b.listeners[l.Port], l.Security)
	}
	for _, g := range want.TargetGroups {
		if got := m.groups[g.Name]; got == nil || len(got.Targets) != len(g.Targets) {
			t.Fatalf("target group %s has %+v, want %+v", g.Name, got, g.Targets)
		}
	}
}

func sameRules(a, b []lb.Rule) bool {
	within := func(x, y []lb.Rule) bool {
		return !slices.ContainsFunc(x, func(r lb.Rule) bool { return !slices.Contains(y, r) })
	}
	return within(a, b) && within(b, a)
}

// checkRules wants every rule in one attached group, and no group for nothing.
func checkRules(t *rapid.T, m *model, want lb.Stack) {
	held := map[lb.Rule]int{}
	for name, g := range m.frontends {
		for _, r := range g.Ingress {
			held[r]++
		}
		if !slices.Contains(m.balancers[want.LoadBalancer.Name].SecurityGroups, plan.FrontendRef(front, name)) || name != front && len(g.Ingress) == 0 {
			t.Fatalf("group %s has %d rules and is not attached, or is there for nothing", name, len(g.Ingress))
		}
	}
	if want.Frontend == nil && len(m.frontends) > 0 || want.Frontend != nil && len(held) != len(want.Frontend.Ingress) {
		t.Fatalf("%d rules in %d groups, wanted %+v", len(held), len(m.frontends), want.Frontend)
	}
	if want.Frontend != nil {
		for _, r := range want.Frontend.Ingress {
			if held[r] != 1 {
				t.Fatalf("rule %v is there %d times", r, held[r])
			}
		}
	}
}

// checkSecurity allows the default certificate to stand among the others too.
func checkSecurity(t *rapid.T, l plan.Listener, want lb.Security) {
	got := l.Security
	if got.SSLPolicy != want.SSLPolicy || len(got.Certificates) > 0 != (len(want.Certificates) > 0) {
		t.Fatalf("listener %d has %+v, want %+v", l.Port, got, want)
	}
	for i, c := range got.Certificates {
		if !slices.Contains(want.Certificates, c) || i == 0 && c != want.Certificates[0] {
			t.Fatalf("listener %d has certificates %v, want %v", l.Port, got.Certificates, want.Certificates)
		}
	}
	for _, c := range want.Certificates {
		if !slices.Contains(got.Certificates, c) {
			t.Fatalf("listener %d has certificates %v, want %v", l.Port, got.Certificates, want.Certificates)
		}
	}
}

// checkClassic looks at the model without Diff's help.
func checkClassic(t *rapid.T, m *model, want lb.Stack) {
	b := m.classics[want.LoadBalancer.Name]
	if len(m.classics) != 1 || b == nil || len(m.balancers) != 0 || len(m.groups) != 0 {
		t.Fatalf("wanted %+v, there is %+v", want, m.observe())
	}
	got := b.ClassicParts
	got.Policies = slices.DeleteFunc(slices.Clone(got.Policies), func(p lb.ClassicPolicy) bool { return !strings.HasPrefix(p.Name, "fairlead-") })
	parts := *want.Classic
	parts.Policies = slices.DeleteFunc(slices.Clone(parts.Policies), func(p lb.ClassicPolicy) bool { return !strings.HasPrefix(p.Name, "fairlead-") })
	if diff := gocmp.Diff(parts, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(lb.ClassicPolicy{}, "Type")); diff != "" {
		t.Fatalf("Classic Load Balancer (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(want.LoadBalancer.Subnets, b.Subnets); diff != "" || b.Scheme != want.LoadBalancer.Scheme {
		t.Fatalf("subnets (-want +got):\n%s", diff)
	}
}
