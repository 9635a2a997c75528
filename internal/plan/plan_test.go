package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

var consent = plan.Policy{AllowReplacement: true}

// converge executes plans until one is empty; a plan may break off at the
// step that cut names.
func (m *model) converge(t *rapid.T, want lb.Stack, policy plan.Policy, cut int) {
	steps := 0
	for range 4 {
		p := plan.Diff(want, m.observe(), policy)
		if p.Empty() {
			return
		}
		for _, s := range p.Steps {
			if steps++; steps == cut {
				break
			}
			if err := m.do(s); err != nil {
				t.Fatalf("step %s: %v\nof plan\n%s", s, err, p.Text())
			}
		}
	}
	t.Fatalf("no end: %s", plan.Diff(want, m.observe(), policy).Text())
}

func TestAPlanLeadsToWhatIsWantedFromAnythingThatWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		for i := range 3 {
			want := stacks(t, fmt.Sprint(i))
			before := m.observe()
			p := plan.Diff(want, before, consent)
			if len(p.Blocked) > 0 {
				t.Fatalf("blocked in spite of consent: %v", p.Blocked)
			}
			applied := before
			for _, s := range p.Steps {
				if err := m.do(s); err != nil {
					t.Fatalf("step %s: %v\nof plan\n%s", s, err, p.Text())
				}
				applied.Apply(s, plan.Result{})
			}
			if second := plan.Diff(want, m.observe(), consent); !second.Empty() {
				t.Fatalf("a second plan is not empty:\n%s", second.Text())
			}
			if diff := gocmp.Diff(m.observe(), applied, cmpopts.EquateEmpty(), cmpopts.SortSlices(less), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
				t.Fatalf("Apply tells another story than the model (-model +applied):\n%s", diff)
			}
			checkWanted(t, m, want)
		}
	})
}

func less(a, b any) bool { return fmt.Sprint(a) < fmt.Sprint(b) }

func TestAPlanThatBreaksOffAnywhereConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		first, second := stacks(t, "first"), stacks(t, "second")
		m.converge(t, first, consent, -1)
		m.converge(t, second, consent, rapid.IntRange(1, 20).Draw(t, "cut"))
		checkWanted(t, m, second)
		m.converge(t, lb.Stack{}, consent, rapid.IntRange(1, 6).Draw(t, "cut-delete"))
		checkWanted(t, m, lb.Stack{})
	})
}

func TestWithoutConsentNothingLosesItsNameOrAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		first, second := stacks(t, "first"), stacks(t, "second")
		m.converge(t, first, consent, -1)
		before := m.observe()
		m.converge(t, second, plan.Policy{}, rapid.IntRange(1, 20).Draw(t, "cut"))
		if first.Empty() || second.Empty() {
			return
		}
		was, is := standing(before), standing(m.observe())
		if len(is) != 1 || is[0].Name != was[0].Name || is[0].Scheme != was[0].Scheme || is[0].Type != was[0].Type || is[0].NoSecurityGroups != was[0].NoSecurityGroups {
			t.Fatalf("the load balancer %+v was replaced by %+v", was, is)
		}
		for _, s := range was[0].Subnets {
			if !slices.Contains(is[0].Subnets, s) {
				t.Fatalf("subnet %s was taken away", s)
			}
			if got, want := is[0].Mapping(s), was[0].Mapping(s); got.AllocationID != want.AllocationID || want.IPv6Address.IsValid() && got.IPv6Address != want.IPv6Address {
				t.Fatalf("subnet %s has %+v, it had %+v", s, got, want)
			}
		}
		for _, s := range plan.Diff(second, m.observe(), plan.Policy{}).Blocked {
			if s.Disruption != plan.DNSName && s.Disruption != plan.Address {
				t.Fatalf("%s is blocked and disrupts %s", s, s.Disruption)
			}
		}
	})
}

// standing are the load balancers of both kinds.
func standing(o plan.Observed) (all []lb.LoadBalancer) {
	for _, b := range o.LoadBalancers {
		all = append(all, b.LoadBalancer)
	}
	for _, b := range o.Classic {
		all = append(all, b.LoadBalancer)
	}
	return all
}

// A group whose only listener changes its protocol is not probed any more: the
// listener that moves to it has to attach it first.
func TestAGroupThatLosesItsListenerIsAttachedBeforeItServes(t *testing.T) {
	stack := func(protocol lb.Protocol, first, second string, targets ...lb.Target) lb.Stack {
		s := lb.Stack{LoadBalancer: lb.LoadBalancer{Name: "a", Type: lb.Network, Scheme: lb.Internal}}
		s.TargetGroups = []lb.TargetGroup{{Key: first, Name: first, Protocol: protocol, Targets: targets}, {Key: second, Name: second, Protocol: lb.TCP, Targets: targets}}
		s.Listeners = []lb.Listener{{Port: 81, Protocol: protocol, TargetGroup: first}, {Port: 443, Protocol: lb.TCP, TargetGroup: second}}
		return s
	}
	m := newModel()
	target := lb.Target{ID: "1", Port: 30000}
	for _, want := range []lb.Stack{stack(lb.TCP, "shared", "old", target), stack(lb.TCPUDP, "new", "shared", target)} {
		for _, s := range plan.Diff(want, m.observe(), plan.Policy{}).Steps {
			if err := m.do(s); err != nil {
				t.Fatalf("step %s: %v", s, err)
			}
		}
	}
	if p := plan.Diff(stack(lb.TCPUDP, "new", "shared", target), m.observe(), plan.Policy{}); !p.Empty() {
		t.Errorf("a second plan is not empty:\n%s", p.Text())
	}
}

// AWS refuses an empty name, and keeps a bucket's when logs are off.
func TestTheBucketOfAccessLogsIsNotTakenAway(t *testing.T) {
	m := newModel()
	s := lb.Stack{LoadBalancer: lb.LoadBalancer{Name: "a", Type: lb.Network, Scheme: lb.Internal}}
	s.LoadBalancer.Attributes = map[string]string{lb.AttrAccessLogsEnabled: "true", lb.AttrAccessLogsBucket: "logs", lb.AttrAccessLogsPrefix: "shop"}
	for _, step := range plan.Diff(s, m.observe(), plan.Policy{}).Steps {
		if err := m.do(step); err != nil {
			t.Fatalf("step %s: %v", step, err)
		}
	}
	s.LoadBalancer.Attributes = nil
	var changes []map[string]string
	for _, step := range plan.Diff(s, m.observe(), plan.Policy{}).Steps {
		changes = append(changes, step.After.Map)
	}
	want := []map[string]string{{lb.AttrAccessLogsEnabled: "false", lb.AttrAccessLogsPrefix: ""}}
	if diff := gocmp.Diff(want, changes); diff != "" {
		t.Errorf("what is written (-want +got):\n%s", diff)
	}
}
