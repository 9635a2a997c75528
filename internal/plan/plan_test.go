package plan_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

// stacks draws what a Service may want: every name follows from what cannot
// change in place, as intent makes it.
func stacks(t *rapid.T, label string) lb.Stack {
	if rapid.IntRange(0, 9).Draw(t, label+"-empty") == 0 {
		return lb.Stack{}
	}
	scheme := rapid.SampledFrom([]lb.Scheme{lb.Internal, lb.InternetFacing}).Draw(t, label+"-scheme")
	if rapid.IntRange(0, 2).Draw(t, label+"-type") == 0 {
		return classicStacks(t, label, scheme)
	}
	name := rapid.SampledFrom([]string{"chosen", "made-" + string(scheme)}).Draw(t, label+"-name")
	text := rapid.SampledFrom([]string{"a", "b"})
	s := lb.Stack{
		LoadBalancer: lb.LoadBalancer{
			Name: name, Type: lb.Network, Scheme: scheme,
			IPAddressType: rapid.SampledFrom([]lb.IPAddressType{lb.IPv4, lb.DualStack}).Draw(t, label+"-family"),
			Subnets:       rapid.SampledFrom([][]string{{"subnet-a"}, {"subnet-a", "subnet-b"}, {"subnet-c"}}).Draw(t, label+"-subnets"),
			Tags:          rapid.MapOfN(text, text, 0, 2).Draw(t, label+"-tags"),
		},
		Backend: rapid.Bool().Draw(t, label+"-backend"),
	}
	chooseAddresses(t, label, &s.LoadBalancer)
	s.LoadBalancer.CapacityUnits = rapid.SampledFrom([]int32{0, 0, 2750}).Draw(t, label+"-capacity")
	s.LoadBalancer.PrivateLinkUnfiltered = rapid.Bool().Draw(t, label+"-private-link")
	if rapid.Bool().Draw(t, label+"-crosszone") {
		s.LoadBalancer.Attributes = map[string]string{lb.AttrCrossZone: "true"}
	}
	if s.LoadBalancer.NoSecurityGroups = rapid.IntRange(0, 3).Draw(t, label+"-no-groups") == 0; s.LoadBalancer.NoSecurityGroups {
		s.Backend, s.LoadBalancer.PrivateLinkUnfiltered = false, false
		for _, port := range rapid.SliceOfNDistinct(rapid.Int32Range(1, 3), 0, 3, rapid.ID).Draw(t, label+"-node-ports") {
			source := rapid.SampledFrom([]string{"0.0.0.0/0", "203.0.113.0/24"}).Draw(t, label+"-node-source")
			s.NodeRules = append(s.NodeRules, lb.Rule{Protocol: "tcp", FromPort: port, ToPort: port, Source: netip.MustParsePrefix(source)})
		}
	} else if rapid.Bool().Draw(t, label+"-own-groups") {
		s.LoadBalancer.SecurityGroups = []string{"sg-user"}
	} else {
		s.Frontend = &lb.SecurityGroup{Name: "front", Tags: s.LoadBalancer.Tags}
	}
	for _, port := range rapid.SliceOfNDistinct(rapid.SampledFrom([]uint16{80, 81, 443}), 1, 3, rapid.ID).Draw(t, label+"-ports") {
		addPort(t, label, &s, port)
	}
	for i := range s.Listeners {
		weigh(t, fmt.Sprintf("%s-%d", label, s.Listeners[i].Port), &s, &s.Listeners[i])
	}
	crowd(t, label, &s)
	slices.SortFunc(s.TargetGroups, func(a, b lb.TargetGroup) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Listeners, func(a, b lb.Listener) int { return cmp.Compare(a.Port, b.Port) })
	return s
}

// crowd adds rules until some groups are full.
func crowd(t *rapid.T, label string, s *lb.Stack) {
	if s.Frontend == nil {
		return
	}
	from := rapid.SampledFrom([]int{0, 30, 100}).Draw(t, label+"-crowd-from")
	n := rapid.SampledFrom([]int{0, 0, 57, 100, 230}).Draw(t, label+"-crowd")
	for i := range n {
		source := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte((from + i) / 250), byte((from + i) % 250)}), 32)
		s.Frontend.Ingress = append(s.Frontend.Ingress, lb.Rule{Protocol: "tcp", FromPort: 1, ToPort: 1, Source: source})
	}
}

// chooseAddresses gives all subnets addresses, or none.
func chooseAddresses(t *rapid.T, label string, b *lb.LoadBalancer) {
	if b.Scheme != lb.InternetFacing || rapid.Bool().Draw(t, label+"-any-address") {
		return
	}
	taken := rapid.Permutation([]string{"eip-1", "eip-2", "eip-3"}).Draw(t, label+"-eips")
	six := b.IPAddressType == lb.DualStack && rapid.Bool().Draw(t, label+"-six")
	if b.IPAddressType == lb.DualStack {
		b.IPv6SourceNAT = rapid.SampledFrom([]string{"", lb.On, lb.Off}).Draw(t, label+"-nat")
	}
	for i, id := range b.Subnets {
		m := lb.SubnetMapping{SubnetID: id, AllocationID: taken[i]}
		if six {
			m.IPv6Address = rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}).Draw(t, fmt.Sprint(label, "-six-", id))
		}
		b.SubnetMappings = append(b.SubnetMappings, m)
	}
}

func addPort(t *rapid.T, label string, s *lb.Stack, port uint16) {
	label = fmt.Sprintf("%s-%d", label, port)
	protocol := rapid.SampledFrom([]lb.Protocol{lb.TCP, lb.TCP, lb.TCPUDP, lb.TLS}).Draw(t, label+"-protocol")
	listener := lb.Listener{Port: port, Protocol: protocol}
	if protocol == lb.TLS {
		listener.Security = lb.Security{
			Certificates: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), 1, 3, rapid.ID).Draw(t, label+"-certificates"),
			SSLPolicy:    rapid.SampledFrom([]string{"old", "new"}).Draw(t, label+"-policy"), ALPNPolicy: lb.NoALPN,
		}
		protocol = rapid.SampledFrom([]lb.Protocol{lb.TCP, lb.TLS}).Draw(t, label+"-backend")
	}
	kind := rapid.SampledFrom([]lb.TargetType{lb.InstanceTarget, lb.IPTarget}).Draw(t, label+"-kind")
	key := rapid.SampledFrom([]string{fmt.Sprint(port), "named"}).Draw(t, label+"-key")
	name := fmt.Sprintf("%s-%s-%s-%s", s.LoadBalancer.Name, key, protocol, kind)
	if !slices.ContainsFunc(s.TargetGroups, func(g lb.TargetGroup) bool { return g.Name == name }) {
		targets := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"1", "2", "3"}), 0, 3, rapid.ID).Draw(t, label+"-targets")
		g := lb.TargetGroup{
			Key: key, Name: name, Protocol: protocol, TargetType: kind, IPAddressType: lb.IPv4,
			HealthCheck: lb.HealthCheck{HealthyThreshold: rapid.IntRange(2, 3).Draw(t, label+"-threshold")},
		}
		if rapid.Bool().Draw(t, label+"-sticky") {
			g.Attributes = map[string]string{lb.AttrStickinessEnabled: "true"}
		}
		for _, id := range slices.Sorted(slices.Values(targets)) {
			g.Targets = append(g.Targets, lb.Target{ID: id, Port: 30000})
		}
		s.TargetGroups = append(s.TargetGroups, g)
	}
	listener.TargetGroup = name
	s.Listeners = append(s.Listeners, listener)
	if s.Frontend != nil {
		s.Frontend.Ingress = append(s.Frontend.Ingress, lb.Rule{Protocol: "tcp", FromPort: int32(port), ToPort: int32(port), Source: netip.MustParsePrefix("0.0.0.0/0")})
	}
}

// weigh shares a listener's connections among several groups, or does not.
func weigh(t *rapid.T, label string, s *lb.Stack, l *lb.Listener) {
	backends := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z", foreign}), 0, 4, rapid.ID).Draw(t, label+"-backends")
	if len(backends) == 0 {
		return
	}
	weight := rapid.SampledFrom([]int{0, 10, 90})
	own := s.TargetGroups[slices.IndexFunc(s.TargetGroups, func(g lb.TargetGroup) bool { return g.Name == l.TargetGroup })]
	l.Forward = []lb.Forward{{TargetGroup: own.Name, Weight: weight.Draw(t, label+"-own")}}
	l.Stickiness = l.Protocol != lb.TLS && rapid.Bool().Draw(t, label+"-client-sticky")
	for _, key := range backends {
		f := lb.Forward{TargetGroup: key, Weight: weight.Draw(t, label+key), Foreign: key == foreign}
		if !f.Foreign {
			f.TargetGroup = own.Name + "-" + key
			if !slices.ContainsFunc(s.TargetGroups, func(g lb.TargetGroup) bool { return g.Name == f.TargetGroup }) {
				g := own
				g.Key, g.Name = own.Key+"/"+key, f.TargetGroup
				s.TargetGroups = append(s.TargetGroups, g)
			}
		}
		l.Forward = append(l.Forward, f)
	}
}

var consent = plan.Policy{AllowReplacement: true}

// converge executes plans until one is empty; a plan may break off at the
// step that cut names.
func converge(t *rapid.T, m *model, want lb.Stack, policy plan.Policy, cut int) {
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

func TestAPlanThatBreaksOffAnywhereConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		first, second := stacks(t, "first"), stacks(t, "second")
		converge(t, m, first, consent, -1)
		converge(t, m, second, consent, rapid.IntRange(1, 20).Draw(t, "cut"))
		checkWanted(t, m, second)
		converge(t, m, lb.Stack{}, consent, rapid.IntRange(1, 6).Draw(t, "cut-delete"))
		checkWanted(t, m, lb.Stack{})
	})
}

func TestWithoutConsentNothingLosesItsNameOrAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		first, second := stacks(t, "first"), stacks(t, "second")
		converge(t, m, first, consent, -1)
		before := m.observe()
		converge(t, m, second, plan.Policy{}, rapid.IntRange(1, 20).Draw(t, "cut"))
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
